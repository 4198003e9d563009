import { KEEP_ID, posix, UTIME_NOW, UTIME_OMIT } from "../../src/native/posix.js";
import { Attr, type AttributeChange, Change, getWords64, S_ISGID } from "../../src/vfs/attributes.js";
import { type Awaitable, EINVAL, EISDIR, type Status } from "../../src/vfs/errno.js";
import type { FileHandle, PassthroughNode } from "./node.js";
import type { NodeTable } from "./node-table.js";

/** Permission bits of st_mode with setuid, setgid and sticky. */
const PERMISSIONS = 0o7777;
/** Freeing more than this is left to the I/O pool: a disk may take long over it. */
const SLOW_TRUNCATE_BYTES = 64 * 1024 * 1024;

/**
 * Applies a setattr in the order of virtiofsd: mode, owner, size, times. A failure leaves what came
 * before it applied, as a program's own calls would.
 *
 * A promise is returned where the size takes long. By then a guest may have released the handle and its
 * descriptor be another file's, so whatever follows goes through the node.
 */
export function applyChange(
  nodes: NodeTable,
  node: PassthroughNode,
  handle: FileHandle | undefined,
  change: AttributeChange,
): Awaitable<Status> {
  const fd = handle === undefined ? nodes.descriptor(node) : handle.fd;
  if (fd < 0) {
    return fd;
  }
  const status = applyModeAndOwner(fd, change);
  if (status < 0) {
    return status;
  }
  if ((change.valid & Change.SIZE) === 0) {
    return applyTimes(fd, change);
  }
  const resized = resize(fd, node, handle, change);
  if (typeof resized === "number") {
    return resized < 0 ? resized : applyTimes(fd, change);
  }
  return resized.then((status) => {
    const path = status < 0 ? status : nodes.descriptor(node);
    return path < 0 ? path : applyTimes(path, change);
  });
}

function applyModeAndOwner(fd: number, change: AttributeChange): Status {
  const { valid } = change;
  if ((valid & Change.MODE) !== 0) {
    const status = posix.changeMode(fd, change.mode);
    if (status < 0) {
      return status;
    }
  }
  if ((valid & (Change.UID | Change.GID)) !== 0) {
    const uid = (valid & Change.UID) !== 0 ? change.uid : KEEP_ID;
    const gid = (valid & Change.GID) !== 0 ? change.gid : KEEP_ID;
    return posix.changeOwner(fd, uid, gid);
  }
  return 0;
}

function resize(
  fd: number,
  node: PassthroughNode,
  handle: FileHandle | undefined,
  change: AttributeChange,
): Awaitable<Status> {
  if (!node.isRegular) {
    return node.isDirectory ? -EISDIR : -EINVAL;
  }
  const isOpen = handle?.isWritable === true ? 1 : 0;
  const kill = (change.valid & Change.KILL_SUIDGID) !== 0 ? 1 : 0;
  const status = posix.stat(fd);
  if (status < 0) {
    return status;
  }
  const freed = getWords64(posix.attr, Attr.SIZE) - Number(change.size);
  return freed > SLOW_TRUNCATE_BYTES
    ? posix.truncateSlowly(fd, change.size, isOpen, kill)
    : posix.truncate(fd, change.size, isOpen, kill);
}

function applyTimes(fd: number, change: AttributeChange): Status {
  const { valid } = change;
  if ((valid & (Change.ATIME | Change.MTIME | Change.ATIME_NOW | Change.MTIME_NOW)) === 0) {
    return 0;
  }
  const atimeNsec = nanoseconds(valid, Change.ATIME, Change.ATIME_NOW, change.atimeNsec);
  const mtimeNsec = nanoseconds(valid, Change.MTIME, Change.MTIME_NOW, change.mtimeNsec);
  return posix.setTimes(fd, change.atime, atimeNsec, change.mtime, mtimeNsec);
}

function nanoseconds(valid: number, given: number, now: number, value: number): number {
  if ((valid & now) !== 0) {
    return UTIME_NOW;
  }
  return (valid & given) !== 0 ? value : UTIME_OMIT;
}

/** What setting an ACL does for a caller outside the file's group. */
export function clearSetgid(fd: number): Status {
  const status = posix.stat(fd);
  const mode = posix.attr[Attr.MODE] as number;
  return status < 0 || (mode & S_ISGID) === 0 ? status : posix.changeMode(fd, mode & PERMISSIONS & ~S_ISGID);
}
