import { Slot } from "../../native/lane.js";
import { setWords64 } from "../../vfs/attributes.js";
import { type Awaitable, EFBIG, EINVAL, ENOSYS, EOPNOTSUPP, type Status } from "../../vfs/errno.js";
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
import { BAD_HANDLE, replyCreated, replyOpened, STALE, whenReady } from "./steps.js";

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

function open(session: FuseSession, request: Request): Awaitable<Status> {
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

/** READ of a handle, or of a part of its file, that native code does not serve. */
function read(session: FuseSession, request: Request): Awaitable<Status> {
  const handle = session.handle(request, 0, "file");
  const { boundFile } = handle ?? {};
  if (handle === undefined || (boundFile !== undefined && boundFile.kind !== "partial")) {
    return BAD_HANDLE;
  }
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
  const handle = session.handle(request, 0, "file");
  const clearsPrivileges = (request.word(5) & WRITE_KILL_SUIDGID) !== 0;
  if (handle === undefined || (handle.boundFile !== undefined && !clearsPrivileges)) {
    return BAD_HANDLE;
  }
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
  return whenReady(written, (count) => (count < 0 ? count : replyCount(session, request, count)));
}

/** struct fuse_write_out. */
function replyCount(session: FuseSession, request: Request, count: number | bigint): Status {
  session.lane.words[request.replyWord] = Number(count);
  session.lane.words[request.replyWord + 1] = 0;
  return 8;
}

function flush(session: FuseSession, request: Request): Awaitable<Status> {
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
  const handle = session.handle(request, 0, "file");
  if (handle === undefined) {
    return BAD_HANDLE;
  }
  request.caller.isAlone = session.lane.isAlone();
  return session.backend.fsync(request.caller, handle, (request.word(2) & FSYNC_DATA_ONLY) !== 0);
}

function fallocate(session: FuseSession, request: Request): Awaitable<Status> {
  const handle = session.handle(request, 0, "file");
  if (handle === undefined) {
    return BAD_HANDLE;
  }
  const offset = request.bigint64(2);
  const length = request.bigint64(4);
  if (offset > MAX_OFFSET || length === 0n || length > MAX_OFFSET) {
    return -EINVAL;
  }
  request.caller.clearsPrivileges = session.losesPrivileges(request.caller);
  return session.backend.fallocate(request.caller, handle, request.word(6), offset, length);
}

function lseek(session: FuseSession, request: Request): Awaitable<Status> {
  const handle = session.handle(request, 0, "file");
  if (handle === undefined) {
    return BAD_HANDLE;
  }
  const whence = request.word(4);
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) {
    return -EINVAL;
  }
  return whenReady(session.backend.lseek(request.caller, handle, request.bigint64(2), whence), (offset) =>
    typeof offset === "number" ? offset : replyNumber64(session, request, offset),
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
  const from = session.handle(request, 0, "file");
  const to = session.handles.get(request.word(6), request.word(7), "file");
  const target = session.inodes.get(request.word(4), request.word(5));
  if (from === undefined || to === undefined || to.node !== target) {
    return BAD_HANDLE;
  }
  const flags = request.word(12);
  // The guest asks again for the rest.
  const wanted = request.bigint64(10);
  const length = wanted > limit ? limit : wanted;
  if (flags !== 0) {
    return -EINVAL;
  }
  request.caller.clearsPrivileges = session.losesPrivileges(request.caller);
  const copied = session.backend.copyFileRange(
    request.caller,
    from,
    request.bigint64(2),
    to,
    request.bigint64(8),
    length,
  );
  return whenReady(copied, (count) => (typeof count === "number" ? count : reply(session, request, count)));
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
