/** Less comes from V8's own pool, or is soon gone. */
const LEAST_BYTES = 64 * 1024;
/** So much waits for the next part. */
const MOST_IDLE_BYTES = 32 * 2 ** 20;
/** When nothing was given back for so long, the memory is others'. */
const IDLE_MS = 1000;

/**
 * Memory for bodies that come through JavaScript. A buffer that comes and goes with each part is cleared by the kernel
 * every time, and keeps V8 collecting garbage.
 */
export class PartBuffers {
  readonly #idle: Buffer[] = [];
  #idleBytes = 0;
  #emptying: NodeJS.Timeout | undefined;

  /** Runs `task` with so many bytes, which are its own until its promise settles, with whatever is in them. */
  async run<T>(length: number, task: (bytes: Buffer) => Promise<T>): Promise<T> {
    if (length < LEAST_BYTES) return task(Buffer.allocUnsafe(length));
    const buffer = this.#take(2 ** Math.ceil(Math.log2(length)));
    try {
      return await task(buffer.subarray(0, length));
    } finally {
      this.#give(buffer);
    }
  }

  #take(capacity: number): Buffer {
    const at = this.#idle.findIndex(({ length }) => length === capacity);
    if (at < 0) return Buffer.allocUnsafeSlow(capacity);
    this.#idleBytes -= capacity;
    return this.#idle.splice(at, 1)[0] as Buffer;
  }

  #give(buffer: Buffer): void {
    if (this.#idleBytes + buffer.length > MOST_IDLE_BYTES) return;
    this.#idle.push(buffer);
    this.#idleBytes += buffer.length;
    if (this.#emptying === undefined) this.#emptying = setTimeout(() => this.#empty(), IDLE_MS).unref();
    else this.#emptying.refresh();
  }

  #empty(): void {
    this.#idle.length = this.#idleBytes = 0;
  }
}
