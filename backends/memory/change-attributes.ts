import { ArenaTime } from "../../src/native/arena.js";
import { type AttributeChange, Change, S_IFMT, S_ISGID, S_ISUID } from "../../src/vfs/attributes.js";
import { EACCES, EINVAL, EISDIR, EPERM, type Status } from "../../src/vfs/errno.js";
import type { Caller } from "../../src/vfs/node.js";
import { alignWithMode } from "./acl.js";
import { isImmutable, mayChangeAttributes } from "./inode-flags.js";
import { DirectoryNode, FileNode, type MemoryNode, NO_FILE } from "./nodes.js";
import type { MemoryStore } from "./store.js";
import { highHalf, lowHalf } from "./words.js";
import { dropCapabilities } from "./xattrs.js";

const S_IXGRP = 0o010;
const X_OK = 1;

/** Sets the size of a regular file. -EISDIR, -EINVAL, -EFBIG. */
function truncate(store: MemoryStore, node: MemoryNode, size: bigint): Status {
  if (!(node instanceof FileNode)) {
    return node instanceof DirectoryNode ? -EISDIR : -EINVAL;
  }
  if (node.file === NO_FILE && size === 0n) {
    return 0;
  }
  const file = store.fileOf(node);
  return file < 0 ? file : store.arena.truncate(file, lowHalf(size), highHalf(size));
}

function clearSetid(store: MemoryStore, node: MemoryNode, isOutsider: boolean): void {
  const losesSetgid = (node.mode & S_IXGRP) !== 0 || isOutsider;
  const lost = node.mode & (losesSetgid ? S_ISUID | S_ISGID : S_ISUID);
  if (lost !== 0) {
    node.mode &= ~lost;
    store.notePrivileges(node);
  }
}

/**
 * What a change of contents takes away: capabilities always, setuid, and setgid of what the group may
 * execute, unless the caller is privileged.
 */
export function clearPrivileges(store: MemoryStore, node: MemoryNode, alsoSetid: boolean): void {
  dropCapabilities(store, node);
  if (alsoSetid) {
    clearSetid(store, node, false);
  }
}

function changeOwner(store: MemoryStore, caller: Caller, node: MemoryNode, change: AttributeChange): void {
  if (!(node instanceof DirectoryNode)) {
    clearSetid(store, node, caller.uid !== 0 && caller.gid !== node.gid);
    dropCapabilities(store, node);
  }
  if ((change.valid & Change.UID) !== 0) {
    node.uid = change.uid;
  }
  if ((change.valid & Change.GID) !== 0) {
    node.gid = change.gid;
  }
}

/** The times that `valid` sets to now, and those it gives, as ArenaTime bits. */
function timeMasks(valid: number): { now: number; given: number } {
  let now = 0;
  let given = 0;
  if ((valid & Change.ATIME_NOW) !== 0) {
    now |= ArenaTime.ATIME;
  } else if ((valid & Change.ATIME) !== 0) {
    given |= ArenaTime.ATIME;
  }
  if ((valid & (Change.MTIME_NOW | Change.MTIME)) === Change.MTIME) {
    given |= ArenaTime.MTIME;
  } else if ((valid & (Change.MTIME_NOW | Change.SIZE)) !== 0) {
    // Truncating counts as a change of the contents even when the size stays, as on tmpfs.
    now |= ArenaTime.MTIME;
  }
  if ((valid & Change.CTIME) !== 0) {
    given |= ArenaTime.CTIME;
  } else {
    now |= ArenaTime.CTIME;
  }
  return { now, given };
}

function setGivenTimes(store: MemoryStore, node: MemoryNode, change: AttributeChange, given: number): void {
  if (node instanceof FileNode && node.file !== NO_FILE) {
    store.setFileTimes(node.file, change, given);
    return;
  }
  store.setNodeTimes(node, given & ArenaTime.ATIME, change.atime, change.atimeNsec);
  store.setNodeTimes(node, given & ArenaTime.MTIME, change.mtime, change.mtimeNsec);
  store.setNodeTimes(node, given & ArenaTime.CTIME, change.ctime, change.ctimeNsec);
}

/** Whether chattr's flags allow the change: may_setattr() of Linux. */
function flagsAllow(node: MemoryNode, valid: number): boolean {
  const now = Change.ATIME_NOW | Change.MTIME_NOW;
  const given =
    ((valid & (Change.ATIME | Change.ATIME_NOW)) === Change.ATIME ? Change.ATIME : 0) |
    ((valid & (Change.MTIME | Change.MTIME_NOW)) === Change.MTIME ? Change.MTIME : 0);
  const restricted = (valid & (Change.MODE | Change.UID | Change.GID | Change.SIZE)) | given;
  return (restricted === 0 || mayChangeAttributes(node)) && ((valid & now) === 0 || !isImmutable(node));
}

/**
 * setattr: the size first, because it alone can fail; then owner, which clears setuid and setgid, and
 * mode, which may set them again; times last.
 */
export function changeAttributes(
  store: MemoryStore,
  caller: Caller,
  node: MemoryNode,
  change: AttributeChange,
): Status {
  const { valid } = change;
  if (!flagsAllow(node, valid)) {
    return -EPERM;
  }
  if ((valid & Change.SIZE) !== 0) {
    const status = truncate(store, node, change.size);
    if (status < 0) {
      return status;
    }
    clearPrivileges(store, node, caller.clearsPrivileges);
  }
  if ((valid & Change.KILL_SUIDGID) !== 0 && !(node instanceof DirectoryNode)) {
    clearPrivileges(store, node, true);
  }
  if ((valid & (Change.UID | Change.GID)) !== 0) {
    changeOwner(store, caller, node, change);
  }
  if ((valid & Change.MODE) !== 0) {
    node.mode = (node.mode & S_IFMT) | (change.mode & ~S_IFMT & 0o7777);
    alignWithMode(node);
    store.notePrivileges(node);
  }
  const { now, given } = timeMasks(valid);
  if (now !== 0) {
    store.touch(node, now);
  }
  if (given !== 0) {
    setGivenTimes(store, node, change, given);
  }
  return 0;
}

/** access(2) by the mode bits, for guests whose kernel does not decide itself. -EACCES. */
export function checkAccess(caller: Caller, node: MemoryNode, mask: number): Status {
  const { mode, uid, gid } = node;
  if (caller.uid === 0) {
    const needsExecute = (mask & X_OK) !== 0 && !(node instanceof DirectoryNode);
    return needsExecute && (mode & 0o111) === 0 ? -EACCES : 0;
  }
  const shift = caller.uid === uid ? 6 : caller.gid === gid ? 3 : 0;
  return (mask & 7 & ~(mode >>> shift)) === 0 ? 0 : -EACCES;
}
