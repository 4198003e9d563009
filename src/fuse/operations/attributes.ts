import { Slot } from "../../native/lane.js";
import { type AttributeChange, Change } from "../../vfs/attributes.js";
import { type Awaitable, EINVAL, type Status } from "../../vfs/errno.js";
import { writeLatin1 } from "../../vfs/latin1.js";
import type { Operation } from "../operations.js";
import { GETATTR_FH, Opcode, SETATTR_FH } from "../protocol.js";
import type { Request } from "../request.js";
import type { FuseSession } from "../session.js";
import { replyAttributes, STALE, whenReady } from "./steps.js";

/** struct fuse_setattr_in, words. */
const SetattrIn = {
  BYTES: 88,
  VALID: 0,
  HANDLE: 2,
  SIZE: 4,
  ATIME: 8,
  MTIME: 10,
  CTIME: 12,
  ATIME_NSEC: 14,
  MTIME_NSEC: 15,
  CTIME_NSEC: 16,
  MODE: 17,
  UID: 19,
  GID: 20,
} as const;

const NSEC_PER_SEC = 1_000_000_000;

const CHANGES =
  Change.MODE |
  Change.UID |
  Change.GID |
  Change.SIZE |
  Change.ATIME |
  Change.MTIME |
  Change.ATIME_NOW |
  Change.MTIME_NOW |
  Change.CTIME |
  Change.KILL_SUIDGID;

function getattr(session: FuseSession, request: Request): Awaitable<Status> {
  const node = session.node(request);
  if (node === undefined) {
    return STALE;
  }
  const handle = (request.word(0) & GETATTR_FH) !== 0 ? session.handle(request, 2, "file") : undefined;
  return replyAttributes(
    session,
    request,
    session.backend.getattr(request.caller, node, handle, request.attr),
  );
}

function readChange(request: Request): AttributeChange {
  const valid = request.word(SetattrIn.VALID) & CHANGES;
  return {
    valid,
    mode: request.word(SetattrIn.MODE),
    uid: request.word(SetattrIn.UID),
    gid: request.word(SetattrIn.GID),
    size: (valid & Change.SIZE) !== 0 ? request.bigint64(SetattrIn.SIZE) : 0n,
    atime: request.signed64(SetattrIn.ATIME),
    atimeNsec: request.word(SetattrIn.ATIME_NSEC),
    mtime: request.signed64(SetattrIn.MTIME),
    mtimeNsec: request.word(SetattrIn.MTIME_NSEC),
    ctime: request.signed64(SetattrIn.CTIME),
    ctimeNsec: request.word(SetattrIn.CTIME_NSEC),
  };
}

function hasValidTimes(change: AttributeChange): boolean {
  const { valid, atimeNsec, mtimeNsec, ctimeNsec } = change;
  return (
    ((valid & Change.ATIME) === 0 || atimeNsec < NSEC_PER_SEC) &&
    ((valid & Change.MTIME) === 0 || mtimeNsec < NSEC_PER_SEC) &&
    ((valid & Change.CTIME) === 0 || ctimeNsec < NSEC_PER_SEC)
  );
}

function setattr(session: FuseSession, request: Request): Awaitable<Status> {
  const node = session.node(request);
  if (node === undefined) {
    return STALE;
  }
  const named = (request.word(SetattrIn.VALID) & SETATTR_FH) !== 0;
  const handle = named ? session.handle(request, SetattrIn.HANDLE, "file") : undefined;
  const change = readChange(request);
  if (!hasValidTimes(change)) {
    return -EINVAL;
  }
  request.caller.clearsPrivileges = (change.valid & Change.KILL_SUIDGID) !== 0;
  const done = session.backend.setattr(request.caller, node, handle, change, request.attr);
  return replyAttributes(session, request, done);
}

function readlink(session: FuseSession, request: Request): Awaitable<Status> {
  const node = session.node(request);
  if (node === undefined) {
    return STALE;
  }
  return whenReady(session.backend.readlink(request.caller, node), (target) => {
    if (typeof target === "number") {
      return target;
    }
    if (target.length <= Slot.REPLY_BYTES) {
      return writeLatin1(request.replyBytes(target.length), target, 0);
    }
    return request.replyInPlace(Buffer.from(target, "latin1"), target.length);
  });
}

function access(session: FuseSession, request: Request): Awaitable<Status> {
  const node = session.node(request);
  return node === undefined ? STALE : session.backend.access(request.caller, node, request.word(0) & 7);
}

export const ATTRIBUTE_OPERATIONS: readonly Operation[] = [
  { opcode: Opcode.GETATTR, name: "GETATTR", argumentBytes: 16, run: getattr },
  { opcode: Opcode.SETATTR, name: "SETATTR", argumentBytes: SetattrIn.BYTES, run: setattr },
  { opcode: Opcode.READLINK, name: "READLINK", argumentBytes: 0, run: readlink },
  { opcode: Opcode.ACCESS, name: "ACCESS", argumentBytes: 8, run: access },
];
