const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/** Waiting times between attempts: doubled each time, with jitter, so that not all files come back at once. */
export class Backoff {
  #nextMs = FIRST_MS;

  /** How long to wait now. */
  next(): number {
    const delay = this.#nextMs * (0.5 + Math.random() / 2);
    this.#nextMs = Math.min(this.#nextMs * 2, LONGEST_MS);
    return delay;
  }

  /** An attempt succeeded. */
  reset(): void {
    this.#nextMs = FIRST_MS;
  }
}
