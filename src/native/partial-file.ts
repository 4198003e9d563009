import { addon } from "./addon.js";

const WORD_BITS = 32;

interface PartialFileBinding {
  /** Takes the descriptor over. Blocks have 2^shift bytes. */
  open(fd: number, size: number, shift: number): { readonly words: ArrayBuffer };
  close(file: object): void;
}

const binding = (addon as { partialFile: PartialFileBinding }).partialFile;

/**
 * A file of which native code may read some blocks by itself, through handles that are bound to it (bound files of kind
 * "partial"); reads of other blocks come to the backend. In the beginning it may read none.
 */
export class PartialFile {
  readonly fd: number;
  /** What a bound file carries. */
  readonly native: object;
  /** Removals so far, then a bit for each block: native threads read them. */
  readonly #words: Uint32Array;

  /** Takes the descriptor over. What it has behind `size` bytes is no part of the file; blocks have 2^shift bytes. */
  constructor(fd: number, size: number, shift: number) {
    const native = binding.open(fd, size, shift);
    this.fd = fd;
    this.native = native;
    this.#words = new Uint32Array(native.words);
  }

  /** The bytes of a block are there: native code may read them. */
  show(block: number): void {
    Atomics.or(this.#words, 1 + Math.floor(block / WORD_BITS), 1 << (block % WORD_BITS));
  }

  /** Reads of the block come to the backend from now on. */
  hide(block: number): void {
    Atomics.and(this.#words, 1 + Math.floor(block / WORD_BITS), ~(1 << (block % WORD_BITS)));
  }

  /** The bytes of blocks that are hidden are about to go: what is being read of the file now does not count. */
  beforeRemoval(): void {
    Atomics.add(this.#words, 0, 1);
  }

  /** Closes the descriptor when no read is in flight. */
  close(): void {
    binding.close(this.native);
  }
}
