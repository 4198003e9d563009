import type { AttrRecord } from "./attributes.js";
import { FUSE_ATTR_WORDS } from "./attributes.js";
import { writeLatin1 } from "./latin1.js";
import type { VfsNode } from "./node.js";

/** Bytes before the name of a plain entry: ino u64, offset u64, name length u32, type u32. */
export const DIRENT_HEADER_BYTES = 24;
/** Bytes of node id, generation, timeouts and attributes in front of an entry with attributes. */
export const ENTRY_BYTES = 128;
const ENTRY_ATTR_WORD = 10;

/** Longer names are written faster by a call of Node's. */
const SHORT_NAME = 40;

function writeName(bytes: Buffer, name: string, position: number): void {
  if (name.length > SHORT_NAME) {
    writeLatin1(bytes, name, position);
    return;
  }
  for (let i = 0; i < name.length; i++) {
    bytes[position + i] = name.charCodeAt(i);
  }
}

/** Fills node id, generation and timeouts of an entry and counts one more reference to the node. */
export interface EntryReferencer {
  /** Writes words 0 to 9 of an entry (`struct fuse_entry_out` before its attributes) at `word`. */
  referenceEntry(node: VfsNode, words: Uint32Array, word: number): void;
}

/**
 * Directory entries on their way to the guest, in the layout of the kernel (`struct fuse_dirent`,
 * `struct fuse_direntplus`): records padded to 8 bytes, one behind the other. Entries that do not
 * fit are not added and not referenced.
 */
export class DirectoryBuffer {
  readonly bytes: Buffer;
  readonly words: Uint32Array;
  readonly #referencer: EntryReferencer;
  /** Entries carry nodes and attributes (READDIRPLUS). */
  plus = false;
  /** Where to go on: the offset of the last entry the guest has, 0 at the start; two 32-bit halves. */
  offsetLow = 0;
  offsetHigh = 0;
  /** Bytes that the guest has room for. */
  capacity = 0;
  /** Bytes used. */
  length = 0;
  /** An entry did not fit. */
  full = false;

  /** @param capacity the largest reply there can be in bytes, or the memory to use */
  constructor(capacity: number | ArrayBuffer, referencer: EntryReferencer) {
    const memory = typeof capacity === "number" ? new ArrayBuffer(capacity) : capacity;
    this.bytes = Buffer.from(memory);
    this.words = new Uint32Array(memory);
    this.#referencer = referencer;
  }

  /**
   * A buffer over the same memory, as this one was prepared, for another backend to fill: references to that backend's
   * nodes go to `referencer`. Its length is to be taken over with {@link accept}.
   */
  lend(referencer: EntryReferencer): DirectoryBuffer {
    const lent = new DirectoryBuffer(this.bytes.buffer as ArrayBuffer, referencer);
    lent.begin(this.plus, this.offsetLow, this.offsetHigh, this.capacity);
    return lent;
  }

  /** Takes over the first `length` bytes that were written through {@link lend}. */
  accept(length: number, full: boolean): void {
    this.length = length;
    this.full = full;
  }

  /** Prepares the buffer for a request. */
  begin(plus: boolean, offsetLow: number, offsetHigh: number, capacity: number): void {
    this.plus = plus;
    this.offsetLow = offsetLow;
    this.offsetHigh = offsetHigh;
    this.capacity = Math.min(capacity, this.bytes.length);
    this.length = 0;
    this.full = false;
  }

  /** {@link offsetLow} and {@link offsetHigh} as one number, for backends whose offsets are below 2^53. */
  get offset(): number {
    return this.offsetHigh * 0x1_0000_0000 + this.offsetLow;
  }

  /**
   * Adds an entry. `inoLow`/`inoHigh`: inode number; `type`: DT_* number (st_mode >> 12);
   * `nextOffset`: what the guest sends to go on behind this entry, 1 to 2^53 - 1. With `plus`, a
   * `node` with its attributes `attr` is what the guest may use without a lookup; leave them out for
   * "." and "..".
   * @returns false when the entry did not fit: stop then
   */
  add(
    name: string,
    inoLow: number,
    inoHigh: number,
    type: number,
    nextOffset: number,
    node?: VfsNode,
    attr?: AttrRecord,
  ): boolean {
    const prefix = this.plus ? ENTRY_BYTES : 0;
    const used = prefix + DIRENT_HEADER_BYTES + name.length;
    const size = (used + 7) & ~7;
    if (this.length + size > this.capacity) {
      this.full = true;
      return false;
    }
    const { words, bytes } = this;
    let word = this.length >>> 2;
    if (this.plus) {
      words.fill(0, word, word + ENTRY_BYTES / 4);
      if (node !== undefined && attr !== undefined) {
        this.#referencer.referenceEntry(node, words, word);
        for (let i = 0; i < FUSE_ATTR_WORDS; i++) {
          words[word + ENTRY_ATTR_WORD + i] = attr[i] as number;
        }
      }
      word += ENTRY_BYTES / 4;
    }
    words[word] = inoLow;
    words[word + 1] = inoHigh;
    words[word + 2] = nextOffset;
    words[word + 3] = nextOffset < 0x1_0000_0000 ? 0 : Math.floor(nextOffset / 0x1_0000_0000);
    words[word + 4] = name.length;
    words[word + 5] = type;
    const end = this.length + size;
    // The padding is in these two words; the name comes over them.
    words[(end >>> 2) - 2] = 0;
    words[(end >>> 2) - 1] = 0;
    writeName(bytes, name, this.length + prefix + DIRENT_HEADER_BYTES);
    this.length = end;
    return true;
  }

  /** Where to go on behind the last entry, in two halves. Only when there is one. */
  lastOffset(): [low: number, high: number] {
    const { words } = this;
    const prefix = this.plus ? ENTRY_BYTES : 0;
    let word = 0;
    for (let position = 0; position < this.length; ) {
      word = (position + prefix) >>> 2;
      position = (position + prefix + DIRENT_HEADER_BYTES + (words[word + 4] as number) + 7) & ~7;
    }
    return [words[word + 2] as number, words[word + 3] as number];
  }

  /** Gives the entry whose record native code has written at byte `position` its node. */
  referenceAt(position: number, node: VfsNode): void {
    this.#referencer.referenceEntry(node, this.words, position >>> 2);
  }
}
