import { Slot } from "../../native/lane.js";
import { setWords64 } from "../../vfs/attributes.js";
import { type Awaitable, EINVAL, ENOSYS, EOPNOTSUPP, type Status } from "../../vfs/errno.js";
import type { Operation } from "../operations.js";
import { FSYNC_DATA_ONLY, Opcode, RELEASE_FLOCK_UNLOCK, STATFS_OUT_BYTES } from "../protocol.js";
import type { Request } from "../request.js";
import type { FuseSession } from "../session.js";
import { BAD_HANDLE, replyCreated, replyOpened, STALE, whenReady } from "./steps.js";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** Largest offset of a file: 2^63 - 1. */
const MAX_OFFSET = (1n << 63n) - 1n;
/** Bytes of struct fuse_write_in in front of the data. */
const WRITE_IN_BYTES = 40;

function open(session: FuseSession, request: Request): Awaitable<Status> {
  const node = session.node(request);
  if (node === undefined) {
    return STALE;
  }
  return replyOpened(session, request, "file", session.backend.open(request.caller, node, request.word(0)));
}

function create(session: FuseSession, request: Request): Awaitable<Status> {
  const parent = session.node(request);
  const name = request.name(16);
  if (parent === undefined || typeof name === "number") {
    return typeof name === "number" ? name : STALE;
  }
  request.readExtensions();
  const flags = request.word(0);
  const mode = request.word(1);
  const created = session.backend.create(request.caller, parent, name, flags, mode, request.attr);
  return replyCreated(session, request, created);
}

/** READ of a handle that native code does not serve. */
function read(session: FuseSession, request: Request): Awaitable<Status> {
  const handle = session.handle(request, 0, "file");
  if (handle === undefined || handle.boundFile !== undefined) {
    return BAD_HANDLE;
  }
  const size = request.word(4);
  if (size > request.replyCapacity) {
    return -EINVAL;
  }
  const into = size <= Slot.REPLY_BYTES ? request.replyBytes(size) : Buffer.allocUnsafe(size);
  return whenReady(session.backend.read(request.caller, handle, request.number64(2), into), (count) =>
    count <= 0 || size <= Slot.REPLY_BYTES ? count : request.replyInPlace(into, count),
  );
}

/** WRITE to a handle that native code does not serve. */
function write(session: FuseSession, request: Request): Awaitable<Status> {
  const handle = session.handle(request, 0, "file");
  if (handle === undefined || handle.boundFile !== undefined) {
    return BAD_HANDLE;
  }
  const size = request.word(4);
  const data = request.payload().subarray(WRITE_IN_BYTES);
  if (size > data.length) {
    return -EINVAL;
  }
  const written = session.backend.write(request.caller, handle, request.number64(2), data.subarray(0, size));
  return whenReady(written, (count) => (count < 0 ? count : replyCount(session, request, count)));
}

/** struct fuse_write_out. */
function replyCount(session: FuseSession, request: Request, count: number): Status {
  session.lane.words[request.replyWord] = count;
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
    // A guest that hears ENOSYS sends no more FLUSH, and its locks would stay.
    return status === -ENOSYS ? 0 : status;
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
  return whenReady(session.backend.lseek(request.caller, handle, request.bigint64(2), whence), (offset) => {
    if (typeof offset === "number") {
      return offset;
    }
    const { words } = session.lane;
    words[request.replyWord] = Number(BigInt.asUintN(32, offset));
    words[request.replyWord + 1] = Number(offset >> 32n);
    return 8;
  });
}

function copyFileRange(session: FuseSession, request: Request): Awaitable<Status> {
  const from = session.handle(request, 0, "file");
  const to = session.handles.get(request.word(6), request.word(7), "file");
  const target = session.inodes.get(request.word(4), request.word(5));
  if (from === undefined || to === undefined || to.node !== target) {
    return BAD_HANDLE;
  }
  const flags = request.word(12);
  // The reply counts in 32 bits: the guest asks again for the rest.
  const wanted = request.bigint64(10);
  const length = wanted > 0x7fff_f000n ? 0x7fff_f000n : wanted;
  if (flags !== 0) {
    return -EINVAL;
  }
  const copied = session.backend.copyFileRange(
    request.caller,
    from,
    request.bigint64(2),
    to,
    request.bigint64(8),
    length,
  );
  return whenReady(copied, (count) =>
    typeof count === "number" ? count : replyCount(session, request, Number(count)),
  );
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
  { opcode: Opcode.READ, name: "READ", argumentBytes: 40, run: read },
  { opcode: Opcode.WRITE, name: "WRITE", argumentBytes: WRITE_IN_BYTES, run: write },
  { opcode: Opcode.FLUSH, name: "FLUSH", argumentBytes: 24, run: flush },
  { opcode: Opcode.RELEASE, name: "RELEASE", argumentBytes: 24, run: release },
  { opcode: Opcode.FSYNC, name: "FSYNC", argumentBytes: 16, run: fsync },
  { opcode: Opcode.FALLOCATE, name: "FALLOCATE", argumentBytes: 32, run: fallocate },
  { opcode: Opcode.LSEEK, name: "LSEEK", argumentBytes: 24, run: lseek },
  { opcode: Opcode.COPY_FILE_RANGE, name: "COPY_FILE_RANGE", argumentBytes: 56, run: copyFileRange },
  { opcode: Opcode.SYNCFS, name: "SYNCFS", argumentBytes: 8, run: syncfs },
  { opcode: Opcode.STATFS, name: "STATFS", argumentBytes: 0, run: statfs },
  { opcode: Opcode.SETUPMAPPING, name: "SETUPMAPPING", argumentBytes: 0, run: unsupported },
  { opcode: Opcode.REMOVEMAPPING, name: "REMOVEMAPPING", argumentBytes: 0, run: unsupported },
];
