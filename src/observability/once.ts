/** Keys that are remembered; more only come from a bug that makes keys up. */
const DEFAULT_LIMIT = 256;

/**
 * Lets one message per key through: a bug that every request hits is one line in the log, not a
 * million. It holds a bounded number of keys; beyond that, new keys are silenced as well, so that
 * neither the memory nor the log can be filled from outside.
 */
export class OncePerKey {
  readonly #seen = new Set<string>();
  readonly #limit: number;

  /** @param limit number of keys remembered */
  constructor(limit = DEFAULT_LIMIT) {
    this.#limit = limit;
  }

  /** True the first time a key is asked for, and never again. */
  isFirst(key: string): boolean {
    if (this.#seen.size >= this.#limit || this.#seen.has(key)) {
      return false;
    }
    this.#seen.add(key);
    return true;
  }
}
