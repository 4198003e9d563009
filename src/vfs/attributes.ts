/**
 * File attributes as a record of 32-bit words, so that a file system can fill them in place in the
 * reply that goes to the guest, without an object or a BigInt per request. 64-bit fields are two
 * words, low half first. Words 0 to 21 are laid out as `struct fuse_attr`; the rest never leaves the
 * server.
 */
export type AttrRecord = Uint32Array;

/** Length of an {@link AttrRecord} in words. */
export const ATTR_WORDS = 32;
/** Words of an {@link AttrRecord} that are `struct fuse_attr`. */
export const FUSE_ATTR_WORDS = 22;

/** Word index of each field of an {@link AttrRecord}. */
export const Attr = {
  /** Inode number, shown to the guest as st_ino. */
  INO: 0,
  /** Size in bytes. */
  SIZE: 2,
  /** Allocated 512-byte blocks. */
  BLOCKS: 4,
  /** Seconds since the epoch, signed 64-bit. */
  ATIME: 6,
  MTIME: 8,
  CTIME: 10,
  /** Nanoseconds, 0 to 999,999,999. */
  ATIME_NSEC: 12,
  MTIME_NSEC: 13,
  CTIME_NSEC: 14,
  /** File type and permission bits (st_mode). */
  MODE: 15,
  NLINK: 16,
  UID: 17,
  GID: 18,
  /** Device number as the kernel's new_encode_dev() packs it. */
  RDEV: 19,
  BLKSIZE: 20,
  /** FUSE_ATTR_* flags. */
  FLAGS: 21,
  /** Device that holds the file (st_dev), for telling mounts apart. */
  DEV: 22,
  /** Birth time: seconds (two words), nanoseconds. */
  BTIME: 24,
  BTIME_NSEC: 26,
  /** Id of the mount through which a host's file was seen; 0 where unknown. */
  MOUNT: 27,
  /** {@link PROTECTED} bits of a host's file; other backends leave it alone. */
  INODE_FLAGS: 28,
} as const;

/** chattr's immutable and append-only flags, as FS_IOC_GETFLAGS numbers them. */
export const PROTECTED = 0x30;

/** Bit of {@link Attr.FLAGS}: the entry is the root of another mount than its parent's. */
export const FUSE_ATTR_SUBMOUNT = 1;

/** File type bits of st_mode. */
export const S_IFMT = 0o170000;
export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFBLK = 0o060000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const S_IFSOCK = 0o140000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;

const TWO_POW_32 = 0x1_0000_0000;

/** Stores a signed or unsigned integer (|value| < 2^53) as two words at `index`. */
export function setWords64(words: Uint32Array, index: number, value: number): void {
  words[index] = value % TWO_POW_32;
  words[index + 1] = Math.floor(value / TWO_POW_32);
}

/** Reads two words as an unsigned number; exact below 2^53. */
export function getWords64(words: Uint32Array, index: number): number {
  return (words[index + 1] as number) * TWO_POW_32 + (words[index] as number);
}

/** Statistics of a file system, as statfs(2) gives them. Block counts are in units of `fragmentSize`. */
export interface FileSystemStatistics {
  blocks: number;
  blocksFree: number;
  blocksAvailable: number;
  files: number;
  filesFree: number;
  blockSize: number;
  fragmentSize: number;
  nameLength: number;
}

/** Bits of {@link AttributeChange.valid}; the numbers are those of FUSE_SETATTR (FATTR_*). */
export const Change = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  CTIME: 1 << 10,
  /** Clear setuid and setgid where a write or truncate by this caller would. */
  KILL_SUIDGID: 1 << 11,
} as const;

/** The argument of setattr: only fields whose bit is set in `valid` count. */
export interface AttributeChange {
  /** Union of {@link Change} bits. */
  valid: number;
  /** Permission bits (type bits are ignored). */
  mode: number;
  uid: number;
  gid: number;
  /** New size in bytes, 0 to 2^63 - 1. */
  size: bigint;
  /** Seconds since the epoch, signed. */
  atime: number;
  atimeNsec: number;
  mtime: number;
  mtimeNsec: number;
  ctime: number;
  ctimeNsec: number;
}
