import type { PassthroughNode } from "./node.js";

/** Names to remember; 8 MiB of which only what is used takes memory. */
const PLACES = 1 << 21;
const FNV_PRIME = 0x01000193;

/**
 * Names that were looked up not long ago: the host's kernel has them in memory, as far as anybody can tell without
 * asking. It remembers a hash of each, at a place that the next name with the same one takes.
 */
export class RecentNames {
  readonly #hashes = new Int32Array(PLACES);

  /** Whether the name was looked up before; from now on it was. */
  meet(parent: PassthroughNode, name: string): boolean {
    let hash = (typeof parent.key === "number" ? parent.key | 0 : parent.tableIndex) ^ parent.dev;
    for (let i = 0; i < name.length; i++) {
      hash = Math.imul(hash ^ name.charCodeAt(i), FNV_PRIME);
    }
    hash ^= hash >>> 15;
    const place = hash & (PLACES - 1);
    const met = this.#hashes[place] === hash;
    this.#hashes[place] = hash;
    return met;
  }
}
