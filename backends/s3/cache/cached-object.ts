import { readSync } from "node:fs";
import { crc32c } from "../../../src/native/checksum.js";
import { emptyRange } from "../../../src/native/http-connection.js";
import { posix } from "../../../src/native/posix.js";
import { type ObjectStore, StoreError } from "../store/object-store.js";
import type { BlockMap } from "./block-map.js";
import type { MemoryBudget } from "./memory-budget.js";

/** Which version of which object. */
export interface ObjectVersion {
  readonly key: string;
  readonly etag: string;
  readonly size: number;
  readonly versionId?: string;
}

/** A GET fetches this much at most: parts of a window come side by side. */
export const PART_BYTES = 8 * 2 ** 20;
/** What takes about as long to come as to ask for: parts ahead of a reader are no smaller. */
export const MIN_PART_BYTES = 2 ** 20;
/** Where a reader goes here and there, so many misses of a region take about as long as fetching the rest of it. */
const REGION_BYTES = 8 * 2 ** 20;
const MISSES_OF_REGION = 3;
/** What comes over all connections in about the time of a miss. */
const BYTES_OF_MISS = 64 * 2 ** 20;
/** Who reads so often here and there is expected to go on. */
const LEAST_MISSES = 16;
/** Regions that are fetched side by side when all of an object is. */
const MOST_REGIONS_AT_ONCE = 16;
/** Neighbours that are missing are fetched together across what is there if that is no more than this. */
const MERGE_BYTES = 512 * 1024;
const PUNCH_AND_KEEP_SIZE = 3;
/** What came is written down for a process to come so long afterwards, or when nothing else is on its way. */
const SAVE_AFTER_MS = 1000;

/** Blocks that were fetched together. */
export interface Arrival {
  readonly first: number;
  readonly count: number;
  /** Higher than that of all before, of whatever object. */
  readonly sequence: number;
}

let arrivals = 0;

/** The checksum of each block. */
function sumsOf(bytes: Uint8Array, blockBytes: number): number[] {
  const sums: number[] = [];
  for (let at = 0; at < bytes.length; at += blockBytes) {
    sums.push(crc32c(bytes.subarray(at, at + blockBytes), 0));
  }
  return sums;
}

/** A version of an object whose blocks are fetched into a cache file as they are wanted. */
export class CachedObject {
  #version: ObjectVersion;
  readonly map: BlockMap;
  readonly path: string;
  readonly fd: number;
  /** Handles that read it. */
  users = 0;
  readonly #store: ObjectStore;
  readonly #budget: MemoryBudget;
  readonly #arrived: (object: CachedObject, bytes: number) => void;
  readonly #fetching = new Map<number, Promise<void>>();
  /** How often readers that go here and there missed a block, by region and in all. */
  readonly #misses = new Map<number, number>();
  #missed = 0;
  /** All of the object may be fetched for them: it is a small part of what the cache may have. */
  mayBeSwept = false;
  #isSwept = false;
  /** Regions that were fetched for them. */
  readonly #wholeRegions = new Set<number>();
  /** What was fetched, in the order in which it came. */
  readonly #came: Arrival[] = [];
  /** Holes that are being punched. */
  #punching: Promise<unknown> | undefined;
  #saving: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    version: ObjectVersion,
    map: BlockMap,
    file: { readonly path: string; readonly fd: number },
    store: ObjectStore,
    budget: MemoryBudget,
    arrived: (object: CachedObject, bytes: number) => void,
  ) {
    this.#version = version;
    this.map = map;
    this.path = file.path;
    this.fd = file.fd;
    this.#store = store;
    this.#budget = budget;
    this.#arrived = arrived;
  }

  get version(): ObjectVersion {
    return this.#version;
  }

  /** Fetches this version from now on, whatever becomes of the key; it has the same bytes. */
  keepTo(version: ObjectVersion): void {
    if (version.versionId !== undefined) {
      this.#version = version;
    }
  }

  /** What came first of what this process fetched and is still there. */
  get oldest(): Arrival | undefined {
    return this.#came[0];
  }

  get newest(): Arrival | undefined {
    return this.#came.at(-1);
  }

  takeOldest(): Arrival | undefined {
    return this.#came.shift();
  }

  /** Takes the bytes of blocks off the disk, unless they are just being fetched again. */
  giveUp({ first, count }: Arrival): void {
    this.map.remove(first, count);
    if (this.#anyFetching(first, first + count)) {
      return;
    }
    const { blockBytes } = this.map;
    const [at, length] = [BigInt(first * blockBytes), BigInt(count * blockBytes)];
    // Where holes cannot be punched the bytes stay, and nobody reads them.
    const punched = posix.fallocate(this.fd, PUNCH_AND_KEEP_SIZE, at, length, 0).catch(() => undefined);
    const all = Promise.all([this.#punching, punched]).then(() => {
      this.#punching = this.#punching === all ? undefined : this.#punching;
    });
    this.#punching = all;
  }

  /** Closes the file; what is on its way into it is dropped. */
  close(): void {
    this.#closed = true;
    this.#save();
    this.map.file.close();
  }

  #save(): void {
    clearTimeout(this.#saving);
    this.#saving = undefined;
    this.map.save();
  }

  #saveLater(): void {
    if (this.#fetching.size === 0) {
      this.#save();
    } else {
      this.#saving ??= setTimeout(() => this.#save(), SAVE_AFTER_MS).unref();
    }
  }

  /** Something is on its way into the file, or out of it. */
  get busy(): boolean {
    return this.#fetching.size > 0 || this.#punching !== undefined;
  }

  /** Whether all of the range can be read now. */
  has(offset: number, length: number): boolean {
    const last = this.#lastBlock(offset, length);
    for (let block = this.#blockAt(offset); block <= last; block++) {
      if (!this.map.has(block)) {
        return false;
      }
    }
    return true;
  }

  /**
   * Notes a miss out of order. Who has waited for as long as it takes to fetch the whole object gets that fetched.
   * @returns the region around it, when fetching that pays by now: it was missed several times, or a reader who will
   * read as often again as so far is likely to come back to it.
   */
  missed(offset: number): { readonly offset: number; readonly length: number } | undefined {
    const region = Math.floor(offset / REGION_BYTES);
    const misses = (this.#misses.get(region) ?? 0) + 1;
    this.#misses.set(region, misses);
    this.#missed++;
    const paysOff = this.#missed >= LEAST_MISSES && this.#missed * BYTES_OF_MISS >= this.map.size;
    if (paysOff && this.mayBeSwept) {
      void this.#sweep(region);
    }
    // As many reads as so far would come back to every other region.
    const comesBack = this.#missed * REGION_BYTES * 2 >= this.map.size;
    if ((misses < MISSES_OF_REGION && !comesBack) || this.#isSwept || this.#wholeRegions.has(region)) {
      return undefined;
    }
    this.#wholeRegions.add(region);
    return this.#rangeOf(region);
  }

  #rangeOf(region: number): { readonly offset: number; readonly length: number } {
    const offset = region * REGION_BYTES;
    return { offset, length: Math.min(REGION_BYTES, this.map.size - offset) };
  }

  /** Fetches all regions once, from this one on, for as long as somebody reads the object. */
  async #sweep(first: number): Promise<void> {
    if (this.#isSwept) {
      return;
    }
    this.#isSwept = true;
    const regions = Math.ceil(this.map.size / REGION_BYTES);
    let done = 0;
    const fetchOnes = async () => {
      while (done < regions && this.users > 0 && !this.#closed) {
        const { offset, length } = this.#rangeOf((first + done++) % regions);
        await this.wait(offset, length);
      }
    };
    // Half of the memory is for what readers wait for.
    const fitting = Math.floor(this.#budget.limitBytes / 2 / this.#store.heldBytes(REGION_BYTES));
    const count = Math.max(1, Math.min(MOST_REGIONS_AT_ONCE, fitting));
    // A failure is told to whoever misses what has not come.
    await Promise.allSettled(Array.from({ length: count }, fetchOnes));
    this.#isSwept = done >= regions;
  }

  /** Begins to fetch what is missing of a range and not on its way, in parts of so many bytes at most. */
  fetch(offset: number, length: number, partBytes = PART_BYTES): void {
    const last = this.#lastBlock(offset, length);
    const mostBlocks = Math.max(1, Math.floor(partBytes / this.map.blockBytes));
    const mergeBlocks = MERGE_BYTES / this.map.blockBytes;
    let first = -1;
    let end = -1;
    for (let block = this.#blockAt(offset); block <= last; block++) {
      if (this.#fetching.has(block) || this.map.has(block)) {
        continue;
      }
      const joins = first >= 0 && block - end <= mergeBlocks && block - first < mostBlocks;
      if (first >= 0 && (!joins || this.#anyFetching(end, block))) {
        this.#start(first, end);
        first = -1;
      }
      first = first < 0 ? block : first;
      end = block + 1;
    }
    if (first >= 0) {
      this.#start(first, end);
    }
  }

  /**
   * The file has come with all bytes of the object, lately written. Their checksums are in it, too, when this returns
   * undefined, or the promise resolves.
   */
  addAll(): Promise<void> | undefined {
    const { size, blockBytes, blocks } = this.map;
    this.map.addAll();
    this.#came.push({ first: 0, count: blocks, sequence: ++arrivals });
    this.#arrived(this, size);
    if (size > blockBytes) {
      return this.#sumAll();
    }
    const bytes = Buffer.allocUnsafe(size);
    if (readSync(this.fd, bytes, 0, size, 0) === size && this.has(0, size)) {
      this.map.add(0, sumsOf(bytes, blockBytes));
      this.#save();
    }
    return undefined;
  }

  async #sumAll(): Promise<void> {
    const { size, blockBytes } = this.map;
    const piece = Buffer.allocUnsafe(Math.min(size, Math.max(MIN_PART_BYTES, blockBytes)));
    for (let offset = 0; offset < size; offset += piece.length) {
      const bytes = piece.subarray(0, Math.min(piece.length, size - offset));
      const count = await posix.readSlowly(this.fd, bytes, offset);
      if (this.#closed || count !== bytes.length || !this.has(offset, bytes.length)) {
        return;
      }
      this.map.add(offset / blockBytes, sumsOf(bytes, blockBytes));
    }
    this.#save();
  }

  /** Waits until a range can be read, fetching what nobody fetches. Rejects with a StoreError. */
  async wait(offset: number, length: number): Promise<void> {
    while (!this.has(offset, length)) {
      this.fetch(offset, length);
      const last = this.#lastBlock(offset, length);
      const waiting: Promise<void>[] = [];
      for (let block = this.#blockAt(offset); block <= last; block++) {
        const fetching = this.#fetching.get(block);
        if (fetching !== undefined) {
          waiting.push(fetching);
        }
      }
      await Promise.all(waiting);
    }
  }

  /** Reads what is there; call it right after {@link has} or {@link wait}. @returns the count of bytes */
  readNow(offset: number, into: Uint8Array): number {
    const length = Math.max(0, Math.min(into.length, this.map.size - offset));
    return length === 0 ? 0 : readSync(this.fd, into, 0, length, offset);
  }

  /** Reads a range, short only at the end of the object. Rejects with a StoreError. */
  async read(offset: number, into: Uint8Array): Promise<number> {
    await this.wait(offset, into.length);
    return this.readNow(offset, into);
  }

  #blockAt(offset: number): number {
    return Math.floor(offset / this.map.blockBytes);
  }

  #lastBlock(offset: number, length: number): number {
    return Math.min(this.map.blocks, Math.ceil((offset + length) / this.map.blockBytes)) - 1;
  }

  #anyFetching(from: number, to: number): boolean {
    for (let block = from; block < to; block++) {
      if (this.#fetching.has(block)) {
        return true;
      }
    }
    return false;
  }

  #start(first: number, end: number): void {
    const fetched = this.#fetchBlocks(first, end).finally(() => {
      for (let block = first; block < end; block++) {
        this.#fetching.delete(block);
      }
      if (!this.#closed && this.map.isUnsaved) {
        this.#saveLater();
      }
    });
    // Whoever waits for it hears of a failure; ahead of a reader nobody may wait.
    fetched.catch(() => undefined);
    for (let block = first; block < end; block++) {
      this.#fetching.set(block, fetched);
    }
  }

  async #fetchBlocks(first: number, end: number): Promise<void> {
    const offset = first * this.map.blockBytes;
    const length = Math.min(end * this.map.blockBytes, this.map.size) - offset;
    const held = this.#store.heldBytes(length);
    await this.#budget.take(held);
    try {
      // A hole that comes after the bytes would take them away again.
      await this.#punching;
      this.#checkOpen();
      const range = emptyRange(this.fd, offset, length, this.map.blockBytes);
      const { key, etag, versionId } = this.version;
      const options = { ifMatch: etag, ...(versionId !== undefined && { versionId }) };
      const result = await this.#store.readToFile(key, offset, range, options);
      if (result.length !== length) {
        throw new StoreError("io", `${key}: ${result.length} instead of ${length} bytes at ${offset}`);
      }
      this.#checkOpen();
      this.map.add(first, range.progress.subarray(1));
      this.#came.push({ first, count: end - first, sequence: ++arrivals });
      this.#arrived(this, length);
    } finally {
      this.#budget.give(held);
    }
  }

  /** The descriptor may be another file's by now. */
  #checkOpen(): void {
    if (this.#closed) {
      throw new StoreError("io", `${this.version.key}: the cache is closed`);
    }
  }
}
