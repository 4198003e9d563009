import { type Awaitable, EINVAL, ENAMETOOLONG, ENOENT, type Result, type Status } from "../../vfs/errno.js";
import type { VfsNode } from "../../vfs/node.js";
import type { Operation } from "../operations.js";
import { Opcode } from "../protocol.js";
import type { Request } from "../request.js";
import type { FuseSession } from "../session.js";
import { replyEntry, STALE, whenReady } from "./steps.js";

/** Longest target of a symbolic link, in bytes (PATH_MAX without its NUL). */
const TARGET_BYTES = 4095;
/** RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT. */
const RENAME_FLAGS = 7;

function lookup(session: FuseSession, request: Request): Awaitable<Status> {
  const parent = session.node(request);
  if (parent === undefined) {
    return lookupForgotten(session, request);
  }
  const name = request.name(0);
  if (typeof name === "number") {
    return session.backend.capabilities.parents ? lookupDots(session, request, parent, name) : name;
  }
  const found = session.backend.lookup(request.caller, parent, name, request.attr);
  return found === -ENOENT && session.cachesAbsence
    ? session.replyAbsent(request)
    : replyLookup(session, request, found);
}

/** The same where the backend had to wait. */
function replyLookup(
  session: FuseSession,
  request: Request,
  found: Awaitable<Result<VfsNode>>,
): Awaitable<Status> {
  const entry = replyEntry(session, request, found);
  return session.cachesAbsence && entry instanceof Promise
    ? entry.then((status) => (status === -ENOENT ? session.replyAbsent(request) : status))
    : entry;
}

/** "." and ".." of a node that the guest has forgotten; what is found has the id that it had. */
function lookupForgotten(session: FuseSession, request: Request): Awaitable<Status> {
  const { inodes } = session;
  const node = inodes.retained(request.nodeLow, request.nodeHigh);
  if (node === undefined) {
    return STALE;
  }
  inodes.pin(node);
  return whenReady(lookupDots(session, request, node, STALE), (status) => {
    inodes.unpin(node);
    return status;
  });
}

/**
 * "." and "..", by which a guest that exports the share (NFS) finds a file again that it knows by node id.
 * `otherwise` answers any other name.
 */
function lookupDots(
  session: FuseSession,
  request: Request,
  node: VfsNode,
  otherwise: Status,
): Awaitable<Status> {
  const { backend } = session;
  switch (request.string(0)) {
    case ".": {
      const status = backend.getattr(request.caller, node, undefined, request.attr);
      const found =
        status instanceof Promise ? status.then((s) => (s < 0 ? s : node)) : status < 0 ? status : node;
      return replyEntry(session, request, found);
    }
    case "..":
      return replyEntry(session, request, backend.parentOf(request.caller, node, request.attr));
    default:
      return otherwise;
  }
}

function mknod(session: FuseSession, request: Request): Awaitable<Status> {
  const parent = session.node(request);
  const name = request.name(16);
  if (parent === undefined || typeof name === "number") {
    return typeof name === "number" ? name : STALE;
  }
  request.readExtensions();
  request.caller.umask = session.umask(request.word(2));
  const made = session.backend.mknod(
    request.caller,
    parent,
    name,
    request.word(0),
    request.word(1),
    request.attr,
  );
  return replyEntry(session, request, made);
}

function mkdir(session: FuseSession, request: Request): Awaitable<Status> {
  const parent = session.node(request);
  const name = request.name(8);
  if (parent === undefined || typeof name === "number") {
    return typeof name === "number" ? name : STALE;
  }
  request.readExtensions();
  request.caller.umask = session.umask(request.word(1));
  const made = session.backend.mkdir(request.caller, parent, name, request.word(0), request.attr);
  return replyEntry(session, request, made);
}

function symlink(session: FuseSession, request: Request): Awaitable<Status> {
  const parent = session.node(request);
  const name = request.name(0);
  if (parent === undefined || typeof name === "number") {
    return typeof name === "number" ? name : STALE;
  }
  const target = request.string(name.length + 1);
  if (typeof target === "number" || target.length > TARGET_BYTES) {
    return typeof target === "number" ? target : -ENAMETOOLONG;
  }
  request.readExtensions();
  const made = session.backend.symlink(request.caller, parent, name, target, request.attr);
  return replyEntry(session, request, made);
}

function link(session: FuseSession, request: Request): Awaitable<Status> {
  const newParent = session.node(request);
  const node = session.inodes.get(request.word(0), request.word(1));
  const name = request.name(8);
  if (newParent === undefined || node === undefined || typeof name === "number") {
    return typeof name === "number" ? name : STALE;
  }
  const linked = session.backend.link(request.caller, node, newParent, name, request.attr);
  return replyEntry(session, request, linked);
}

function unlink(session: FuseSession, request: Request): Awaitable<Status> {
  const parent = session.node(request);
  const name = request.name(0);
  if (parent === undefined || typeof name === "number") {
    return typeof name === "number" ? name : STALE;
  }
  return session.backend.unlink(request.caller, parent, name);
}

function rmdir(session: FuseSession, request: Request): Awaitable<Status> {
  const parent = session.node(request);
  const name = request.name(0);
  if (parent === undefined || typeof name === "number") {
    return typeof name === "number" ? name : STALE;
  }
  return session.backend.rmdir(request.caller, parent, name);
}

/** RENAME and RENAME2: the names begin at `namesAt`. */
function renameWith(
  session: FuseSession,
  request: Request,
  namesAt: number,
  flags: number,
): Awaitable<Status> {
  const parent = session.node(request);
  const newParent = session.inodes.get(request.word(0), request.word(1));
  const name = request.name(namesAt);
  if (parent === undefined || newParent === undefined || typeof name === "number") {
    return typeof name === "number" ? name : STALE;
  }
  const newName = request.name(namesAt + name.length + 1);
  if (typeof newName === "number" || (flags & ~RENAME_FLAGS) !== 0) {
    return typeof newName === "number" ? newName : -EINVAL;
  }
  return session.backend.rename(request.caller, parent, name, newParent, newName, flags);
}

export const NAMESPACE_OPERATIONS: readonly Operation[] = [
  { opcode: Opcode.LOOKUP, name: "LOOKUP", argumentBytes: 2, run: lookup },
  { opcode: Opcode.MKNOD, name: "MKNOD", argumentBytes: 18, run: mknod },
  { opcode: Opcode.MKDIR, name: "MKDIR", argumentBytes: 10, run: mkdir },
  { opcode: Opcode.SYMLINK, name: "SYMLINK", argumentBytes: 4, run: symlink },
  { opcode: Opcode.LINK, name: "LINK", argumentBytes: 10, run: link },
  { opcode: Opcode.UNLINK, name: "UNLINK", argumentBytes: 2, run: unlink },
  { opcode: Opcode.RMDIR, name: "RMDIR", argumentBytes: 2, run: rmdir },
  {
    opcode: Opcode.RENAME,
    name: "RENAME",
    argumentBytes: 12,
    run: (session, request) => renameWith(session, request, 8, 0),
  },
  {
    opcode: Opcode.RENAME2,
    name: "RENAME2",
    argumentBytes: 20,
    run: (session, request) => renameWith(session, request, 16, request.word(2)),
  },
];
