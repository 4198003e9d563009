import { Attr, type AttrRecord } from "../../src/vfs/attributes.js";
import type { Layer } from "./layers.js";

/** Bits of the upper half of an inode number that are left to the file systems below. */
const OWN_BITS = 16;
const OWN_MASK = (1 << OWN_BITS) - 1;

/** The high half of an inode number with the bits of its file system. */
export function withHigh(high: number, bits: number): number {
  return bits === 0 ? high : ((high & OWN_MASK) | bits) >>> 0;
}

/**
 * Inode numbers that are unique although the layers are of several file systems: the number of the file system
 * is added above bit 48 of theirs. The first one's numbers, mostly that of the upper layer, stay as they are.
 */
export class InodeNumbers {
  /** Numbers of file systems by st_dev, or by layer for backends that have no devices. */
  readonly #systems = new Map<number | Layer, number>();

  /** Replaces the inode number of a file's attributes in this layer. */
  map(layer: Layer, out: AttrRecord): void {
    const bits = this.high(layer, out[Attr.DEV] as number);
    if (bits > 0) {
      out[Attr.INO + 1] = withHigh(out[Attr.INO + 1] as number, bits);
    }
  }

  /** What {@link withHigh} adds for a file system of this layer; 0: nothing. */
  high(layer: Layer, dev: number): number {
    return (this.#systemOf(layer, dev) << OWN_BITS) >>> 0;
  }

  #systemOf(layer: Layer, dev: number): number {
    const key = dev === 0 ? layer : dev;
    let system = this.#systems.get(key);
    if (system === undefined) {
      system = this.#systems.size;
      this.#systems.set(key, system);
    }
    return system;
  }
}
