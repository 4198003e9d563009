import type { PassthroughNode } from "./node.js";
import { RecentNames } from "./recent-names.js";

/** How long looking a name up may take before the disk counts as slow. */
export const PATIENCE_MS = 20;
/** How long it then does. */
const SLOW_MS = 10_000;

/**
 * Whether names on a disk are looked up at once, as is best as long as it takes microseconds, or, for a while after
 * one took long, only those that are in memory, and the others on the I/O pool.
 */
export class DiskPatience {
  readonly #patienceMs: number;
  #slowUntil = 0;
  #recent: RecentNames | undefined;

  constructor(patienceMs: number) {
    this.#patienceMs = patienceMs;
  }

  /** Looks a name up with `look`, and how long that takes. */
  time<T>(look: () => T): T {
    const start = performance.now();
    const result = look();
    const end = performance.now();
    if (end - start > this.#patienceMs) {
      this.#slowUntil = end + SLOW_MS;
    }
    return result;
  }

  /** Whether looking the name up might hold up the rest. */
  isTried(parent: PassthroughNode, name: string): boolean {
    if (this.#slowUntil === 0) {
      return false;
    }
    if (performance.now() > this.#slowUntil) {
      this.#slowUntil = 0;
      return false;
    }
    this.#recent ??= new RecentNames();
    return !this.#recent.meet(parent, name);
  }
}
