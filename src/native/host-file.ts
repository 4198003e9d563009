import { closeSync, readSync } from "node:fs";
import { getSystemErrorName } from "node:util";
import {
  Attr,
  type AttrRecord,
  getWords64,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from "../vfs/attributes.js";
import { ENOENT } from "../vfs/errno.js";
import { GatewayError } from "../vfs/gateway-error.js";
import { posix } from "./posix.js";

const O_RDONLY = 0;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** The most that Linux lets a list of names, or a value, have. */
const XATTR_BYTES = 65_536;
const NOTHING = new Uint8Array(0);
const CHUNK_BYTES = 1 << 20;

/** Type of a file of the host. */
export type HostFileType = "file" | "directory" | "symlink" | "character" | "block" | "fifo" | "socket";

const TYPES: ReadonlyMap<number, HostFileType> = new Map([
  [S_IFREG, "file"],
  [S_IFDIR, "directory"],
  [S_IFLNK, "symlink"],
  [S_IFCHR, "character"],
  [S_IFBLK, "block"],
  [S_IFIFO, "fifo"],
  [S_IFSOCK, "socket"],
]);

/** A point in time: seconds since the epoch, signed, and 0 to 999,999,999 nanoseconds. */
export interface HostTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** One file of the host, by a descriptor that is only a path. Whoever opened it closes it. */
export interface HostFile {
  readonly fd: number;
  readonly type: HostFileType;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: HostTime;
  readonly atime: HostTime;
  readonly size: bigint;
  readonly nlink: number;
  /** Device number of a device as the kernel's new_encode_dev() packs it. */
  readonly rdev: number;
  /** Device and inode number. */
  readonly identity: string;
}

/** A result that is no error. @throws GatewayError that names the path and the error */
export function checked<T extends number | bigint>(result: T, path: string): T {
  if (result < 0) {
    throw new GatewayError("environment", `${JSON.stringify(path)}: ${getSystemErrorName(Number(result))}`);
  }
  return result;
}

function time(attr: AttrRecord, seconds: number, nanoseconds: number): HostTime {
  const high = (attr[seconds + 1] as number) | 0;
  return { seconds: high * 2 ** 32 + (attr[seconds] as number), nanoseconds: attr[nanoseconds] as number };
}

/** What the last call on `fd` has left of its attributes. */
function describe(fd: number, path: string): HostFile {
  const { attr } = posix;
  const word = (index: number) => attr[index] as number;
  const type = TYPES.get(word(Attr.MODE) & S_IFMT);
  if (type === undefined) {
    throw new GatewayError("environment", `${JSON.stringify(path)}: a file of unknown type`);
  }
  return {
    fd,
    type,
    mode: word(Attr.MODE) & 0o7777,
    uid: word(Attr.UID),
    gid: word(Attr.GID),
    mtime: time(attr, Attr.MTIME, Attr.MTIME_NSEC),
    atime: time(attr, Attr.ATIME, Attr.ATIME_NSEC),
    size: BigInt(word(Attr.SIZE)) | (BigInt(word(Attr.SIZE + 1)) << 32n),
    nlink: word(Attr.NLINK),
    rdev: word(Attr.RDEV),
    identity: `${getWords64(attr, Attr.DEV)}:${word(Attr.INO + 1)}:${word(Attr.INO)}`,
  };
}

/** Opens a directory of the host by its path, following links. */
export function openHostDirectory(path: string): HostFile {
  const name = Buffer.from(path).toString("latin1");
  return describe(checked(posix.openRoot(name), path), path);
}

/** Opens an entry of a directory, links not followed. `path` is for messages. @throws GatewayError */
export function openHostEntry(directory: number, name: string, path: string): HostFile {
  return describe(checked(posix.openPath(directory, name), path), path);
}

/** As {@link openHostEntry}, and undefined when there is no such entry. */
export function findHostEntry(directory: number, name: string, path: string): HostFile | undefined {
  const fd = posix.openPath(directory, name);
  return fd === -ENOENT ? undefined : describe(checked(fd, path), path);
}

/** Extended attributes; none where the file system has none. */
export function readXattrs(fd: number): Map<string, Uint8Array> {
  const xattrs = new Map<string, Uint8Array>();
  // Most files have none: the length is asked for first.
  const expected = posix.listXattr(fd, NOTHING);
  if (expected <= 0) {
    return xattrs;
  }
  const list = Buffer.alloc(XATTR_BYTES);
  const length = posix.listXattr(fd, list);
  for (const name of length > 0 ? list.toString("latin1", 0, length - 1).split("\0") : []) {
    const value = Buffer.alloc(XATTR_BYTES);
    const count = posix.getXattr(fd, name, value);
    if (count >= 0) {
      xattrs.set(name, Buffer.from(value.subarray(0, count)));
    }
  }
  return xattrs;
}

/** A file with the attributes that it has now. */
export function describedAnew({ fd }: HostFile, path: string): HostFile {
  checked(posix.stat(fd), path);
  return describe(fd, path);
}

/** A stretch of a file that has data. */
export interface HostExtent {
  readonly offset: bigint;
  readonly length: bigint;
}

/** The contents of a regular file, open for reading. */
export class HostContents {
  readonly #fd: number;
  readonly #path: string;
  readonly #buffer: Buffer;

  constructor(file: HostFile, path: string) {
    this.#fd = checked(posix.reopen(file.fd, O_RDONLY), path);
    this.#path = path;
    this.#buffer = Buffer.allocUnsafe(file.size < CHUNK_BYTES ? Number(file.size) : CHUNK_BYTES);
  }

  /** What lies between the holes of the first `size` bytes, in order. */
  extents(size: bigint): HostExtent[] {
    const extents: HostExtent[] = [];
    for (let end = 0n; end < size; ) {
      const start = posix.seek(this.#fd, end, SEEK_DATA);
      if (start < 0 || BigInt(start) >= size) {
        break;
      }
      const hole = posix.seek(this.#fd, BigInt(start), SEEK_HOLE);
      end = hole < 0 || BigInt(hole) > size ? size : BigInt(hole);
      extents.push({ offset: BigInt(start), length: end - BigInt(start) });
    }
    return extents;
  }

  /**
   * The bytes of a stretch in pieces, each valid until the next is asked for.
   * @throws GatewayError when the file has become shorter, or a system error
   */
  *read({ offset, length }: HostExtent): Generator<{ at: bigint; bytes: Buffer }> {
    for (let done = 0n; done < length; ) {
      const left = length - done;
      const wanted = left < BigInt(this.#buffer.length) ? Number(left) : this.#buffer.length;
      const count = readSync(this.#fd, this.#buffer, 0, wanted, offset + done);
      if (count === 0) {
        const path = JSON.stringify(this.#path);
        throw new GatewayError("environment", `${path}: became shorter while it was read`);
      }
      yield { at: offset + done, bytes: this.#buffer.subarray(0, count) };
      done += BigInt(count);
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}
