import { GatewayError } from "../vfs/gateway-error.js";
import { ByteSource } from "./byte-source.js";
import { MAX_FILE_BYTES, type TarEntry, type TarEntryType } from "./entry.js";
import { BLOCK_BYTES, decodeHeader, type TarHeader, TarType } from "./header.js";
import {
  decodePax,
  decodeTime,
  FILE_FLAGS_KEYWORD,
  FILE_TYPE_KEYWORD,
  type PaxRecords,
  xattrsOf,
} from "./pax.js";
import { readGnuSparse, readPaxSparse, type SparseMap } from "./sparse.js";

/** Long names and extended headers are read as a whole. */
const MAX_HEADER_BYTES = 16 << 20;
const CHUNK_BYTES = 1 << 20;
const PAD = BigInt(BLOCK_BYTES - 1);

const ENTRY_TYPES: ReadonlyMap<string, TarEntryType> = new Map([
  [TarType.FILE, "file"],
  [TarType.CONTIGUOUS, "file"],
  [TarType.GNU_SPARSE, "file"],
  [TarType.LINK, "link"],
  [TarType.SYMLINK, "symlink"],
  [TarType.CHARACTER, "character"],
  [TarType.BLOCK, "block"],
  [TarType.DIRECTORY, "directory"],
  [TarType.FIFO, "fifo"],
]);

function bad(reason: string): GatewayError {
  return new GatewayError("environment", reason);
}

/**
 * Reads a tar archive front to back: POSIX (ustar, PAX with extended attributes) and GNU, with sparse
 * files of both. Nothing in it is trusted; paths are handed out as they are.
 */
export class TarReader {
  readonly #source: ByteSource;
  /** Bytes of the current entry's contents that were not read, and their padding. */
  #contents = 0n;
  #padding = 0n;
  #global: PaxRecords = new Map();
  #isFirst = true;

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#source = new ByteSource(chunks);
  }

  /**
   * The next entry, or undefined at the end. What was not read of the one before is skipped.
   * @throws GatewayError when this is no archive, or it is cut off or malformed
   */
  async next(): Promise<TarEntry | undefined> {
    await this.#skip(this.#contents + this.#padding);
    const records: PaxRecords = new Map(this.#global);
    for (;;) {
      const block = await this.#readBlock();
      if (block === undefined) {
        return undefined;
      }
      const header = decodeHeader(block);
      if (header === undefined || header.size < 0n || header.size > MAX_FILE_BYTES) {
        throw bad(this.#isFirst ? "not a tar archive" : "malformed header");
      }
      this.#isFirst = false;
      const isPrelude = await this.#readPrelude(header, records);
      if (!isPrelude) {
        return this.#entry(header, records, Buffer.from(block));
      }
    }
  }

  /** The next bytes of the current entry's contents, valid until the next call; none at their end. */
  async read(): Promise<Buffer> {
    if (this.#contents === 0n) {
      return Buffer.alloc(0);
    }
    const limit = this.#contents < CHUNK_BYTES ? Number(this.#contents) : CHUNK_BYTES;
    const piece = await this.#source.some(limit);
    if (piece.length === 0) {
      throw bad("the archive is cut off");
    }
    this.#contents -= BigInt(piece.length);
    return piece;
  }

  async close(): Promise<void> {
    await this.#source.close();
  }

  /** A header block, or undefined at the end of the archive. */
  async #readBlock(): Promise<Buffer | undefined> {
    const block = await this.#source.take(BLOCK_BYTES);
    if (block.length === 0 && !this.#isFirst) {
      return undefined;
    }
    if (block.length < BLOCK_BYTES) {
      throw bad(this.#isFirst ? "not a tar archive" : "the archive is cut off");
    }
    return block.every((byte) => byte === 0) ? undefined : block;
  }

  /** Reads what only says more about the entry that follows. False when the header is an entry's. */
  async #readPrelude(header: TarHeader, records: PaxRecords): Promise<boolean> {
    switch (header.type) {
      case TarType.PAX:
        decodePax(await this.#readBody(header), records);
        return true;
      case TarType.PAX_GLOBAL:
        decodePax(await this.#readBody(header), this.#global);
        for (const [keyword, value] of this.#global) {
          records.set(keyword, value);
        }
        return true;
      case TarType.GNU_LONG_NAME:
        records.set("path", cString(await this.#readBody(header)));
        return true;
      case TarType.GNU_LONG_LINK:
        records.set("linkpath", cString(await this.#readBody(header)));
        return true;
      case TarType.GNU_VOLUME:
        await this.#readBody(header);
        return true;
      default:
        return false;
    }
  }

  async #readBody(header: TarHeader): Promise<Buffer> {
    if (header.size > MAX_HEADER_BYTES) {
      throw bad("an extended header is longer than 16 MiB");
    }
    const body = Buffer.from(await this.#source.take(Number(header.size)));
    if (BigInt(body.length) < header.size) {
      throw bad("the archive is cut off");
    }
    await this.#skip(-header.size & PAD);
    return body;
  }

  async #entry(header: TarHeader, records: PaxRecords, block: Buffer): Promise<TarEntry> {
    const path = records.get("GNU.sparse.name") ?? records.get("path") ?? header.path;
    const known = ENTRY_TYPES.get(header.type);
    if (known === undefined) {
      throw bad(`${JSON.stringify(path)}: unknown type of entry ${JSON.stringify(header.type)}`);
    }
    const type = known === "file" ? typeOfFile(path, records) : known;
    const size = decimal(records, "size") ?? header.size;
    // Links may state the size of what they link to, and directories one of their own.
    this.#contents = type === "file" ? size : 0n;
    this.#padding = -this.#contents & PAD;
    const sparse = type === "file" ? await this.#readSparse(header, records, block) : undefined;
    return {
      path,
      type,
      mode: header.mode,
      uid: Number(decimal(records, "uid") ?? header.uid) >>> 0,
      gid: Number(decimal(records, "gid") ?? header.gid) >>> 0,
      mtime: decodeTime(records.get("mtime") ?? "") ?? { seconds: header.mtime, nanoseconds: 0 },
      atime: decodeTime(records.get("atime") ?? ""),
      linkPath: records.get("linkpath") ?? header.linkPath,
      major: header.major,
      minor: header.minor,
      xattrs: xattrsOf(records),
      fileFlags: records.get(FILE_FLAGS_KEYWORD),
      size: sparse?.realSize ?? this.#contents,
      extents: sparse?.extents,
    };
  }

  async #readSparse(header: TarHeader, records: PaxRecords, block: Buffer): Promise<SparseMap | undefined> {
    const sparse =
      header.type === TarType.GNU_SPARSE
        ? await readGnuSparse(block, this.#source)
        : await readPaxSparse(records, this.#source);
    if (sparse !== undefined) {
      this.#contents -= BigInt(sparse.mapBytes);
      const stored = sparse.extents.reduce((sum, { length }) => sum + length, 0n);
      if (stored !== this.#contents) {
        throw bad("malformed map of a sparse file");
      }
    }
    return sparse;
  }

  async #skip(count: bigint): Promise<void> {
    for (let left = count; left > 0n; ) {
      const piece = await this.#source.some(left < CHUNK_BYTES ? Number(left) : CHUNK_BYTES);
      if (piece.length === 0) {
        throw bad("the archive is cut off");
      }
      left -= BigInt(piece.length);
    }
    this.#contents = 0n;
    this.#padding = 0n;
  }
}

/** What has the type of a file in its header. */
function typeOfFile(path: string, records: PaxRecords): TarEntryType {
  if (records.get(FILE_TYPE_KEYWORD) === "socket") {
    return "socket";
  }
  return path.endsWith("/") ? "directory" : "file";
}

function cString(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("latin1", 0, end < 0 ? bytes.length : end);
}

/** A record that is a whole number; undefined when there is none. */
function decimal(records: PaxRecords, keyword: string): bigint | undefined {
  const text = records.get(keyword);
  if (text === undefined) {
    return undefined;
  }
  if (!/^\d{1,19}$/.test(text) || BigInt(text) > MAX_FILE_BYTES) {
    throw bad(`malformed ${keyword} in an extended header`);
  }
  return BigInt(text);
}
