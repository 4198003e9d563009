import { ATTR_BYTES, ENTRY_OUT_BYTES } from "./fuse-abi.js";
import type { Attributes, Entry, InitReply, LockRange, PlusEntry, Statistics } from "./fuse-types.js";
import { DIRENT_BYTES, type DirectoryEntry } from "./fuse-types.js";

/** A name as bytes, or as a latin1 string: one character per byte. */
export type Name = string | Uint8Array;
export type Integer = number | bigint;

export function nameBytes(name: Name): Buffer {
  return typeof name === "string" ? Buffer.from(name, "latin1") : Buffer.from(name);
}

/** Builds the little-endian body of a request, field by field. */
export class Body {
  readonly #parts: Buffer[] = [];

  u32(...values: number[]): this {
    for (const value of values) {
      const field = Buffer.alloc(4);
      field.writeUInt32LE(value >>> 0);
      this.#parts.push(field);
    }
    return this;
  }

  /** Unsigned or two's complement. */
  u64(...values: Integer[]): this {
    for (const value of values) {
      const field = Buffer.alloc(8);
      field.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
      this.#parts.push(field);
    }
    return this;
  }

  /** A name with its terminating NUL. */
  name(name: Name): this {
    this.#parts.push(nameBytes(name), Buffer.alloc(1));
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.#parts.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    return this;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

export function decodeAttributes(bytes: Buffer, at: number): Attributes {
  const u64 = (offset: number) => bytes.readBigUInt64LE(at + offset);
  const i64 = (offset: number) => Number(bytes.readBigInt64LE(at + offset));
  const u32 = (offset: number) => bytes.readUInt32LE(at + offset);
  return {
    ino: u64(0),
    size: Number(u64(8)),
    blocks: Number(u64(16)),
    atime: i64(24),
    mtime: i64(32),
    ctime: i64(40),
    atimeNsec: u32(48),
    mtimeNsec: u32(52),
    ctimeNsec: u32(56),
    mode: u32(60),
    nlink: u32(64),
    uid: u32(68),
    gid: u32(72),
    rdev: u32(76),
    blksize: u32(80),
    flags: u32(84),
  };
}

export function decodeEntry(bytes: Buffer, at = 0): Entry {
  return {
    nodeid: bytes.readBigUInt64LE(at),
    generation: bytes.readBigUInt64LE(at + 8),
    entryValid: Number(bytes.readBigUInt64LE(at + 16)),
    attrValid: Number(bytes.readBigUInt64LE(at + 24)),
    entryValidNsec: bytes.readUInt32LE(at + 32),
    attrValidNsec: bytes.readUInt32LE(at + 36),
    attr: decodeAttributes(bytes, at + ENTRY_OUT_BYTES - ATTR_BYTES),
  };
}

export function decodeInit(bytes: Buffer): InitReply {
  const u32 = (offset: number) => (bytes.length >= offset + 4 ? bytes.readUInt32LE(offset) : 0);
  const u16 = (offset: number) => (bytes.length >= offset + 2 ? bytes.readUInt16LE(offset) : 0);
  return {
    major: u32(0),
    minor: u32(4),
    maxReadahead: u32(8),
    flags: BigInt(u32(12)) | (BigInt(u32(32)) << 32n),
    maxBackground: u16(16),
    congestionThreshold: u16(18),
    maxWrite: u32(20),
    timeGranularity: u32(24),
    maxPages: u16(28),
    mapAlignment: u16(30),
    replyBytes: bytes.length,
  };
}

export function decodeStatistics(bytes: Buffer): Statistics {
  const u64 = (offset: number) => Number(bytes.readBigUInt64LE(offset));
  return {
    blocks: u64(0),
    blocksFree: u64(8),
    blocksAvailable: u64(16),
    files: u64(24),
    filesFree: u64(32),
    blockSize: bytes.readUInt32LE(40),
    nameLength: bytes.readUInt32LE(44),
    fragmentSize: bytes.readUInt32LE(48),
  };
}

export function encodeLock(lock: LockRange): Buffer {
  return new Body().u64(lock.start, lock.end).u32(lock.type, lock.pid ?? 0).bytes;
}

export function decodeLock(bytes: Buffer): Required<LockRange> {
  return {
    start: bytes.readBigUInt64LE(0),
    end: bytes.readBigUInt64LE(8),
    type: bytes.readUInt32LE(16),
    pid: bytes.readUInt32LE(20),
  };
}

/** Length of a directory record with its padding. */
function recordBytes(nameLength: number): number {
  return Math.ceil((DIRENT_BYTES + nameLength) / 8) * 8;
}

function decodeRecord(bytes: Buffer, at: number): DirectoryEntry {
  const nameLength = bytes.readUInt32LE(at + 16);
  const nameStart = at + DIRENT_BYTES;
  if (nameStart + nameLength > bytes.length) throw new Error("directory record is cut off");
  return {
    ino: bytes.readBigUInt64LE(at),
    off: bytes.readBigUInt64LE(at + 8),
    type: bytes.readUInt32LE(at + 20),
    name: bytes.toString("latin1", nameStart, nameStart + nameLength),
  };
}

export function decodeDirectory(bytes: Buffer): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  for (let at = 0; at + DIRENT_BYTES <= bytes.length; ) {
    const entry = decodeRecord(bytes, at);
    entries.push(entry);
    at += recordBytes(entry.name.length);
  }
  return entries;
}

export function decodeDirectoryPlus(bytes: Buffer): PlusEntry[] {
  const entries: PlusEntry[] = [];
  for (let at = 0; at + ENTRY_OUT_BYTES + DIRENT_BYTES <= bytes.length; ) {
    const record = decodeRecord(bytes, at + ENTRY_OUT_BYTES);
    entries.push({ ...record, entry: decodeEntry(bytes, at) });
    at += ENTRY_OUT_BYTES + recordBytes(record.name.length);
  }
  return entries;
}
