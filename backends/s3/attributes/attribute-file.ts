import { hash } from "node:crypto";
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";
import type { ObjectAttributes } from "../store/object-store.js";

const SLOT_BYTES = 512;
/** Slots of a set: an object has its place in one of them. */
const WAYS = 4;
const SET_BYTES = SLOT_BYTES * WAYS;
/** Digest of key and ETag, CRC of the rest, length, and when it was written (seconds, for eviction). */
const DIGEST_BYTES = 16;
const CRC_AT = 16;
const LENGTH_AT = 20;
const WRITTEN_AT = 24;
const TEXT_AT = 28;

/**
 * Metadata of objects on disk: a hash table of fixed size, four slots to a set, so that a look-up is one read and
 * nothing has to be loaded, compacted or bounded. A slot that was torn does not have its checksum and counts as
 * empty. What does not fit into a slot is not kept.
 */
export class AttributeFile {
  readonly #fd: number;
  readonly #sets: number;
  readonly #bucket: string;
  readonly #set = Buffer.alloc(SET_BYTES);
  /** Sets of a new file that nothing was written to need not be read. */
  readonly #used: Uint8Array | undefined;
  #isEmpty: boolean;

  /**
   * Opens or makes the file.
   * @param bucket whose objects they are, of those that may have the same file
   */
  constructor(path: string, sizeBytes: number, bucket: string) {
    this.#bucket = bucket;
    this.#fd = openSync(path, "a+");
    closeSync(this.#fd);
    this.#fd = openSync(path, "r+");
    this.#sets = Math.max(1, Math.floor(sizeBytes / SET_BYTES));
    this.#used = fstatSync(this.#fd).size === 0 ? new Uint8Array(this.#sets) : undefined;
    this.#isEmpty = this.#used !== undefined;
    ftruncateSync(this.#fd, this.#sets * SET_BYTES);
  }

  read(key: string, etag: string): ObjectAttributes | undefined {
    if (this.#isEmpty) {
      return undefined;
    }
    const digest = this.#digestOf(key, etag);
    this.#load(digest);
    const at = this.#findSlot(digest);
    if (at < 0) {
      return undefined;
    }
    const length = this.#set.readUInt32LE(at + LENGTH_AT);
    if (
      length > SLOT_BYTES - TEXT_AT ||
      crc32(this.#set.subarray(at + LENGTH_AT, at + TEXT_AT + length)) !== this.#set.readUInt32LE(at + CRC_AT)
    ) {
      return undefined;
    }
    return JSON.parse(this.#set.toString("utf8", at + TEXT_AT, at + TEXT_AT + length)) as ObjectAttributes;
  }

  write(key: string, etag: string, stored: ObjectAttributes): void {
    const text = Buffer.from(JSON.stringify(stored));
    if (text.length > SLOT_BYTES - TEXT_AT) {
      return;
    }
    const digest = this.#digestOf(key, etag);
    const setAt = this.#load(digest);
    const own = this.#findSlot(digest);
    const at = own >= 0 ? own : this.#oldestSlot();
    const slot = this.#set.subarray(at, at + SLOT_BYTES);
    digest.copy(slot, 0, 0, DIGEST_BYTES);
    slot.writeUInt32LE(text.length, LENGTH_AT);
    slot.writeUInt32LE(Math.floor(Date.now() / 1000), WRITTEN_AT);
    text.copy(slot, TEXT_AT);
    slot.writeUInt32LE(crc32(slot.subarray(LENGTH_AT, TEXT_AT + text.length)), CRC_AT);
    writeSync(this.#fd, slot, 0, TEXT_AT + text.length, setAt + at);
    this.#isEmpty = false;
    if (this.#used !== undefined) {
      this.#used[setAt / SET_BYTES] = 1;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  #digestOf(key: string, etag: string): Buffer {
    return hash("sha256", `${this.#bucket}\0${key}\0${etag}`, "buffer");
  }

  /** Reads the set of a digest. @returns where it is in the file */
  #load(digest: Buffer): number {
    const set = digest.readUIntLE(DIGEST_BYTES, 6) % this.#sets;
    const at = set * SET_BYTES;
    const isEmpty = this.#used?.[set] === 0;
    this.#set.fill(0, isEmpty ? 0 : readSync(this.#fd, this.#set, 0, SET_BYTES, at));
    return at;
  }

  #findSlot(digest: Buffer): number {
    for (let at = 0; at < SET_BYTES; at += SLOT_BYTES) {
      if (this.#set.compare(digest, 0, DIGEST_BYTES, at, at + DIGEST_BYTES) === 0) {
        return at;
      }
    }
    return -1;
  }

  #oldestSlot(): number {
    let oldest = 0;
    for (let at = SLOT_BYTES; at < SET_BYTES; at += SLOT_BYTES) {
      if (this.#set.readUInt32LE(at + WRITTEN_AT) < this.#set.readUInt32LE(oldest + WRITTEN_AT)) {
        oldest = at;
      }
    }
    return oldest;
  }
}
