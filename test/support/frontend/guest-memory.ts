import { checked, native } from "./native.js";
import type { Region } from "./vhost-user.js";

/** Where the first region lies in the guest's address space. */
const GUEST_BASE = 0x8000_0000n;
/** Where the front-end pretends to have mapped its memory (ring addresses are given so). */
const USER_BASE = 0x7f00_0000_0000n;
export const PAGE_BYTES = 4096;

export interface MemoryLayout {
  /** Total size; divided evenly over the regions. */
  readonly sizeBytes: number;
  /** Number of regions, at least 1. */
  readonly regions: number;
  /** Hole in the guest's address space between two regions; 0 makes them adjoin. */
  readonly holeBytes: number;
}

/** A range of guest memory by its offset in the front-end's mapping. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

/**
 * The guest's memory: one memfd, mapped once here and offered to the server as one or more regions.
 * Everything is addressed by offset in the mapping; {@link guestAddress} translates.
 */
export class GuestMemory {
  readonly fd: number;
  readonly bytes: Buffer;
  readonly layout: MemoryLayout;
  readonly regionBytes: number;
  readonly regions: readonly Region[];
  #top = 0;
  /** Free blocks by size class (a power of two). */
  readonly #free = new Map<number, number[]>();
  /** Where {@link watch} learns of new ranges. */
  #allocated: Range[] = [];

  constructor(layout: MemoryLayout) {
    this.layout = layout;
    this.regionBytes = Math.floor(layout.sizeBytes / layout.regions / PAGE_BYTES) * PAGE_BYTES;
    const sizeBytes = this.regionBytes * layout.regions;
    this.fd = checked(native.memfdCreate(sizeBytes), "memfd_create");
    const mapping = native.map(this.fd, sizeBytes);
    if (typeof mapping === "number") throw new Error(`mmap: ${mapping}`);
    this.bytes = mapping;
    this.regions = Array.from({ length: layout.regions }, (_, index) => this.#region(index));
  }

  #region(index: number): Region {
    const offset = BigInt(index * this.regionBytes);
    return {
      guestAddress: GUEST_BASE + offset + BigInt(index * this.layout.holeBytes),
      sizeBytes: BigInt(this.regionBytes),
      userAddress: USER_BASE + offset,
      fileOffset: offset,
    };
  }

  /** The first address behind the last region: nothing is mapped there. */
  get endAddress(): bigint {
    const last = this.regions[this.regions.length - 1] as Region;
    return last.guestAddress + last.sizeBytes;
  }

  /** Highest offset handed out so far; memory from here on is untouched. */
  get used(): number {
    return this.#top;
  }

  guestAddress(offset: number): bigint {
    const index = Math.floor(offset / this.regionBytes);
    const region = this.regions[index];
    if (region === undefined) throw new RangeError(`offset ${offset} is outside guest memory`);
    return region.guestAddress + BigInt(offset % this.regionBytes);
  }

  userAddress(offset: number): bigint {
    return USER_BASE + BigInt(offset);
  }

  view(range: Range): Buffer {
    return this.bytes.subarray(range.offset, range.offset + range.length);
  }

  /** A range that lies in one region, aligned to its size class (16 bytes to a page). */
  allocate(length: number): Range {
    const range = { offset: this.#take(sizeClass(length)), length };
    this.#allocated.push(range);
    return range;
  }

  #take(size: number): number {
    const reused = this.#free.get(size)?.pop();
    if (reused !== undefined) return reused;
    const alignment = Math.min(size, PAGE_BYTES);
    let offset = Math.ceil(this.#top / alignment) * alignment;
    const regionEnd = (Math.floor(offset / this.regionBytes) + 1) * this.regionBytes;
    if (offset + size > regionEnd) offset = regionEnd;
    if (size > this.regionBytes || offset + size > this.bytes.length) {
      throw new Error(`out of guest memory: ${size} bytes at ${offset}`);
    }
    this.#top = offset + size;
    return offset;
  }

  /** Gives back a range that {@link allocate} returned. */
  release(range: Range): void {
    const size = sizeClass(range.length);
    const list = this.#free.get(size);
    if (list === undefined) this.#free.set(size, [range.offset]);
    else list.push(range.offset);
  }

  /** Allocates and fills a range. */
  store(content: Uint8Array): Range {
    const range = this.allocate(content.length);
    this.bytes.set(content, range.offset);
    return range;
  }

  /**
   * Takes a picture of all memory. The function that it returns tells the offset of the first byte
   * that has changed since, or -1, outside `allowed` and outside every range allocated meanwhile:
   * whether the server wrote where nothing was offered to it.
   */
  watch(allowed: readonly Range[]): () => number {
    const before = Buffer.from(this.bytes);
    const allocated: Range[] = [];
    this.#allocated = allocated;
    return () => {
      for (const { offset, length } of [...allowed, ...allocated]) {
        this.bytes.copy(before, offset, offset, offset + length);
      }
      if (before.equals(this.bytes)) return -1;
      return before.findIndex((byte, index) => byte !== this.bytes[index]);
    };
  }

  /** Drops the descriptor; the mapping lives until it is collected. */
  close(): void {
    native.closeDescriptor(this.fd);
  }
}

function sizeClass(length: number): number {
  return Math.max(16, 2 ** Math.ceil(Math.log2(Math.max(1, length))));
}
