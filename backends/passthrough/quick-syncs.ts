import type { Awaitable, Status } from "../../src/vfs/errno.js";

/** An fsync that is over sooner is quick: a disk with a cache that survives a power cut, or a virtual one. */
const QUICK_MS = 1;
/** So many in a row must have been quick before one may hold up the rest. */
const TRUST = 8;

/**
 * Whether an fsync may run at once, on the thread that serves the share, instead of on the I/O pool, whose two
 * wake-ups take as long as a quick disk itself. One that is slow ends that until so many were quick again.
 */
export class QuickSyncs {
  readonly #now: () => number;
  #quickInARow = 0;

  /** `now` is a clock in milliseconds. */
  constructor(now = (): number => performance.now()) {
    this.#now = now;
  }

  /** The next one is likely to be quick. */
  get areLikely(): boolean {
    return this.#quickInARow >= TRUST;
  }

  /** Runs `sync` and remembers how long it took. */
  time(sync: () => Awaitable<Status>): Awaitable<Status> {
    const start = this.#now();
    const status = sync();
    if (typeof status === "number") {
      this.#note(start);
      return status;
    }
    return status.then((later) => {
      this.#note(start);
      return later;
    });
  }

  #note(start: number): void {
    this.#quickInARow = this.#now() - start < QUICK_MS ? this.#quickInARow + 1 : 0;
  }
}
