import { type Awaitable, EBADF, ESTALE, type Result, type Status } from "../../vfs/errno.js";
import type { HandleKind } from "../../vfs/handle-table.js";
import type { VfsHandle, VfsNode } from "../../vfs/node.js";
import { AttrOut, EntryOut, OPEN_OUT_BYTES } from "../protocol.js";
import type { Request } from "../request.js";
import type { FuseSession } from "../session.js";

/** The errno of a request whose node id the guest does not hold. */
export const STALE: Status = -ESTALE;
/** The errno of a request whose handle is not open, or not open on the node it names. */
export const BAD_HANDLE: Status = -EBADF;

/** Applies `finish` to a result now, or when its promise settles. */
export function whenReady<T>(
  result: Awaitable<T>,
  finish: (value: T) => Awaitable<Status>,
): Awaitable<Status> {
  return result instanceof Promise ? result.then(finish) : finish(result);
}

/** Answers with the entry of the node that an operation found or made (struct fuse_entry_out). */
export function replyEntry(
  session: FuseSession,
  request: Request,
  result: Awaitable<Result<VfsNode>>,
): Awaitable<Status> {
  const { inodes } = session;
  if (result instanceof Promise) {
    return result.then((node) =>
      typeof node === "number" ? node : session.replyEntry(request, node, inodes),
    );
  }
  return typeof result === "number" ? result : session.replyEntry(request, result, inodes);
}

/** Answers with the attributes that an operation has filled in (struct fuse_attr_out). */
export function replyAttributes(
  session: FuseSession,
  request: Request,
  result: Awaitable<Status>,
): Awaitable<Status> {
  return whenReady(result, (status) => {
    if (status < 0) {
      return status;
    }
    const word = request.beginAttrReply();
    const { words } = session.lane;
    const { attr } = session.timeouts;
    words[word] = attr.seconds;
    words[word + 1] = 0;
    words[word + 2] = attr.nanoseconds;
    words[word + 3] = 0;
    return AttrOut.BYTES;
  });
}

/** Answers a creation with its entry and its handle, opened with `openFlags`, behind it. */
export function replyCreated(
  session: FuseSession,
  request: Request,
  openFlags: number,
  result: Awaitable<Result<VfsHandle>>,
): Awaitable<Status> {
  const { inodes } = session;
  return whenReady(result, (handle) => {
    if (typeof handle === "number") {
      return handle;
    }
    if (inodes !== session.inodes) {
      return session.discardHandle(handle, "file");
    }
    const length = session.replyEntry(request, handle.node, inodes);
    session.addHandle(handle, "file", openFlags, request.replyWord + EntryOut.BYTES / 4);
    return length + OPEN_OUT_BYTES;
  });
}

/** Answers an open with its handle, opened with `openFlags` (struct fuse_open_out). */
export function replyOpened(
  session: FuseSession,
  request: Request,
  kind: HandleKind,
  openFlags: number,
  result: Awaitable<Result<VfsHandle>>,
): Awaitable<Status> {
  const { inodes } = session;
  return whenReady(result, (handle) => {
    if (typeof handle === "number") {
      return handle;
    }
    if (inodes !== session.inodes) {
      return session.discardHandle(handle, kind);
    }
    session.addHandle(handle, kind, openFlags, request.replyWord);
    return OPEN_OUT_BYTES;
  });
}
