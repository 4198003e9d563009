import { Slot } from "../../native/lane.js";
import { XattrFlag } from "../../vfs/backend.js";
import { type Awaitable, E2BIG, EINVAL, ERANGE, type Result, type Status } from "../../vfs/errno.js";
import type { VfsNode } from "../../vfs/node.js";
import type { Operation } from "../operations.js";
import { InitFlag, Opcode, SETXATTR_KILL_SGID } from "../protocol.js";
import type { Request } from "../request.js";
import type { FuseSession } from "../session.js";
import { STALE, whenReady } from "./steps.js";

/** XATTR_NAME_MAX and XATTR_SIZE_MAX of Linux. */
const NAME_BYTES = 255;
const VALUE_BYTES = 65_536;
const FLAGS = XattrFlag.CREATE | XattrFlag.REPLACE;
const SETXATTR_IN_BYTES = 8;
/** With SETXATTR_EXT: setxattr_flags and padding more. */
const SETXATTR_LONG_IN_BYTES = 16;
const GETXATTR_IN_BYTES = 8;

/** An attribute's name at argument byte `start`. Errors: EINVAL, ERANGE when it is too long. */
function attributeName(request: Request, start: number): Result<string> {
  const name = request.string(start);
  return typeof name === "string" && name.length > NAME_BYTES ? -ERANGE : name;
}

function setxattr(session: FuseSession, request: Request): Awaitable<Status> {
  const node = session.node(request);
  if (node === undefined) {
    return STALE;
  }
  const size = request.word(0);
  const flags = request.word(1);
  const isLong = (session.agreedFlags & InitFlag.SETXATTR_EXT) !== 0;
  const fixedBytes = isLong ? SETXATTR_LONG_IN_BYTES : SETXATTR_IN_BYTES;
  const name = attributeName(request, fixedBytes);
  if (typeof name === "number") {
    return name;
  }
  const start = fixedBytes + name.length + 1;
  if (size > VALUE_BYTES) {
    return -E2BIG;
  }
  if (size > request.argumentBytes - start || (flags & ~FLAGS) !== 0) {
    return -EINVAL;
  }
  const value = request.payload().subarray(start, start + size);
  const killsSgid = isLong && (request.word(2) & SETXATTR_KILL_SGID) !== 0;
  const allFlags = killsSgid ? flags | XattrFlag.ACL_KILL_SGID : flags;
  return session.backend.setxattr(request.caller, node, name, value, allFlags);
}

/** Answers a request for bytes of at most `size`, or for their count when `size` is 0. */
function replyBytes(
  session: FuseSession,
  request: Request,
  size: number,
  fill: (into: Uint8Array) => Awaitable<Status>,
): Awaitable<Status> {
  if (size > 0 && size > request.replyCapacity) {
    return -EINVAL;
  }
  const room = Math.min(size, VALUE_BYTES);
  const into = room <= Slot.REPLY_BYTES ? request.replyBytes(room) : Buffer.allocUnsafe(room);
  return whenReady(fill(into), (length) => {
    if (length < 0) {
      return length;
    }
    if (size === 0) {
      session.lane.words[request.replyWord] = length;
      session.lane.words[request.replyWord + 1] = 0;
      return 8;
    }
    return room <= Slot.REPLY_BYTES ? length : request.replyInPlace(into, length);
  });
}

function getxattr(session: FuseSession, request: Request): Awaitable<Status> {
  const node = session.node(request);
  const name = attributeName(request, GETXATTR_IN_BYTES);
  if (node === undefined || typeof name === "number") {
    return typeof name === "number" ? name : STALE;
  }
  return replyBytes(session, request, request.word(0), (into) =>
    session.backend.getxattr(request.caller, node, name, into),
  );
}

function listxattr(session: FuseSession, request: Request): Awaitable<Status> {
  const node: VfsNode | undefined = session.node(request);
  if (node === undefined) {
    return STALE;
  }
  return replyBytes(session, request, request.word(0), (into) =>
    session.backend.listxattr(request.caller, node, into),
  );
}

function removexattr(session: FuseSession, request: Request): Awaitable<Status> {
  const node = session.node(request);
  const name = attributeName(request, 0);
  if (node === undefined || typeof name === "number") {
    return typeof name === "number" ? name : STALE;
  }
  return session.backend.removexattr(request.caller, node, name);
}

export const XATTR_OPERATIONS: readonly Operation[] = [
  { opcode: Opcode.SETXATTR, name: "SETXATTR", argumentBytes: 10, run: setxattr },
  { opcode: Opcode.GETXATTR, name: "GETXATTR", argumentBytes: 10, run: getxattr },
  { opcode: Opcode.LISTXATTR, name: "LISTXATTR", argumentBytes: 8, run: listxattr },
  { opcode: Opcode.REMOVEXATTR, name: "REMOVEXATTR", argumentBytes: 2, run: removexattr },
];
