/** What could not be kept, by reason: for one line each at the end. */
export class Omissions {
  readonly #counts = new Map<string, number>();

  add(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  /** For example `left out: sockets (3)`. */
  lines(): string[] {
    return [...this.#counts].map(([what, count]) => `left out: ${what} (${count})`);
  }
}
