import type { TarEntry, TarEntryType } from "./entry.js";
import { BLOCK_BYTES, encodeHeader, fitsOctal, PATH_BYTES, type TarHeader, TarType } from "./header.js";
import {
  encodePax,
  encodeTime,
  FILE_FLAGS_KEYWORD,
  FILE_TYPE_KEYWORD,
  type PaxRecords,
  xattrKeyword,
} from "./pax.js";

/** Takes bytes in order; what it is given may be overwritten once the promise is settled. */
export type TarSink = (bytes: Buffer) => Promise<void>;

const BUFFER_BYTES = 256 << 10;
/** What is worth copying to be written with what is around it. */
const SMALL_BYTES = 64 << 10;
/** Where seven and eleven digits are. */
const ID_DIGITS = 7;
const LONG_DIGITS = 11;
const PAX_PATH = "././@PaxHeader";
const SPARSE_PATH = "GNUSparseFile.0";

const TYPE_FLAGS: Readonly<Record<TarEntryType, string>> = {
  file: TarType.FILE,
  link: TarType.LINK,
  symlink: TarType.SYMLINK,
  character: TarType.CHARACTER,
  block: TarType.BLOCK,
  directory: TarType.DIRECTORY,
  fifo: TarType.FIFO,
  socket: TarType.FILE,
};

/** Names that old readers may take for UTF-8 or for a prefix go to the extended header. */
function isPlain(name: string): boolean {
  return name.length <= PATH_BYTES && /^[\x20-\x7e]*$/.test(name);
}

function padding(bytes: number): Buffer {
  return Buffer.alloc(-bytes & (BLOCK_BYTES - 1));
}

/** The map in front of a sparse file's contents, GNU tar's format 1.0. */
function sparseMap(entry: TarEntry): Buffer {
  const extents = [...(entry.extents ?? [])];
  const last = extents.at(-1);
  if (last === undefined || last.offset + last.length < entry.size) {
    extents.push({ offset: entry.size, length: 0n });
  }
  const numbers = [extents.length, ...extents.flatMap(({ offset, length }) => [offset, length])];
  const map = Buffer.from(`${numbers.join("\n")}\n`);
  return Buffer.concat([map, padding(map.length)]);
}

/** What the header cannot hold. */
function recordsOf(entry: TarEntry, contents: bigint): PaxRecords {
  const records: PaxRecords = new Map();
  if (entry.extents !== undefined) {
    records.set("GNU.sparse.major", "1");
    records.set("GNU.sparse.minor", "0");
    records.set("GNU.sparse.name", entry.path);
    records.set("GNU.sparse.realsize", String(entry.size));
  } else if (!isPlain(entry.path)) {
    records.set("path", entry.path);
  }
  if (!isPlain(entry.linkPath)) {
    records.set("linkpath", entry.linkPath);
  }
  for (const [keyword, id] of [
    ["uid", entry.uid],
    ["gid", entry.gid],
  ] as const) {
    if (!fitsOctal(id, ID_DIGITS)) {
      records.set(keyword, String(id));
    }
  }
  if (!fitsOctal(contents, LONG_DIGITS)) {
    records.set("size", String(contents));
  }
  records.set("mtime", encodeTime(entry.mtime));
  if (entry.atime !== undefined) {
    records.set("atime", encodeTime(entry.atime));
  }
  if (entry.type === "socket") {
    records.set(FILE_TYPE_KEYWORD, "socket");
  }
  if (entry.fileFlags !== undefined && entry.fileFlags !== "") {
    records.set(FILE_FLAGS_KEYWORD, entry.fileFlags);
  }
  for (const [name, value] of entry.xattrs) {
    records.set(xattrKeyword(name), Buffer.from(value).toString("latin1"));
  }
  return records;
}

/**
 * Writes a PAX archive that GNU tar reads: exact times, extended attributes, names of any bytes and
 * length, sparse files.
 */
export class TarWriter {
  readonly #sink: TarSink;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #contentBytes = 0;

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  /** Begins an entry; a file's contents (its extents, or all of it) follow with {@link write}. */
  async begin(entry: TarEntry): Promise<void> {
    const map = entry.extents === undefined ? undefined : sparseMap(entry);
    const stored = entry.extents?.reduce((sum, { length }) => sum + length, 0n) ?? entry.size;
    const contents = entry.type === "file" ? stored + BigInt(map?.length ?? 0) : 0n;
    const header: TarHeader = {
      path: map === undefined ? entry.path : SPARSE_PATH,
      mode: entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      size: contents,
      mtime: entry.mtime.seconds,
      type: TYPE_FLAGS[entry.type],
      linkPath: entry.linkPath,
      major: entry.major,
      minor: entry.minor,
    };
    const pax = encodePax(recordsOf(entry, contents));
    const paxHeader = {
      ...header,
      path: PAX_PATH,
      linkPath: "",
      type: TarType.PAX,
      size: BigInt(pax.length),
    };
    this.#add(encodeHeader(paxHeader), pax, padding(pax.length), encodeHeader(header));
    if (map !== undefined) {
      this.#add(map);
    }
    this.#contentBytes = 0;
    await this.#flush(BUFFER_BYTES);
  }

  /** More of the contents of the entry that was begun. */
  async write(bytes: Buffer): Promise<void> {
    if (bytes.length < SMALL_BYTES) {
      this.#add(Buffer.from(bytes));
      await this.#flush(BUFFER_BYTES);
    } else {
      await this.#flush(1);
      await this.#sink(bytes);
    }
    this.#contentBytes = (this.#contentBytes + bytes.length) % BLOCK_BYTES;
  }

  /** Ends the entry. */
  end(): void {
    if (this.#contentBytes > 0) {
      this.#add(padding(this.#contentBytes));
    }
  }

  /** Ends the archive. */
  async finish(): Promise<void> {
    this.#add(Buffer.alloc(2 * BLOCK_BYTES));
    await this.#flush(1);
  }

  #add(...pieces: Buffer[]): void {
    for (const piece of pieces) {
      this.#pending.push(piece);
      this.#pendingBytes += piece.length;
    }
  }

  async #flush(threshold: number): Promise<void> {
    if (this.#pendingBytes < threshold) {
      return;
    }
    const bytes = Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    await this.#sink(bytes);
  }
}
