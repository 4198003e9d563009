import { ArenaWord } from "../../src/native/arena.js";
import { EBADF, EINVAL, ENXIO, EPERM, type Result, type Status } from "../../src/vfs/errno.js";
import type { Caller } from "../../src/vfs/node.js";
import { clearPrivileges } from "./change-attributes.js";
import { isAppendOnly, isImmutable } from "./inode-flags.js";
import { type FileNode, MemoryFileHandle, NO_FILE } from "./nodes.js";
import { hasCapabilities, type MemoryStore } from "./store.js";
import { highHalf, highWord, lowHalf, lowWord } from "./words.js";

const O_ACCMODE = 3;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;
export const O_NOATIME = 0o1000000;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const FALLOC_FL_KEEP_SIZE = 1;

/** Whether chattr's flags allow the file to be opened so. */
function mayOpen(node: FileNode, flags: number): boolean {
  const writes = (flags & O_ACCMODE) !== O_RDONLY;
  if (isImmutable(node)) {
    return !writes && (flags & O_TRUNC) === 0;
  }
  return !isAppendOnly(node) || ((!writes || (flags & O_APPEND) !== 0) && (flags & O_TRUNC) === 0);
}

/**
 * Opens a regular file. The handle is bound to the arena's file when there is one: a file without is
 * empty, and handles that only read it wait here for the first byte, in {@link readFile}.
 */
export function openFile(
  store: MemoryStore,
  caller: Caller,
  node: FileNode,
  flags: number,
): Result<MemoryFileHandle> {
  if (!mayOpen(node, flags)) {
    return -EPERM;
  }
  const truncates = (flags & O_TRUNC) !== 0;
  const reads = (flags & O_ACCMODE) === O_RDONLY;
  const file = reads && !truncates ? node.file : store.fileOf(node);
  if (file < 0 && file !== NO_FILE) {
    return file;
  }
  if (truncates) {
    store.arena.truncate(file, 0, 0);
    clearPrivileges(store, node, caller.clearsPrivileges);
  }
  const handle = new MemoryFileHandle(node, flags);
  // Native code keeps the capabilities of what it writes.
  const isServedHere = !reads && hasCapabilities(node);
  if (file !== NO_FILE && !isServedHere) {
    const append = (flags & O_APPEND) !== 0;
    handle.boundFile = {
      kind: "arena",
      arena: store.arena,
      file,
      append,
      keepAtime: (flags & O_NOATIME) !== 0,
    };
  }
  node.openCount++;
  return handle;
}

/** read(2) of a handle that is not bound. */
export function readFile(
  store: MemoryStore,
  handle: MemoryFileHandle,
  offset: number,
  into: Uint8Array,
): Status {
  if ((handle.flags & O_ACCMODE) === O_WRONLY) {
    return -EBADF;
  }
  const { file } = handle.node;
  if (file === NO_FILE) {
    return 0;
  }
  const keepAtime = (handle.flags & O_NOATIME) !== 0 ? 1 : 0;
  return store.arena.read(file, lowWord(offset), highWord(offset), into, keepAtime);
}

/** write(2) of a handle that is not bound. */
export function writeFile(
  store: MemoryStore,
  caller: Caller,
  handle: MemoryFileHandle,
  offset: number,
  from: Uint8Array,
): Status {
  const { arena } = store;
  const file = writableFile(store, handle);
  if (file < 0) {
    return file;
  }
  clearPrivileges(store, handle.node, caller.clearsPrivileges);
  if ((handle.flags & O_APPEND) === 0) {
    return arena.write(file, lowWord(offset), highWord(offset), from);
  }
  arena.stat(file);
  const { words } = arena;
  return arena.write(file, words[ArenaWord.SIZE] as number, words[ArenaWord.SIZE + 1] as number, from);
}

/** The arena's file of a handle that may write; or -EBADF. */
function writableFile(store: MemoryStore, handle: MemoryFileHandle): number {
  return (handle.flags & O_ACCMODE) === O_RDONLY ? -EBADF : store.fileOf(handle.node);
}

/** fallocate(2). */
export function allocate(
  store: MemoryStore,
  caller: Caller,
  handle: MemoryFileHandle,
  mode: number,
  offset: bigint,
  length: bigint,
): Status {
  const file = writableFile(store, handle);
  if (file < 0) {
    return file;
  }
  if (offset < 0n || length <= 0n) {
    return -EINVAL;
  }
  const { node } = handle;
  if (isImmutable(node) || (isAppendOnly(node) && (mode & ~FALLOC_FL_KEEP_SIZE) !== 0)) {
    return -EPERM;
  }
  const [offsetLow, offsetHigh] = [lowHalf(offset), highHalf(offset)];
  const status = store.arena.allocate(file, mode, offsetLow, offsetHigh, lowHalf(length), highHalf(length));
  if (status === 0) {
    clearPrivileges(store, node, caller.clearsPrivileges);
  }
  return status;
}

/** lseek(2) with SEEK_DATA and SEEK_HOLE. */
export function seek(
  store: MemoryStore,
  handle: MemoryFileHandle,
  offset: bigint,
  whence: number,
): Result<bigint> {
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) {
    return -EINVAL;
  }
  const { file } = handle.node;
  if (file === NO_FILE || offset < 0n) {
    return -ENXIO;
  }
  const status = store.arena.seek(file, whence, lowHalf(offset), highHalf(offset));
  if (status < 0) {
    return status;
  }
  const { words } = store.arena;
  const high = words[ArenaWord.RESULT + 1] as number;
  return (BigInt(high) << 32n) | BigInt(words[ArenaWord.RESULT] as number);
}

/** copy_file_range(2); may copy less than asked. */
export function copyRange(
  store: MemoryStore,
  caller: Caller,
  from: MemoryFileHandle,
  fromOffset: bigint,
  to: MemoryFileHandle,
  toOffset: bigint,
  length: bigint,
): Result<bigint> {
  if ((from.flags & O_ACCMODE) === O_WRONLY || (to.flags & O_APPEND) !== 0) {
    return -EBADF;
  }
  const target = writableFile(store, to);
  if (target < 0) {
    return target;
  }
  if (fromOffset < 0n || toOffset < 0n || length < 0n) {
    return -EINVAL;
  }
  if (isImmutable(to.node)) {
    return -EPERM;
  }
  clearPrivileges(store, to.node, caller.clearsPrivileges);
  if (from.node.file === NO_FILE) {
    return 0n;
  }
  const copied = store.arena.copyRange(
    from.node.file,
    lowHalf(fromOffset),
    highHalf(fromOffset),
    target,
    lowHalf(toOffset),
    highHalf(toOffset),
    lowHalf(length),
    highHalf(length),
  );
  return copied < 0 ? copied : BigInt(copied);
}
