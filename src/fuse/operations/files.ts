import { LaneResult, Slot } from "../../native/lane.js";
import { setWords64 } from "../../vfs/attributes.js";
import { type Awaitable, EFBIG, EINVAL, ENOSYS, EOPNOTSUPP, EPERM, type Status } from "../../vfs/errno.js";
import type { VfsHandle } from "../../vfs/node.js";
import type { Operation } from "../operations.js";
import {
  EntryOut,
  FSYNC_DATA_ONLY,
  OPEN_KILL_SUIDGID,
  Opcode,
  RELEASE_FLOCK_UNLOCK,
  STATFS_OUT_BYTES,
  WRITE_KILL_SUIDGID,
} from "../protocol.js";
import type { Request } from "../request.js";
import type { FuseSession } from "../session.js";
import { BAD_HANDLE, replyCreated, replyOpened, STALE, whenReady, withFile } from "./steps.js";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** Largest offset of a file: 2^63 - 1. */
const MAX_OFFSET = (1n << 63n) - 1n;
/** What COPY_FILE_RANGE copies at most (MAX_RW_COUNT): its reply counts in 32 bits. */
const MAX_SHORT_COPY = 0x7fff_f000n;
/** An entry's timeout that is as good as none: 136 years. */
const FOREVER_SEC = 0xffff_ffff;
/** Bytes of struct fuse_write_in in front of the data. */
const WRITE_IN_BYTES = 40;
const O_WRONLY = 1;
const O_APPEND = 0o2000;
const O_NOATIME = 0o1000000;
const O_DSYNC = 0o10000;
const O_SYNC = 0o4010000;

function open(session: FuseSession, request: Request): Awaitable<Status> {
  if (session.nodeFiles !== undefined) {
    return -ENOSYS;
  }
  const node = session.node(request);
  if (node === undefined) {
    return STALE;
  }
  const flags = session.openFlags(request.word(0));
  request.caller.clearsPrivileges = (request.word(1) & OPEN_KILL_SUIDGID) !== 0;
  return replyOpened(session, request, "file", flags, session.backend.open(request.caller, node, flags));
}

function create(session: FuseSession, request: Request): Awaitable<Status> {
  const parent = session.node(request);
  const name = request.name(16);
  if (parent === undefined || typeof name === "number") {
    return typeof name === "number" ? name : STALE;
  }
  const flags = beginCreation(session, request);
  const mode = request.word(1);
  const created = session.backend.create(request.caller, parent, name, flags, mode, request.attr);
  return replyCreated(session, request, flags, created);
}

/**
 * The name that follows the arguments means nothing, but is that of the guest's dentry: a lookup of it would fail. An
 * overlay in the guest keeps that dentry of what it copied up, and looks it up (ESTALE) once it expires: it never does.
 */
function tmpfile(session: FuseSession, request: Request): Awaitable<Status> {
  const parent = session.node(request);
  if (parent === undefined) {
    return STALE;
  }
  const flags = beginCreation(session, request);
  const created = session.backend.tmpfile(request.caller, parent, flags, request.word(1), request.attr);
  return whenReady(replyCreated(session, request, flags, created), (status) => {
    if (status >= 0) {
      session.lane.words[request.replyWord + EntryOut.ENTRY_VALID] = FOREVER_SEC;
    }
    return status;
  });
}

/** What CREATE and TMPFILE say about the caller. @returns the flags to open with */
function beginCreation(session: FuseSession, request: Request): number {
  request.readExtensions();
  request.caller.umask = session.umask(request.word(2));
  request.caller.clearsPrivileges = (request.word(3) & OPEN_KILL_SUIDGID) !== 0;
  return session.openFlags(request.word(0));
}

/** Whether native code serves READ and WRITE, and not only some of them. */
function isBound({ boundFile }: VfsHandle): boolean {
  return boundFile !== undefined && boundFile.kind !== "partial";
}

/**
 * READ of a handle, or of a part of its file, that native code does not serve; or of a node whose file is not open yet:
 * once it is, native code goes on.
 */
function read(session: FuseSession, request: Request): Awaitable<Status> {
  if (session.nodeFiles !== undefined) {
    return (request.word(8) & O_NOATIME) === 0
      ? withFile(session, request, 0, false, (file) =>
          isBound(file) ? LaneResult.TRANSFER : readFrom(session, request, file),
        )
      : withOwnFile(session, request, O_NOATIME, (file) => readFrom(session, request, file));
  }
  const handle = session.handle(request, 0, "file");
  return handle === undefined || isBound(handle) ? BAD_HANDLE : readFrom(session, request, handle);
}

function readFrom(session: FuseSession, request: Request, handle: VfsHandle): Awaitable<Status> {
  const size = request.word(4);
  if (size > request.replyCapacity) {
    return -EINVAL;
  }
  const into = size <= Slot.REPLY_BYTES ? request.replyBytes(size) : request.scratch(size);
  return whenReady(session.backend.read(request.caller, handle, request.number64(2), into), (count) =>
    count <= 0 || size <= Slot.REPLY_BYTES ? count : request.replyInPlace(into, count),
  );
}

/**
 * WRITE to a handle that native code does not serve, or one that takes setuid and setgid away: native code
 * leaves that to the backend.
 */
function write(session: FuseSession, request: Request): Awaitable<Status> {
  const clearsPrivileges = (request.word(5) & WRITE_KILL_SUIDGID) !== 0;
  if (session.nodeFiles !== undefined) {
    return writeByNode(session, request, clearsPrivileges);
  }
  const handle = session.handle(request, 0, "file");
  return handle === undefined || (handle.boundFile !== undefined && !clearsPrivileges)
    ? BAD_HANDLE
    : writeTo(session, request, handle, clearsPrivileges);
}

/** WRITE of a guest that has not opened the file: how it did only shows now. */
function writeByNode(session: FuseSession, request: Request, clearsPrivileges: boolean): Awaitable<Status> {
  const flags = request.word(8);
  const written = withFile(session, request, 0, true, (file) =>
    isBound(file) && !clearsPrivileges && (flags & O_SYNC) === 0
      ? LaneResult.TRANSFER
      : writeTo(session, request, file, clearsPrivileges, flags),
  );
  // A file that may only be appended to can be opened for nothing else.
  return (flags & O_APPEND) === 0
    ? written
    : whenReady(written, (status) =>
        status === -EPERM
          ? withOwnFile(session, request, O_WRONLY | O_APPEND, (file) =>
              writeTo(session, request, file, clearsPrivileges, flags),
            )
          : status,
      );
}

/** Does something with the node's file opened as the one that all others use is not. */
function withOwnFile(
  session: FuseSession,
  request: Request,
  flags: number,
  operation: (file: VfsHandle) => Awaitable<Status>,
): Awaitable<Status> {
  const { backend } = session;
  const node = session.node(request);
  const opened = node === undefined ? STALE : backend.open(request.caller, node, flags);
  return whenReady(opened, (file) =>
    typeof file === "number"
      ? file
      : whenReady(operation(file), (status) => {
          const closed = backend.discard(file);
          return closed instanceof Promise ? closed.then(() => status) : status;
        }),
  );
}

/** @param flags of open(2): O_SYNC and O_DSYNC */
function writeTo(
  session: FuseSession,
  request: Request,
  handle: VfsHandle,
  clearsPrivileges: boolean,
  flags = 0,
): Awaitable<Status> {
  const offset = request.number64(2);
  if (offset > Number.MAX_SAFE_INTEGER) {
    return offset >= 2 ** 63 ? -EINVAL : -EFBIG;
  }
  request.caller.clearsPrivileges = clearsPrivileges;
  const size = request.word(4);
  const data = request.payload().subarray(WRITE_IN_BYTES);
  if (size > data.length) {
    return -EINVAL;
  }
  const written = session.backend.write(request.caller, handle, offset, data.subarray(0, size));
  return whenReady(written, (count) => {
    if (count < 0 || (flags & O_SYNC) === 0) {
      return count < 0 ? count : replyCount(session, request, count);
    }
    const synced = session.backend.fsync(request.caller, handle, (flags & O_SYNC) === O_DSYNC);
    return whenReady(synced, (status) => (status < 0 ? status : replyCount(session, request, count)));
  });
}

/** struct fuse_write_out. */
function replyCount(session: FuseSession, request: Request, count: number | bigint): Status {
  session.lane.words[request.replyWord] = Number(count);
  session.lane.words[request.replyWord + 1] = 0;
  return 8;
}

function flush(session: FuseSession, request: Request): Awaitable<Status> {
  if (session.nodeFiles !== undefined) {
    // Who does not open does not close either.
    return -ENOSYS;
  }
  const handle = session.handle(request, 0, "file");
  if (handle === undefined) {
    return BAD_HANDLE;
  }
  const owner = session.lockClient.owner(request.word(4), request.word(5));
  return whenReady(session.backend.flush(request.caller, handle), (status) => {
    // close(2) gives up all of the process's locks on the file, whatever else it had to say.
    session.lockClient.table.posix.releaseOwner(handle.node, owner);
    // A guest that hears ENOSYS sends no more FLUSH, and locks that it leaves to us would stay.
    return status === -ENOSYS && session.keepsLocks ? 0 : status;
  });
}

function release(session: FuseSession, request: Request): Status {
  if (session.nodeFiles !== undefined) {
    return 0;
  }
  const handle = session.handle(request, 0, "file");
  if (handle === undefined) {
    return BAD_HANDLE;
  }
  if ((request.word(3) & RELEASE_FLOCK_UNLOCK) !== 0) {
    const owner = session.lockClient.owner(request.word(4), request.word(5));
    session.lockClient.table.flock.releaseOwner(handle.node, owner);
  }
  session.closeHandle(handle, "file");
  return 0;
}

function fsync(session: FuseSession, request: Request): Awaitable<Status> {
  const dataOnly = (request.word(2) & FSYNC_DATA_ONLY) !== 0;
  request.caller.isAlone = session.lane.isAlone();
  return withFile(session, request, 0, false, (handle) =>
    session.backend.fsync(request.caller, handle, dataOnly),
  );
}

function fallocate(session: FuseSession, request: Request): Awaitable<Status> {
  const offset = request.bigint64(2);
  const length = request.bigint64(4);
  if (offset > MAX_OFFSET || length === 0n || length > MAX_OFFSET) {
    return -EINVAL;
  }
  request.caller.clearsPrivileges = session.losesPrivileges(request.caller);
  return withFile(session, request, 0, true, (handle) =>
    session.backend.fallocate(request.caller, handle, request.word(6), offset, length),
  );
}

function lseek(session: FuseSession, request: Request): Awaitable<Status> {
  const whence = request.word(4);
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) {
    return -EINVAL;
  }
  return withFile(session, request, 0, false, (handle) =>
    whenReady(session.backend.lseek(request.caller, handle, request.bigint64(2), whence), (offset) =>
      typeof offset === "number" ? offset : replyNumber64(session, request, offset),
    ),
  );
}

/** A reply of one 64-bit number (struct fuse_lseek_out, struct fuse_copy_file_range_out). */
function replyNumber64(session: FuseSession, request: Request, value: bigint): Status {
  const { words } = session.lane;
  words[request.replyWord] = Number(BigInt.asUintN(32, value));
  words[request.replyWord + 1] = Number(value >> 32n);
  return 8;
}

/** COPY_FILE_RANGE and COPY_FILE_RANGE_64, which differ in the width of the count in the reply. */
function copyFileRangeWith(
  session: FuseSession,
  request: Request,
  limit: bigint,
  reply: (session: FuseSession, request: Request, count: bigint) => Status,
): Awaitable<Status> {
  const flags = request.word(12);
  // The guest asks again for the rest.
  const wanted = request.bigint64(10);
  const length = wanted > limit ? limit : wanted;
  if (flags !== 0) {
    return -EINVAL;
  }
  request.caller.clearsPrivileges = session.losesPrivileges(request.caller);
  return withFile(session, request, 0, false, (from) =>
    withTarget(session, request, (to) => {
      const [fromOffset, toOffset] = [request.bigint64(2), request.bigint64(8)];
      const copied = session.backend.copyFileRange(request.caller, from, fromOffset, to, toOffset, length);
      return whenReady(copied, (count) =>
        typeof count === "number" ? count : reply(session, request, count),
      );
    }),
  );
}

/** Does something with the file that COPY_FILE_RANGE copies to. */
function withTarget(
  session: FuseSession,
  request: Request,
  operation: (handle: VfsHandle) => Awaitable<Status>,
): Awaitable<Status> {
  const node = session.inodes.get(request.word(4), request.word(5));
  if (session.nodeFiles !== undefined) {
    return node === undefined ? STALE : session.nodeFiles.use(request.caller, node, true, operation);
  }
  const handle = session.handles.get(request.word(6), request.word(7), "file");
  return handle === undefined || handle.node !== node ? BAD_HANDLE : operation(handle);
}

function syncfs(session: FuseSession, request: Request): Awaitable<Status> {
  const node = session.node(request);
  return node === undefined ? STALE : session.backend.syncfs(node);
}

function statfs(session: FuseSession, request: Request): Awaitable<Status> {
  const node = session.node(request);
  if (node === undefined) {
    return STALE;
  }
  return whenReady(session.backend.statfs(node), (statistics) => {
    if (typeof statistics === "number") {
      return statistics;
    }
    request.clearReply(STATFS_OUT_BYTES / 4);
    const { words } = session.lane;
    const word = request.replyWord;
    setWords64(words, word, statistics.blocks);
    setWords64(words, word + 2, statistics.blocksFree);
    setWords64(words, word + 4, statistics.blocksAvailable);
    setWords64(words, word + 6, statistics.files);
    setWords64(words, word + 8, statistics.filesFree);
    words[word + 10] = statistics.blockSize;
    words[word + 11] = statistics.nameLength;
    words[word + 12] = statistics.fragmentSize;
    return STATFS_OUT_BYTES;
  });
}

/** Not offered to this guest, though other files or guests may have it: never ENOSYS. */
function unsupported(): Status {
  return -EOPNOTSUPP;
}

export const FILE_OPERATIONS: readonly Operation[] = [
  { opcode: Opcode.OPEN, name: "OPEN", argumentBytes: 8, run: open },
  { opcode: Opcode.CREATE, name: "CREATE", argumentBytes: 18, run: create },
  { opcode: Opcode.TMPFILE, name: "TMPFILE", argumentBytes: 16, run: tmpfile },
  { opcode: Opcode.READ, name: "READ", argumentBytes: 40, run: read },
  { opcode: Opcode.WRITE, name: "WRITE", argumentBytes: WRITE_IN_BYTES, run: write },
  { opcode: Opcode.FLUSH, name: "FLUSH", argumentBytes: 24, run: flush },
  { opcode: Opcode.RELEASE, name: "RELEASE", argumentBytes: 24, run: release },
  { opcode: Opcode.FSYNC, name: "FSYNC", argumentBytes: 16, run: fsync },
  { opcode: Opcode.FALLOCATE, name: "FALLOCATE", argumentBytes: 32, run: fallocate },
  { opcode: Opcode.LSEEK, name: "LSEEK", argumentBytes: 24, run: lseek },
  {
    opcode: Opcode.COPY_FILE_RANGE,
    name: "COPY_FILE_RANGE",
    argumentBytes: 56,
    run: (session, request) => copyFileRangeWith(session, request, MAX_SHORT_COPY, replyCount),
  },
  {
    opcode: Opcode.COPY_FILE_RANGE_64,
    name: "COPY_FILE_RANGE_64",
    argumentBytes: 56,
    run: (session, request) => copyFileRangeWith(session, request, MAX_OFFSET, replyNumber64),
  },
  { opcode: Opcode.SYNCFS, name: "SYNCFS", argumentBytes: 8, run: syncfs },
  { opcode: Opcode.STATFS, name: "STATFS", argumentBytes: 0, run: statfs },
  { opcode: Opcode.SETUPMAPPING, name: "SETUPMAPPING", argumentBytes: 0, run: unsupported },
  { opcode: Opcode.REMOVEMAPPING, name: "REMOVEMAPPING", argumentBytes: 0, run: unsupported },
];
