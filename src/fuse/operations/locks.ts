import { type Awaitable, EINVAL, type Status } from "../../vfs/errno.js";
import { LOCK_END_MAX, type LockRequest, LockType } from "../../vfs/lock-ranges.js";
import type { LockSpace } from "../../vfs/lock-space.js";
import type { Operation } from "../operations.js";
import { LK_FLOCK, LK_OUT_BYTES, Opcode } from "../protocol.js";
import type { Request } from "../request.js";
import type { FuseSession } from "../session.js";
import { BAD_HANDLE } from "./steps.js";

/** struct fuse_lk_in, words. */
const LkIn = { HANDLE: 0, OWNER: 2, START: 4, END: 6, TYPE: 8, PID: 9, FLAGS: 10, BYTES: 48 } as const;

interface Wanted {
  readonly space: LockSpace;
  readonly lock: LockRequest;
}

/** What a request asks for. Errors as fcntl(2) orders them: EBADF, then EINVAL for range and type. */
function decode(session: FuseSession, request: Request): Wanted | Status {
  const handle = session.handle(request, LkIn.HANDLE, "file");
  if (handle === undefined) {
    return BAD_HANDLE;
  }
  const start = request.bigint64(LkIn.START);
  const end = request.bigint64(LkIn.END);
  const type = request.word(LkIn.TYPE);
  if (start > end || end > LOCK_END_MAX || type > LockType.UNLOCK) {
    return -EINVAL;
  }
  const { table } = session.lockClient;
  const owner = session.lockClient.owner(request.word(LkIn.OWNER), request.word(LkIn.OWNER + 1));
  const lock = { handle, owner, type, start, end, pid: request.word(LkIn.PID) };
  if ((request.word(LkIn.FLAGS) & LK_FLOCK) === 0) {
    return { space: table.posix, lock };
  }
  // flock(2) knows whole files only, whatever range comes with it.
  return { space: table.flock, lock: { ...lock, start: 0n, end: LOCK_END_MAX } };
}

/** F_GETLK: the first lock in the way, or the question itself with type UNLOCK. */
function getlk(session: FuseSession, request: Request): Status {
  const wanted = decode(session, request);
  if (typeof wanted === "number") {
    return wanted;
  }
  const { space, lock } = wanted;
  const { start, end, type, pid } = space.find(lock) ?? { ...lock, type: LockType.UNLOCK, pid: 0 };
  const { words } = session.lane;
  const word = request.replyWord;
  putWords64(words, word, start);
  putWords64(words, word + 2, end);
  words[word + 4] = type;
  words[word + 5] = pid;
  return LK_OUT_BYTES;
}

function putWords64(words: Uint32Array, index: number, value: bigint): void {
  words[index] = Number(value & 0xffff_ffffn);
  words[index + 1] = Number(value >> 32n);
}

function setlk(session: FuseSession, request: Request): Status {
  const wanted = decode(session, request);
  return typeof wanted === "number" ? wanted : wanted.space.set(wanted.lock);
}

/** F_SETLKW: the request is held until the lock is free. */
function setlkw(session: FuseSession, request: Request): Awaitable<Status> {
  const wanted = decode(session, request);
  if (typeof wanted === "number") {
    return wanted;
  }
  const group = session.lockClient.group(request.queue);
  return wanted.space.wait(wanted.lock, group, request.unique);
}

export const LOCK_OPERATIONS: readonly Operation[] = [
  { opcode: Opcode.GETLK, name: "GETLK", argumentBytes: LkIn.BYTES, run: getlk },
  { opcode: Opcode.SETLK, name: "SETLK", argumentBytes: LkIn.BYTES, run: setlk },
  { opcode: Opcode.SETLKW, name: "SETLKW", argumentBytes: LkIn.BYTES, run: setlkw },
];
