/**
 * Locks by key for operations that wait: two of them that change the same node must not interleave.
 * Keys are taken all at once, in the order of the calls, so there is no deadlock and no starvation.
 */
export class KeyedLocks<Key> {
  readonly #tails = new Map<Key, Promise<void>>();

  /** Whether an operation holds or waits for the key. */
  isBusy(key: Key): boolean {
    return this.#tails.has(key);
  }

  /** Runs `operation` while it alone holds all of `keys`. */
  async run<T>(keys: readonly Key[], operation: () => T | Promise<T>): Promise<T> {
    const unique = [...new Set(keys)];
    const before = unique.map((key) => this.#tails.get(key));
    let release: () => void = () => {};
    const done = new Promise<void>((resolve) => {
      release = resolve;
    });
    // Everybody who comes later waits for `done`: taking the places is one synchronous step.
    for (const key of unique) {
      this.#tails.set(key, done);
    }
    try {
      await Promise.all(before);
      return await operation();
    } finally {
      for (const key of unique) {
        if (this.#tails.get(key) === done) {
          this.#tails.delete(key);
        }
      }
      release();
    }
  }
}
