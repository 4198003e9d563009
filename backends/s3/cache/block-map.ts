import { readSync, writeSync } from "node:fs";
import { crc32c } from "../../../src/native/checksum.js";
import { PartialFile } from "../../../src/native/partial-file.js";

const PAGE_BYTES = 4096;
const ENTRY_BYTES = 8;
/** Blocks are this large, and larger only where an object would have too many. */
const LEAST_SHIFT = 17;
const MAX_BLOCKS = 2 ** 19;

function blockShiftFor(size: number): number {
  let shift = LEAST_SHIFT;
  while (size / 2 ** shift > MAX_BLOCKS) {
    shift++;
  }
  return shift;
}

const WORD_BITS = 32;

/** What a cache file says of itself behind its data. */
interface Header {
  readonly identity: string;
  readonly shift: number;
  /** Files of versions that had another checksum are not used. */
  readonly checksum: "crc32c";
}

/**
 * Which blocks of an object a cache file has. The file begins with the object's bytes; behind them, at the next
 * page, is a page that names the object, then for each block its CRC-32C and whether it is there. A block that a
 * process before has written is checked when it is first wanted. What may be read native code reads by itself.
 */
export class BlockMap {
  readonly size: number;
  readonly blockBytes: number;
  readonly blocks: number;
  /** What native code reads. Marked blocks are hidden from it. */
  readonly file: PartialFile;
  /** A bit for each block that may be read. */
  readonly #present: Uint32Array;
  #presentCount = 0;
  readonly #marked = new Set<number>();
  readonly #fd: number;
  /** CRC and presence of each block; the file has them, but for those that came lately. */
  readonly #entries: Uint32Array;
  #firstUnsaved = Number.POSITIVE_INFINITY;
  #endUnsaved = 0;
  readonly #headerAt: number;
  readonly #header: Header;
  /** The header is not in the file so far. */
  #isNew: boolean;

  /**
   * Takes over `fd`, which is open for reading and writing; what it has under another identity is not used. With `isNew`
   * there is nothing behind the object's bytes so far.
   */
  constructor(fd: number, identity: string, size: number, isNew = false) {
    const shift = blockShiftFor(size);
    this.#fd = fd;
    this.file = new PartialFile(fd, size, shift);
    this.size = size;
    this.blockBytes = 2 ** shift;
    this.blocks = Math.ceil(size / this.blockBytes);
    this.#present = new Uint32Array(Math.ceil(this.blocks / WORD_BITS));
    this.#entries = new Uint32Array(this.blocks * 2);
    this.#headerAt = Math.ceil(size / PAGE_BYTES) * PAGE_BYTES;
    this.#header = { identity, shift, checksum: "crc32c" };
    this.#isNew = isNew;
    if (!isNew) {
      this.#load();
    }
  }

  /** No block may be read so far. */
  get isEmpty(): boolean {
    return this.#presentCount === 0;
  }

  /** Whether a block can be read; one that has not got its checksum any more is given up. */
  has(block: number): boolean {
    if (this.#isPresent(block)) {
      return true;
    }
    if (this.#entries[block * 2 + 1] !== 1) {
      return false;
    }
    const bytes = Buffer.allocUnsafe(this.lengthOf(block));
    const length = readSync(this.#fd, bytes, 0, bytes.length, block * this.blockBytes);
    if (length !== bytes.length || crc32c(bytes, 0) !== this.#entries[block * 2]) {
      this.#entries[block * 2 + 1] = 0;
      return false;
    }
    this.#setPresent(block);
    return true;
  }

  /** The next read of a block comes to the backend, whether it is there or not, until {@link unmark}. */
  mark(block: number): void {
    this.#marked.add(block);
    this.file.hide(block);
  }

  unmark(block: number): void {
    if (this.#marked.delete(block) && this.#isPresent(block)) {
      this.file.show(block);
    }
  }

  lengthOf(block: number): number {
    return Math.min(this.blockBytes, this.size - block * this.blockBytes);
  }

  /**
   * The bytes of blocks from `first` on were written to the file, with these checksums; {@link save} makes that outlive
   * the process.
   */
  add(first: number, sums: ArrayLike<number>): void {
    for (let i = 0; i < sums.length; i++) {
      const block = first + i;
      this.#entries[block * 2] = sums[i] as number;
      this.#entries[block * 2 + 1] = 1;
      this.#setPresent(block);
    }
    this.#firstUnsaved = Math.min(this.#firstUnsaved, first);
    this.#endUnsaved = Math.max(this.#endUnsaved, first + sums.length);
  }

  /** Something was added since {@link save}. */
  get isUnsaved(): boolean {
    return this.#firstUnsaved < this.#endUnsaved;
  }

  /** Writes down what was added: seldom, as it waits for whoever writes to the file. */
  save(): void {
    const [first, end] = [this.#firstUnsaved, this.#endUnsaved];
    this.#firstUnsaved = Number.POSITIVE_INFINITY;
    this.#endUnsaved = 0;
    if (first >= end) {
      return;
    }
    const entries = new Uint8Array(this.#entries.buffer, first * ENTRY_BYTES, (end - first) * ENTRY_BYTES);
    const entriesAt = this.#headerAt + PAGE_BYTES + first * ENTRY_BYTES;
    if (this.#isNew && first === 0) {
      writeSync(this.#fd, Buffer.concat([this.#headerPage(), entries]), 0, undefined, this.#headerAt);
      this.#isNew = false;
      return;
    }
    this.#writeHeader();
    writeSync(this.#fd, entries, 0, undefined, entriesAt);
  }

  /** All bytes are in the file. It keeps them over a restart only where {@link add} says so. */
  addAll(): void {
    for (let block = 0; block < this.blocks; block++) {
      this.#setPresent(block);
    }
  }

  /** Gives blocks up, before their bytes go. */
  remove(first: number, count: number): void {
    for (let block = first; block < first + count; block++) {
      if (this.#isPresent(block)) {
        const word = Math.floor(block / WORD_BITS);
        this.#present[word] = (this.#present[word] as number) & ~(1 << (block % WORD_BITS));
        this.#presentCount--;
      }
      this.file.hide(block);
      this.#entries[block * 2 + 1] = 0;
    }
    this.file.beforeRemoval();
    const zeros = Buffer.alloc(count * ENTRY_BYTES);
    writeSync(this.#fd, zeros, 0, zeros.length, this.#headerAt + PAGE_BYTES + first * ENTRY_BYTES);
  }

  #isPresent(block: number): boolean {
    return ((this.#present[Math.floor(block / WORD_BITS)] as number) & (1 << (block % WORD_BITS))) !== 0;
  }

  #setPresent(block: number): void {
    if (!this.#isPresent(block)) {
      const word = Math.floor(block / WORD_BITS);
      this.#present[word] = (this.#present[word] as number) | (1 << (block % WORD_BITS));
      this.#presentCount++;
    }
    if (!this.#marked.has(block)) {
      this.file.show(block);
    }
  }

  #load(): void {
    const found = Buffer.alloc(PAGE_BYTES);
    const length = readSync(this.#fd, found, 0, PAGE_BYTES, this.#headerAt);
    if (length === PAGE_BYTES && found.equals(this.#headerPage())) {
      const { buffer, byteLength } = this.#entries;
      readSync(this.#fd, new Uint8Array(buffer, 0, byteLength), 0, byteLength, this.#headerAt + PAGE_BYTES);
    } else {
      this.#isNew = true;
      this.#writeHeader();
    }
  }

  #writeHeader(): void {
    if (this.#isNew) {
      writeSync(this.#fd, this.#headerPage(), 0, PAGE_BYTES, this.#headerAt);
      this.#isNew = false;
    }
  }

  #headerPage(): Buffer {
    const page = Buffer.alloc(PAGE_BYTES);
    page.write(JSON.stringify(this.#header));
    return page;
  }
}
