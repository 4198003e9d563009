import { FIRST_PART_BYTES } from "./part-plan.js";

/** Smaller bodies are not worth a buffer of the pool. */
const POOLED_FROM_BYTES = 256 * 1024;

/** Who writes a large file has a pause between parts: buffers that come and go with each keep V8 collecting garbage. */
const IDLE_MS = 1000;

interface Waiting {
  readonly bytes: number;
  readonly start: () => void;
}

/** Bounds the requests of uploads that are under way, and the memory of their bodies. First come, first served. */
export class UploadSlots {
  readonly #maxCount: number;
  readonly #maxBytes: number;
  readonly #waiting: Waiting[] = [];
  readonly #pool: Uint8Array[] = [];
  #count = 0;
  #bytes = 0;
  #emptying: NodeJS.Timeout | undefined;

  constructor(maxCount: number, maxBytes: number) {
    this.#maxCount = maxCount;
    this.#maxBytes = maxBytes;
  }

  /** Runs `task` with a buffer of this length (or none), which is its own until its promise settles. */
  async run<T>(length: number, task: (buffer: Uint8Array) => Promise<T>): Promise<T> {
    const pooled = length >= POOLED_FROM_BYTES && length <= FIRST_PART_BYTES;
    const bytes = pooled ? FIRST_PART_BYTES : length;
    await this.#enter(bytes);
    const buffer = pooled ? (this.#pool.pop() ?? new Uint8Array(FIRST_PART_BYTES)) : new Uint8Array(length);
    try {
      return await task(buffer.subarray(0, length));
    } finally {
      if (pooled) {
        this.#pool.push(buffer);
      }
      this.#leave(bytes);
    }
  }

  /** Nothing to do for a while: the memory is others'. */
  #empty(): void {
    this.#emptying = undefined;
    if (this.#count === 0) {
      this.#pool.length = 0;
    }
  }

  #fits(bytes: number): boolean {
    // Alone, any body may go: parts of the largest objects are larger than the limit.
    return this.#count < this.#maxCount && (this.#count === 0 || this.#bytes + bytes <= this.#maxBytes);
  }

  #enter(bytes: number): Promise<void> | undefined {
    if (this.#waiting.length === 0 && this.#fits(bytes)) {
      this.#count++;
      this.#bytes += bytes;
      return undefined;
    }
    return new Promise((start) => {
      this.#waiting.push({ bytes, start });
    });
  }

  #leave(bytes: number): void {
    this.#count--;
    this.#bytes -= bytes;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (!this.#fits(next.bytes)) {
        return;
      }
      this.#waiting.shift();
      this.#count++;
      this.#bytes += next.bytes;
      next.start();
    }
    if (this.#count === 0) {
      this.#emptying ??= setTimeout(() => this.#empty(), IDLE_MS).unref();
    }
  }
}
