import {
  ATTR_OUT_BYTES,
  FSYNC_DATASYNC,
  GETATTR_FH,
  LK_FLOCK,
  LOCK_BYTES,
  Opcode,
  OUT_HEADER_BYTES,
  SetAttr,
} from "./fuse-abi.js";
import {
  Body,
  decodeAttributes,
  decodeDirectory,
  decodeDirectoryPlus,
  decodeLock,
  encodeLock,
  type Integer,
} from "./fuse-codec.js";
import { FuseTransport, type Reply, type RequestOptions, type Ticket } from "./fuse-transport.js";
import type { Attributes, DirectoryEntry, LockRange, Outcome, PlusEntry, Status } from "./fuse-types.js";

/** Fields to change by SETATTR; times in seconds, or "now" for the server's clock. */
export interface AttributeChange {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: Integer;
  readonly atime?: number | "now";
  readonly atimeNsec?: number;
  readonly mtime?: number | "now";
  readonly mtimeNsec?: number;
  readonly ctime?: number;
  readonly ctimeNsec?: number;
  readonly fh?: bigint;
  readonly killSuidgid?: boolean;
}

export interface WriteOptions extends RequestOptions {
  /** in.size, where it shall differ from the data's length. */
  readonly size?: number;
  /** WRITE_* flags. */
  readonly writeFlags?: number;
  /** Open flags of the file at the time of the write (for O_APPEND). */
  readonly flags?: number;
}

/** Turns a reply into an outcome; `decode` sees the body of a success only. */
export function outcome<T extends object>(reply: Reply, decode: (body: Buffer) => T): Outcome<T> {
  if (reply.error !== null) return { error: reply.error } as Outcome<T>;
  return { error: null, ...decode(reply.body) } as Outcome<T>;
}

/** Operations on attributes, open files and open directories. */
export class FuseFiles extends FuseTransport {
  getattr(nodeid: bigint, fh?: bigint): Outcome<{ attr: Attributes }> {
    const body = new Body().u32(fh === undefined ? 0 : GETATTR_FH, 0).u64(fh ?? 0).bytes;
    return this.#attributes(Opcode.GETATTR, nodeid, body);
  }

  setattr(nodeid: bigint, change: AttributeChange): Outcome<{ attr: Attributes }> {
    const seconds = (time: number | "now" | undefined) => (typeof time === "number" ? time : 0);
    const body = new Body()
      .u32(validBits(change), 0)
      .u64(change.fh ?? 0, change.size ?? 0, 0)
      .u64(seconds(change.atime), seconds(change.mtime), change.ctime ?? 0)
      .u32(change.atimeNsec ?? 0, change.mtimeNsec ?? 0, change.ctimeNsec ?? 0)
      .u32(change.mode ?? 0, 0, change.uid ?? 0, change.gid ?? 0, 0).bytes;
    return this.#attributes(Opcode.SETATTR, nodeid, body);
  }

  #attributes(opcode: number, nodeid: bigint, body: Buffer): Outcome<{ attr: Attributes }> {
    const reply = this.request(opcode, nodeid, body, OUT_HEADER_BYTES + ATTR_OUT_BYTES);
    return outcome(reply, (bytes) => ({ attr: decodeAttributes(bytes, 16) }));
  }

  read(
    nodeid: bigint,
    fh: bigint,
    offset: Integer,
    size: number,
    options: RequestOptions & { capacity?: number } = {},
  ): Outcome<{ data: Buffer }> {
    const body = new Body().u64(fh, offset).u32(size, 0).u64(0).u32(0, 0).bytes;
    const capacity = OUT_HEADER_BYTES + (options.capacity ?? size);
    return outcome(this.request(Opcode.READ, nodeid, body, capacity, options), (data) => ({
      data,
    }));
  }

  write(
    nodeid: bigint,
    fh: bigint,
    offset: Integer,
    data: Uint8Array | string,
    options: WriteOptions = {},
  ): Outcome<{ size: number }> {
    const bytes = typeof data === "string" ? Buffer.from(data, "latin1") : data;
    const body = new Body()
      .u64(fh, offset)
      .u32(options.size ?? bytes.length, options.writeFlags ?? 0)
      .u64(0)
      .u32(options.flags ?? 0, 0)
      .raw(bytes).bytes;
    const reply = this.request(Opcode.WRITE, nodeid, body, OUT_HEADER_BYTES + 8, options);
    return outcome(reply, (result) => ({ size: result.readUInt32LE(0) }));
  }

  flush(nodeid: bigint, fh: bigint, lockOwner: Integer = 0): Status {
    return this.status(Opcode.FLUSH, nodeid, new Body().u64(fh).u32(0, 0).u64(lockOwner));
  }

  /** `flags` are open(2)'s, `releaseFlags` RELEASE_*. */
  release(
    nodeid: bigint,
    fh: bigint,
    options: { flags?: number; releaseFlags?: number; lockOwner?: Integer } = {},
  ): Status {
    const { flags = 0, releaseFlags = 0, lockOwner = 0 } = options;
    const body = new Body().u64(fh).u32(flags, releaseFlags).u64(lockOwner);
    return this.status(Opcode.RELEASE, nodeid, body);
  }

  fsync(nodeid: bigint, fh: bigint, dataOnly = false): Status {
    const flags = dataOnly ? FSYNC_DATASYNC : 0;
    return this.status(Opcode.FSYNC, nodeid, new Body().u64(fh).u32(flags, 0));
  }

  fallocate(nodeid: bigint, fh: bigint, offset: Integer, length: Integer, mode = 0): Status {
    const body = new Body().u64(fh, offset, length).u32(mode, 0);
    return this.status(Opcode.FALLOCATE, nodeid, body);
  }

  lseek(nodeid: bigint, fh: bigint, offset: Integer, whence: number): Outcome<{ offset: number }> {
    const body = new Body().u64(fh, offset).u32(whence, 0).bytes;
    const reply = this.request(Opcode.LSEEK, nodeid, body, OUT_HEADER_BYTES + 8);
    return outcome(reply, (bytes) => ({ offset: Number(bytes.readBigInt64LE(0)) }));
  }

  copyFileRange(
    from: { nodeid: bigint; fh: bigint; offset: Integer },
    to: { nodeid: bigint; fh: bigint; offset: Integer },
    length: Integer,
  ): Outcome<{ size: number }> {
    const body = new Body().u64(from.fh, from.offset, to.nodeid, to.fh, to.offset, length).u64(0).bytes;
    const reply = this.request(Opcode.COPY_FILE_RANGE, from.nodeid, body, OUT_HEADER_BYTES + 8);
    return outcome(reply, (bytes) => ({ size: bytes.readUInt32LE(0) }));
  }

  readdir(
    nodeid: bigint,
    fh: bigint,
    offset: Integer = 0,
    size = 4096,
  ): Outcome<{ entries: DirectoryEntry[] }> {
    const reply = this.#readDirectory(Opcode.READDIR, nodeid, fh, offset, size);
    return outcome(reply, (bytes) => ({ entries: decodeDirectory(bytes) }));
  }

  readdirplus(
    nodeid: bigint,
    fh: bigint,
    offset: Integer = 0,
    size = 4096,
  ): Outcome<{ entries: PlusEntry[] }> {
    const reply = this.#readDirectory(Opcode.READDIRPLUS, nodeid, fh, offset, size);
    return outcome(reply, (bytes) => ({ entries: decodeDirectoryPlus(bytes) }));
  }

  #readDirectory(opcode: number, nodeid: bigint, fh: bigint, offset: Integer, size: number): Reply {
    const body = new Body().u64(fh, offset).u32(size, 0).u64(0).u32(0, 0).bytes;
    return this.request(opcode, nodeid, body, OUT_HEADER_BYTES + size);
  }

  releasedir(nodeid: bigint, fh: bigint): Status {
    return this.status(Opcode.RELEASEDIR, nodeid, new Body().u64(fh).u32(0, 0).u64(0));
  }

  fsyncdir(nodeid: bigint, fh: bigint): Status {
    return this.status(Opcode.FSYNCDIR, nodeid, new Body().u64(fh).u32(0, 0));
  }

  /** The lock that stands in the way; type UNLOCK when there is none. */
  getlk(nodeid: bigint, fh: bigint, owner: Integer, lock: LockRange): Outcome<{ lock: Required<LockRange> }> {
    const body = this.#lockBody(fh, owner, lock, 0).bytes;
    const reply = this.request(Opcode.GETLK, nodeid, body, OUT_HEADER_BYTES + LOCK_BYTES);
    return outcome(reply, (bytes) => ({ lock: decodeLock(bytes) }));
  }

  /** Takes or drops a lock without waiting; `flock` for BSD locks. */
  setlk(nodeid: bigint, fh: bigint, owner: Integer, lock: LockRange, flock = false): Status {
    const body = this.#lockBody(fh, owner, lock, flock ? LK_FLOCK : 0);
    return this.status(Opcode.SETLK, nodeid, body);
  }

  /** Queues a lock request that may wait; `wait` for its ticket. */
  submitSetlkw(
    nodeid: bigint,
    fh: bigint,
    owner: Integer,
    lock: LockRange,
    options: RequestOptions & { flock?: boolean } = {},
  ): Ticket {
    const body = this.#lockBody(fh, owner, lock, options.flock === true ? LK_FLOCK : 0).bytes;
    return this.submit(Opcode.SETLKW, nodeid, body, OUT_HEADER_BYTES, options);
  }

  /** Interrupts a request in flight, as a signal does; through hiprio, without a reply. */
  interrupt(ticket: Ticket): void {
    this.submit(Opcode.INTERRUPT, 0n, new Body().u64(ticket.unique).bytes, 0, { queue: 0 });
  }

  #lockBody(fh: bigint, owner: Integer, lock: LockRange, flags: number): Body {
    return new Body().u64(fh, owner).raw(encodeLock(lock)).u32(flags, 0);
  }

  /** A request whose reply is a bare header. */
  protected status(opcode: number, nodeid: bigint, body: Body): Status {
    return outcome(this.request(opcode, nodeid, body.bytes, OUT_HEADER_BYTES), () => ({}));
  }
}

function validBits(change: AttributeChange): number {
  const bit = (given: boolean, value: number) => (given ? value : 0);
  return (
    bit(change.mode !== undefined, SetAttr.MODE) |
    bit(change.uid !== undefined, SetAttr.UID) |
    bit(change.gid !== undefined, SetAttr.GID) |
    bit(change.size !== undefined, SetAttr.SIZE) |
    bit(change.atime !== undefined, SetAttr.ATIME) |
    bit(change.atime === "now", SetAttr.ATIME_NOW) |
    bit(change.mtime !== undefined, SetAttr.MTIME) |
    bit(change.mtime === "now", SetAttr.MTIME_NOW) |
    bit(change.ctime !== undefined, SetAttr.CTIME) |
    bit(change.fh !== undefined, SetAttr.FH) |
    bit(change.killSuidgid === true, SetAttr.KILL_SUIDGID)
  );
}
