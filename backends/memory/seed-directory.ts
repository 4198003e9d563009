import { closeSync, readdirSync, readSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { getSystemErrorName } from "node:util";
import { posix } from "../../src/native/posix.js";
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
} from "../../src/vfs/attributes.js";
import { GatewayError } from "../../src/vfs/gateway-error.js";
import { type DirectoryNode, FileNode, type MemoryNode } from "./nodes.js";
import type { PlantAttributes, Planter, PlantType } from "./planter.js";
import type { Progress } from "./progress.js";

const O_RDONLY = 0;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const XATTR_LIST_BYTES = 65_536;
const NOTHING = new Uint8Array(0);
const CHUNK_BYTES = 1 << 20;
/** Entries after which signals get their turn. */
const ENTRIES_PER_TURN = 256;

const TYPES: ReadonlyMap<number, PlantType> = new Map([
  [S_IFREG, "file"],
  [S_IFDIR, "directory"],
  [S_IFLNK, "symlink"],
  [S_IFCHR, "character"],
  [S_IFBLK, "block"],
  [S_IFIFO, "fifo"],
  [S_IFSOCK, "socket"],
]);

/** One file of the host, by a descriptor that is only a path. */
interface HostFile {
  readonly fd: number;
  readonly type: PlantType;
  readonly attributes: PlantAttributes;
  readonly size: bigint;
  readonly nlink: number;
  readonly rdev: number;
  /** Device and inode number. */
  readonly identity: string;
}

function checked<T extends number | bigint>(result: T, path: string): T {
  if (result < 0) {
    throw new GatewayError("environment", `${JSON.stringify(path)}: ${getSystemErrorName(Number(result))}`);
  }
  return result;
}

function time(attr: AttrRecord, seconds: number, nanoseconds: number) {
  const high = (attr[seconds + 1] as number) | 0;
  return { seconds: high * 2 ** 32 + (attr[seconds] as number), nanoseconds: attr[nanoseconds] as number };
}

/** Extended attributes; none where the host's file system has none. */
function readXattrs(fd: number): Map<string, Uint8Array> {
  const xattrs = new Map<string, Uint8Array>();
  // Most files have none: the length is asked for first.
  const expected = posix.listXattr(fd, NOTHING);
  if (expected <= 0) {
    return xattrs;
  }
  const list = Buffer.alloc(XATTR_LIST_BYTES);
  const length = posix.listXattr(fd, list);
  for (const name of length > 0 ? list.toString("latin1", 0, length - 1).split("\0") : []) {
    const value = Buffer.alloc(XATTR_LIST_BYTES);
    const count = posix.getXattr(fd, name, value);
    if (count >= 0) {
      xattrs.set(name, Buffer.from(value.subarray(0, count)));
    }
  }
  return xattrs;
}

/** What the last call on `fd` said about it. */
function describe(fd: number, path: string): HostFile {
  const { attr } = posix;
  const word = (index: number) => attr[index] as number;
  const type = TYPES.get(word(Attr.MODE) & S_IFMT);
  if (type === undefined) {
    throw new GatewayError("environment", `${JSON.stringify(path)}: a file of unknown type`);
  }
  const low = BigInt(word(Attr.SIZE));
  return {
    fd,
    type,
    size: low | (BigInt(word(Attr.SIZE + 1)) << 32n),
    nlink: word(Attr.NLINK),
    rdev: word(Attr.RDEV),
    identity: `${getWords64(attr, Attr.DEV)}:${word(Attr.INO + 1)}:${word(Attr.INO)}`,
    attributes: {
      mode: word(Attr.MODE) & 0o7777,
      uid: word(Attr.UID),
      gid: word(Attr.GID),
      mtime: time(attr, Attr.MTIME, Attr.MTIME_NSEC),
      atime: time(attr, Attr.ATIME, Attr.ATIME_NSEC),
      xattrs: readXattrs(fd),
    },
  };
}

/** Copies a directory of the host, which may change meanwhile; links are never followed. */
class DirectoryPlanter {
  readonly #planter: Planter;
  readonly #progress: Progress;
  /** Files with more than one name, by identity. */
  readonly #linked = new Map<string, MemoryNode>();
  #entries = 0;
  readonly #buffer = Buffer.alloc(CHUNK_BYTES);

  constructor(planter: Planter, progress: Progress) {
    this.#planter = planter;
    this.#progress = progress;
  }

  async plantRoot(path: string): Promise<void> {
    const fd = checked(posix.openRoot(path), path);
    try {
      const root = describe(fd, path);
      await this.#plantChildren(root.fd, this.#planter.tree.root, path);
      this.#planter.finish(this.#planter.tree.root, root.attributes);
    } finally {
      closeSync(fd);
    }
  }

  async #plantChildren(fd: number, parent: DirectoryNode, path: string): Promise<void> {
    for (const name of readdirSync(`/proc/self/fd/${fd}`, "latin1")) {
      const childPath = `${path}/${name}`;
      const child = checked(posix.openPath(fd, name), childPath);
      try {
        await this.#plant(parent, name, describe(child, childPath), childPath);
      } finally {
        closeSync(child);
      }
    }
  }

  async #plant(parent: DirectoryNode, name: string, file: HostFile, path: string): Promise<void> {
    this.#progress.entry();
    if (++this.#entries % ENTRIES_PER_TURN === 0) {
      await setImmediate();
    }
    const isLinked = file.nlink > 1 && file.type !== "directory";
    const known = isLinked ? this.#linked.get(file.identity) : undefined;
    if (known !== undefined) {
      this.#planter.link(known, parent, name);
      return;
    }
    const target = file.type === "symlink" ? posix.readLink(file.fd) : "";
    const rdev = file.type === "character" || file.type === "block" ? file.rdev : 0;
    if (typeof target === "number") {
      checked(target, path);
      return;
    }
    const node = this.#planter.plant(parent, name, file.type, target, rdev);
    if (file.type === "directory") {
      await this.#plantChildren(file.fd, node as DirectoryNode, path);
    } else if (node instanceof FileNode) {
      this.#copy(node, file, path);
    }
    this.#planter.finish(node, file.attributes);
    if (isLinked) {
      this.#linked.set(file.identity, node);
    }
  }

  /** Copies contents, from hole to hole. */
  #copy(node: FileNode, file: HostFile, path: string): void {
    if (file.size === 0n) {
      return;
    }
    const fd = checked(posix.reopen(file.fd, O_RDONLY), path);
    try {
      for (let end = 0n; end < file.size; ) {
        const start = posix.seek(fd, end, SEEK_DATA);
        if (start < 0) {
          break;
        }
        const hole = posix.seek(fd, BigInt(start), SEEK_HOLE);
        end = hole < 0 || BigInt(hole) > file.size ? file.size : BigInt(hole);
        this.#copyExtent(node, fd, BigInt(start), end, path);
      }
    } finally {
      closeSync(fd);
    }
    this.#planter.resize(node, file.size);
  }

  #copyExtent(node: FileNode, fd: number, start: bigint, end: bigint, path: string): void {
    for (let offset = start; offset < end; ) {
      const left = end - offset;
      const wanted = left < BigInt(CHUNK_BYTES) ? Number(left) : CHUNK_BYTES;
      const count = readSync(fd, this.#buffer, 0, wanted, offset);
      if (count === 0) {
        throw new GatewayError("environment", `${JSON.stringify(path)}: became shorter while it was read`);
      }
      this.#planter.write(node, offset, this.#buffer.subarray(0, count));
      this.#progress.data(count);
      offset += BigInt(count);
    }
  }
}

/** Fills a share with a copy of a host directory. @throws GatewayError, or a system error */
export async function seedFromDirectory(planter: Planter, path: string, progress: Progress): Promise<void> {
  checked(posix.prepareThread(), "/proc/self/fd");
  await new DirectoryPlanter(planter, progress).plantRoot(Buffer.from(path).toString("latin1"));
}
