import { ArenaTime } from "../../src/native/arena.js";
import { EINVAL, ENOTTY, EOPNOTSUPP, EPERM, type Status } from "../../src/vfs/errno.js";
import type { Caller } from "../../src/vfs/node.js";
import type { DirectoryNode, MemoryNode } from "./nodes.js";
import type { MemoryStore } from "./store.js";

/** linux/fs.h. A command's number says how long its argument is; 32-bit programs use the short form. */
const FS_IOC_GETFLAGS = [0x8008_6601, 0x8004_6601];
const FS_IOC_SETFLAGS = [0x4008_6602, 0x4004_6602];
const FS_IOC_FSGETXATTR = 0x801c_581f;
const FS_IOC_FSSETXATTR = 0x401c_5820;
const FSXATTR_BYTES = 28;

const FS_IMMUTABLE_FL = 0x10;
const FS_APPEND_FL = 0x20;
const FS_NODUMP_FL = 0x40;
const SETTABLE = FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL;
/** What files get from their directory. */
const INHERITED = FS_NODUMP_FL;
/** Flags as fsxattr spells them. */
const XFLAGS: readonly (readonly [flag: number, xflag: number])[] = [
  [FS_IMMUTABLE_FL, 0x8],
  [FS_APPEND_FL, 0x10],
  [FS_NODUMP_FL, 0x80],
];

/** Flags as archives spell them (star, libarchive); each first name is the one that is written. */
const FLAG_NAMES: readonly (readonly [flag: number, names: readonly string[]])[] = [
  [FS_IMMUTABLE_FL, ["schg", "schange", "simmutable", "uchg"]],
  [FS_APPEND_FL, ["sappnd", "sappend", "uappnd"]],
  [FS_NODUMP_FL, ["nodump"]],
];

/** A node's flags as names, separated by commas. */
export function namesOfFlags(flags: number): string {
  return FLAG_NAMES.filter(([flag]) => (flags & flag) !== 0)
    .map(([, [name]]) => name)
    .join(",");
}

/** The flags of such a list; names of what a share does not have are passed over. */
export function flagsOfNames(names: string): number {
  const given = new Set(names.split(","));
  return FLAG_NAMES.reduce(
    (sum, [flag, known]) => sum | (known.some((name) => given.has(name)) ? flag : 0),
    0,
  );
}

/** Mode, owner, given times and extended attributes may change. */
export function mayChangeAttributes(node: MemoryNode): boolean {
  return (node.flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)) === 0;
}

export function isImmutable(node: MemoryNode): boolean {
  return (node.flags & FS_IMMUTABLE_FL) !== 0;
}

/** Contents may only grow; of a directory, names may only be added. */
export function isAppendOnly(node: MemoryNode): boolean {
  return (node.flags & FS_APPEND_FL) !== 0;
}

/** Names may be taken away from the directory, and this one's node may lose it. */
export function mayRemove(directory: DirectoryNode, node: MemoryNode): boolean {
  return mayChangeAttributes(directory) && mayChangeAttributes(node);
}

/** The flags of what is made in a directory. */
export function inheritedFlags(directory: DirectoryNode): number {
  return directory.flags & INHERITED;
}

/** Only root makes files immutable or append-only, or takes that back. -EPERM, -EOPNOTSUPP. */
function setFlags(store: MemoryStore, caller: Caller, node: MemoryNode, flags: number): Status {
  if (caller.uid !== 0 && caller.uid !== node.uid) {
    return -EPERM;
  }
  if (((flags ^ node.flags) & (FS_IMMUTABLE_FL | FS_APPEND_FL)) !== 0 && caller.uid !== 0) {
    return -EPERM;
  }
  if ((flags & ~SETTABLE) !== 0) {
    return -EOPNOTSUPP;
  }
  node.flags = flags;
  store.touch(node, ArenaTime.CTIME);
  return 0;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function getFsxattr(node: MemoryNode, into: Uint8Array): Status {
  if (into.length < FSXATTR_BYTES) {
    return -EINVAL;
  }
  into.fill(0, 0, FSXATTR_BYTES);
  const xflags = XFLAGS.reduce((sum, [flag, xflag]) => sum | ((node.flags & flag) !== 0 ? xflag : 0), 0);
  viewOf(into).setUint32(0, xflags, true);
  return FSXATTR_BYTES;
}

/** Project ids and extent sizes are no business of memory. */
function setFsxattr(store: MemoryStore, caller: Caller, node: MemoryNode, input: Uint8Array): Status {
  if (input.length < FSXATTR_BYTES) {
    return -EINVAL;
  }
  const xflags = viewOf(input).getUint32(0, true);
  const known = XFLAGS.reduce((sum, [, xflag]) => sum | xflag, 0);
  if ((xflags & ~known) !== 0 || input.subarray(4, FSXATTR_BYTES).some((byte) => byte !== 0)) {
    return -EOPNOTSUPP;
  }
  const flags = XFLAGS.reduce((sum, [flag, xflag]) => sum | ((xflags & xflag) !== 0 ? flag : 0), 0);
  return setFlags(store, caller, node, flags);
}

/** ioctl(2) as tmpfs answers it: chattr's immutable, append-only and no-dump. -ENOTTY for all else. */
export function inodeIoctl(
  store: MemoryStore,
  caller: Caller,
  node: MemoryNode,
  command: number,
  input: Uint8Array,
  into: Uint8Array,
): Status {
  if (FS_IOC_GETFLAGS.includes(command)) {
    if (into.length < 4) {
      return -EINVAL;
    }
    into.fill(0);
    viewOf(into).setUint32(0, node.flags, true);
    return Math.min(into.length, 8);
  }
  if (FS_IOC_SETFLAGS.includes(command)) {
    return input.length < 4 ? -EINVAL : setFlags(store, caller, node, viewOf(input).getUint32(0, true));
  }
  switch (command) {
    case FS_IOC_FSGETXATTR:
      return getFsxattr(node, into);
    case FS_IOC_FSSETXATTR:
      return setFsxattr(store, caller, node, input);
    default:
      return -ENOTTY;
  }
}
