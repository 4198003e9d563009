import {
  DEFAULT_INIT_FLAGS,
  ENTRY_OUT_BYTES,
  FUSE_MAJOR,
  FUSE_MINOR,
  INIT_OUT_BYTES,
  InitFlag,
  OPEN_OUT_BYTES,
  Opcode,
  OUT_HEADER_BYTES,
  ROOT,
  S_IFREG,
  STATFS_OUT_BYTES,
} from "./fuse-abi.js";
import {
  Body,
  decodeEntry,
  decodeInit,
  decodeStatistics,
  type Integer,
  type Name,
  nameBytes,
} from "./fuse-codec.js";
import { FuseFiles, outcome } from "./fuse-files.js";
import type { Reply, RequestOptions } from "./fuse-transport.js";
import type {
  Credentials,
  DirectoryEntry,
  Entry,
  InitReply,
  Opened,
  Outcome,
  PlusEntry,
  Statistics,
  Status,
} from "./fuse-types.js";
import { ok } from "./fuse-types.js";

export interface InitOptions {
  readonly major?: number;
  readonly minor?: number;
  readonly flags?: bigint;
  readonly maxReadahead?: number;
  /** Space for init_out; old kernels offer less. */
  readonly replyBytes?: number;
}

const SETXATTR_EXT_BYTES = 8;
const XATTR_BUFFER = 65536;
const PATH_BUFFER = OUT_HEADER_BYTES + 4096;

/**
 * A FUSE guest over a front-end: one method per operation, each waiting for its reply. A failure is a
 * value, `{error: "ENOENT"}`; `ok(...)` unwraps what has to succeed. Names are bytes, or latin1
 * strings.
 */
export class FuseClient extends FuseFiles {
  /** What the last successful INIT agreed upon. */
  initReply: InitReply | undefined;

  init(options: InitOptions = {}): Outcome<InitReply> {
    const flags = options.flags ?? DEFAULT_INIT_FLAGS;
    const body = new Body()
      .u32(options.major ?? FUSE_MAJOR, options.minor ?? FUSE_MINOR)
      .u32(options.maxReadahead ?? 1 << 20)
      .u32(Number(flags & 0xffff_ffffn), Number(flags >> 32n))
      .raw(Buffer.alloc(44)).bytes;
    const capacity = OUT_HEADER_BYTES + (options.replyBytes ?? INIT_OUT_BYTES);
    const result = outcome(this.request(Opcode.INIT, 0n, body, capacity), decodeInit);
    if (result.error === null) this.initReply = result;
    return result;
  }

  /** Ends the session; answered although nothing follows. */
  destroy(): Status {
    return this.status(Opcode.DESTROY, 0n, new Body());
  }

  /** Runs `action` with other credentials in the request headers. */
  as<T>(credentials: Partial<Credentials>, action: () => T): T {
    const saved = this.credentials;
    this.credentials = { ...saved, ...credentials };
    try {
      return action();
    } finally {
      this.credentials = saved;
    }
  }

  lookup(parent: bigint, name: Name): Outcome<Entry> {
    const found = this.lookupEntry(parent, name);
    return found.error === null && found.nodeid === 0n ? { error: "ENOENT" } : found;
  }

  /** The answer itself: an entry without a node is a name that does not exist, which Linux remembers. */
  lookupEntry(parent: bigint, name: Name): Outcome<Entry> {
    return this.#entry(Opcode.LOOKUP, parent, new Body().name(name));
  }

  /** Drops lookup counts through the hiprio queue, as a guest does. */
  forget(nodeid: bigint, count: Integer = 1, options: RequestOptions = {}): void {
    const body = new Body().u64(count).bytes;
    this.request(Opcode.FORGET, nodeid, body, 0, { queue: 0, ...options });
  }

  batchForget(nodes: readonly { nodeid: bigint; count: Integer }[], claimed = nodes.length): void {
    const body = new Body().u32(claimed, 0);
    for (const { nodeid, count } of nodes) body.u64(nodeid, count);
    this.request(Opcode.BATCH_FORGET, 0n, body.bytes, 0, { queue: 0 });
  }

  readlink(nodeid: bigint): Outcome<{ target: string }> {
    const reply = this.request(Opcode.READLINK, nodeid, Buffer.alloc(0), PATH_BUFFER);
    return outcome(reply, (bytes) => ({ target: bytes.toString("latin1") }));
  }

  symlink(parent: bigint, name: Name, target: Name): Outcome<Entry> {
    return this.#entry(Opcode.SYMLINK, parent, new Body().name(name).name(target));
  }

  mknod(parent: bigint, name: Name, mode: number, rdev = 0, umask = 0): Outcome<Entry> {
    const body = new Body().u32(this.#masked(mode, umask), rdev, umask, 0).name(name);
    return this.#entry(Opcode.MKNOD, parent, body);
  }

  mkdir(parent: bigint, name: Name, mode = 0o755, umask = 0): Outcome<Entry> {
    const body = new Body().u32(this.#masked(mode, umask), umask).name(name);
    return this.#entry(Opcode.MKDIR, parent, body);
  }

  /** Without DONT_MASK the guest's kernel applies the umask itself. */
  #masked(mode: number, umask: number): number {
    const left = ((this.initReply?.flags ?? 0n) & InitFlag.DONT_MASK) !== 0n;
    return left ? mode : mode & ~umask;
  }

  link(nodeid: bigint, newParent: bigint, newName: Name): Outcome<Entry> {
    return this.#entry(Opcode.LINK, newParent, new Body().u64(nodeid).name(newName));
  }

  #entry(opcode: number, parent: bigint, body: Body): Outcome<Entry> {
    const capacity = OUT_HEADER_BYTES + ENTRY_OUT_BYTES;
    return outcome(this.request(opcode, parent, body.bytes, capacity), decodeEntry);
  }

  unlink(parent: bigint, name: Name): Status {
    return this.status(Opcode.UNLINK, parent, new Body().name(name));
  }

  rmdir(parent: bigint, name: Name): Status {
    return this.status(Opcode.RMDIR, parent, new Body().name(name));
  }

  rename(parent: bigint, name: Name, newParent: bigint, newName: Name): Status {
    return this.status(Opcode.RENAME, parent, new Body().u64(newParent).name(name).name(newName));
  }

  /** `flags` are those of Rename. */
  rename2(parent: bigint, name: Name, newParent: bigint, newName: Name, flags: number): Status {
    const body = new Body().u64(newParent).u32(flags, 0).name(name).name(newName);
    return this.status(Opcode.RENAME2, parent, body);
  }

  open(nodeid: bigint, flags = 0): Outcome<Opened> {
    return this.#opened(Opcode.OPEN, nodeid, flags);
  }

  opendir(nodeid: bigint, flags = 0): Outcome<Opened> {
    return this.#opened(Opcode.OPENDIR, nodeid, flags);
  }

  #opened(opcode: number, nodeid: bigint, flags: number): Outcome<Opened> {
    const body = new Body().u32(flags, 0).bytes;
    const reply = this.request(opcode, nodeid, body, OUT_HEADER_BYTES + OPEN_OUT_BYTES);
    return outcome(reply, (bytes) => decodeOpened(bytes, 0));
  }

  /** Creates and opens; `flags` as in open(2), `mode` without type bits. */
  create(parent: bigint, name: Name, flags = 2, mode = 0o644, umask = 0): Outcome<Entry & Opened> {
    const body = new Body().u32(flags, this.#masked(mode, umask) | S_IFREG, umask, 0).name(name).bytes;
    const capacity = OUT_HEADER_BYTES + ENTRY_OUT_BYTES + OPEN_OUT_BYTES;
    return outcome(this.request(Opcode.CREATE, parent, body, capacity), (bytes) => ({
      ...decodeEntry(bytes),
      ...decodeOpened(bytes, ENTRY_OUT_BYTES),
    }));
  }

  statfs(nodeid = ROOT): Outcome<Statistics> {
    const capacity = OUT_HEADER_BYTES + STATFS_OUT_BYTES;
    const reply = this.request(Opcode.STATFS, nodeid, Buffer.alloc(0), capacity);
    return outcome(reply, decodeStatistics);
  }

  access(nodeid: bigint, mask: number): Status {
    return this.status(Opcode.ACCESS, nodeid, new Body().u32(mask, 0));
  }

  syncfs(nodeid = ROOT): Status {
    return this.status(Opcode.SYNCFS, nodeid, new Body().u64(0));
  }

  setxattr(nodeid: bigint, name: Name, value: Name, flags = 0, claimed?: number): Status {
    const bytes = nameBytes(value);
    const body = new Body().u32(claimed ?? bytes.length, flags);
    const extended = ((this.initReply?.flags ?? 0n) & InitFlag.SETXATTR_EXT) !== 0n;
    if (extended) body.raw(Buffer.alloc(SETXATTR_EXT_BYTES));
    return this.status(Opcode.SETXATTR, nodeid, body.name(name).raw(bytes));
  }

  getxattr(nodeid: bigint, name: Name, size = XATTR_BUFFER): Outcome<{ value: Buffer }> {
    const body = new Body().u32(size, 0).name(name).bytes;
    return outcome(this.#xattr(Opcode.GETXATTR, nodeid, body, size), (value) => ({ value }));
  }

  /** Asks for the length of a value only. */
  getxattrSize(nodeid: bigint, name: Name): Outcome<{ size: number }> {
    const body = new Body().u32(0, 0).name(name).bytes;
    const reply = this.#xattr(Opcode.GETXATTR, nodeid, body, 8);
    return outcome(reply, (bytes) => ({ size: bytes.readUInt32LE(0) }));
  }

  listxattr(nodeid: bigint, size = XATTR_BUFFER): Outcome<{ names: string[] }> {
    const reply = this.#xattr(Opcode.LISTXATTR, nodeid, new Body().u32(size, 0).bytes, size);
    return outcome(reply, (bytes) => ({ names: bytes.toString("latin1").split("\0").slice(0, -1) }));
  }

  listxattrSize(nodeid: bigint): Outcome<{ size: number }> {
    const reply = this.#xattr(Opcode.LISTXATTR, nodeid, new Body().u32(0, 0).bytes, 8);
    return outcome(reply, (bytes) => ({ size: bytes.readUInt32LE(0) }));
  }

  #xattr(opcode: number, nodeid: bigint, body: Buffer, size: number): Reply {
    return this.request(opcode, nodeid, body, OUT_HEADER_BYTES + size);
  }

  removexattr(nodeid: bigint, name: Name): Status {
    return this.status(Opcode.REMOVEXATTR, nodeid, new Body().name(name));
  }

  /** Looks up a path from the root, component by component. */
  walk(path: string): Outcome<Entry> {
    let at: Outcome<Entry> | undefined;
    for (const name of path.split("/").filter((part) => part !== "")) {
      at = this.lookup(at?.nodeid ?? ROOT, name);
      if (at.error !== null) return at;
    }
    if (at === undefined) throw new Error(`"${path}" names the root itself`);
    return at;
  }

  /** All entries of a directory, opened and released here, read in pieces of `size` bytes. */
  list(nodeid: bigint, size = 4096): DirectoryEntry[] {
    return this.#listAll(nodeid, (fh, offset) => ok(this.readdir(nodeid, fh, offset, size)).entries);
  }

  listPlus(nodeid: bigint, size = 4096): PlusEntry[] {
    return this.#listAll(nodeid, (fh, offset) => ok(this.readdirplus(nodeid, fh, offset, size)).entries);
  }

  #listAll<T extends DirectoryEntry>(nodeid: bigint, next: (fh: bigint, offset: bigint) => T[]): T[] {
    const { fh } = ok(this.opendir(nodeid));
    const all: T[] = [];
    for (let part = next(fh, 0n); part.length > 0; part = next(fh, lastOffset(part))) {
      all.push(...part);
    }
    ok(this.releasedir(nodeid, fh));
    return all;
  }
}

function lastOffset(entries: readonly DirectoryEntry[]): bigint {
  return entries[entries.length - 1]?.off ?? 0n;
}

function decodeOpened(bytes: Buffer, at: number): Opened {
  return { fh: bytes.readBigUInt64LE(at), openFlags: bytes.readUInt32LE(at + 8) };
}
