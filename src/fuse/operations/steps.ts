import { type Awaitable, EBADF, ESTALE, type Result, type Status } from "../../vfs/errno.js";
import type { HandleKind } from "../../vfs/handle-table.js";
import type { VfsHandle, VfsNode } from "../../vfs/node.js";
import { AttrOut, EntryOut, OPEN_OUT_BYTES, OpenFlag } from "../protocol.js";
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

/**
 * Does something with the file that a request is about, by its handle at argument word `index`, or by its node where the
 * guest does not open files.
 */
export function withFile(
  session: FuseSession,
  request: Request,
  index: number,
  forWriting: boolean,
  operation: (handle: VfsHandle) => Awaitable<Status>,
): Awaitable<Status> {
  const { nodeFiles } = session;
  if (nodeFiles === undefined) {
    const handle = session.handle(request, index, "file");
    return handle === undefined ? BAD_HANDLE : operation(handle);
  }
  const node = session.node(request);
  return node === undefined ? STALE : nodeFiles.use(request.caller, node, forWriting, operation);
}

/** The same for a directory and the handle at argument word 0. */
export function withDirectory(
  session: FuseSession,
  request: Request,
  operation: (handle: VfsHandle) => Awaitable<Status>,
): Awaitable<Status> {
  if (session.directoryStreams === undefined) {
    const handle = session.handle(request, 0, "directory");
    return handle === undefined ? BAD_HANDLE : operation(handle);
  }
  const node = session.node(request);
  if (node === undefined) {
    return STALE;
  }
  const { backend } = session;
  return whenReady(backend.opendir(request.caller, node, 0), (handle) =>
    typeof handle === "number"
      ? handle
      : whenReady(operation(handle), (status) => {
          const released = backend.releasedir(handle);
          return released instanceof Promise ? released.then(() => status) : status;
        }),
  );
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
    if (session.nodeFiles !== undefined) {
      session.nodeFiles.created(handle);
      session.lane.words.set([0, 0, OpenFlag.KEEP_CACHE, 0], request.replyWord + EntryOut.BYTES / 4);
      return length + OPEN_OUT_BYTES;
    }
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
