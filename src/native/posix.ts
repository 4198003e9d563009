import { ATTR_WORDS, type AttrRecord } from "../vfs/attributes.js";
import { addon } from "./addon.js";

/** Words of a note in {@link PosixBinding.notes}; the first place holds the count instead. */
export const NOTE_WORDS = 6;
/** Word index of each part of a note. */
export const Note = {
  /** Where the entry's record begins, in bytes. */
  POSITION: 0,
  DEV: 1,
  MOUNT: 2,
  /** Birth time: seconds (two words) and nanoseconds; all 0 where the file system has none. */
  BIRTH: 3,
  BIRTH_NSEC: 5,
} as const;

/**
 * Where a file is: no call on memory waits; buffered writes to a local disk seldom do; a remote file system (network,
 * FUSE) may let every call wait for as long as it likes.
 */
export const Medium = { OTHER: 0, DISK: 1, MEMORY: 2, REMOTE: 3 } as const;

/** Nanoseconds that mean "the time of the call" and "leave it" in {@link PosixBinding.setTimes}. */
export const UTIME_NOW = 0x3fffffff;
export const UTIME_OMIT = 0x3ffffffe;
/** The user or group id that {@link PosixBinding.changeOwner} leaves as it is. */
export const KEEP_ID = 0xffff_ffff;

/**
 * System calls on the files of a share. Every function returns a number >= 0 or -errno unless it says
 * otherwise. Names are one path component, bytes as latin1; "directory" and "fd" are descriptors, which
 * may be paths only (O_PATH) except where one is called open. `uid`, `gid` and `group` (-1: none) are
 * the caller that a creation acts as.
 */
interface PosixBinding {
  /** Attributes that the last successful call marked "attr" has left. */
  readonly attr: AttrRecord;
  /** Result of statfs: blocks, free, available, files, files free, block size, fragment size, name length. */
  readonly statistics: Float64Array;
  /** Result of readDirectory: the count of notes, then from word {@link NOTE_WORDS} on the notes. */
  readonly notes: Uint32Array;

  /** Prepares process and thread to serve: umask 0, descriptor limit, /proc/self/fd. */
  prepareThread(): number;
  /** 1 when creations can be given to their callers, 0 when all files are the process's user's. */
  mayActAsOthers(): number;

  /** attr; an entry of a directory, links not followed. */
  statAt(directory: number, name: string): number;
  /** attr */
  stat(fd: number): number;
  statfs(fd: number): number;

  /** attr; opens a path of the host, following links. */
  openRoot(path: string): number;
  /** attr; opens an entry as a path only, links not followed. */
  openPath(directory: number, name: string): number;
  /** As openPath, for what is in memory. Errors: EAGAIN where it would have to be read, or the kernel cannot tell. */
  openPathCached(directory: number, name: string): number;
  /**
   * Opens a regular file or a directory (never anything else) again with open(2) `flags`; with `killSuidgid` 1
   * O_TRUNC clears setuid and setgid.
   */
  reopen(fd: number, flags: number, killSuidgid?: number): number;
  /** As reopen, as a path only; any file. */
  reopenPath(fd: number): number;
  /** attr; O_CREAT and O_EXCL are implied. */
  openCreate(
    directory: number,
    name: string,
    flags: number,
    mode: number,
    uid: number,
    gid: number,
    group: number,
  ): number;
  /** attr; a file without a name (O_TMPFILE) that link can name unless `flags` has O_EXCL. */
  openTemporary(
    directory: number,
    flags: number,
    mode: number,
    uid: number,
    gid: number,
    group: number,
  ): number;
  /** attr; ".." as a path only, if it is `root` or below it. The root is its own parent. Errors: ESTALE. */
  openParent(directory: number, root: number): number;
  close(fd: number): number;
  /** flock(2) of an open file or directory until it is closed. Errors: EAGAIN when another open file has the lock. */
  lock(fd: number): number;

  /** How many descriptors the process may have. */
  descriptorLimit(): number;
  /**
   * What remains of a file when its descriptor is closed, as latin1: mount id and handle type (4 bytes each,
   * little-endian), the handle. Errors, as a number: EOPNOTSUPP.
   */
  handleOf(fd: number): string | number;
  /** As {@link handleOf}, of what has this name in a directory; the last link is not followed. */
  handleAt(directory: number, name: string): string | number;
  /**
   * Opens a handle with open(2) `flags`: any file with O_PATH, else a regular file or a directory. `mount` is
   * open on the handle's mount. Errors: ESTALE, EPERM.
   */
  openHandle(mount: number, handle: string, flags: number): number;
  /** The UUID (16 bytes) of the file system that holds `fd`, which is open. Errors: ENOTTY where nobody knows. */
  fileSystemUuid(fd: number, into: Uint8Array): number;
  /** FS_IOC_GETFLAGS and the like as the caller; bytes stored in `into`. `fd` is open. Errors: ENOTTY. */
  ioctl(
    fd: number,
    command: number,
    input: Uint8Array,
    into: Uint8Array,
    uid: number,
    gid: number,
    group: number,
  ): number;

  makeDirectory(
    directory: number,
    name: string,
    mode: number,
    uid: number,
    gid: number,
    group: number,
  ): number;
  /** attr; `device` as new_encode_dev(). */
  makeNode(
    directory: number,
    name: string,
    mode: number,
    device: number,
    uid: number,
    gid: number,
    group: number,
  ): number;
  /** attr */
  makeSymlink(
    directory: number,
    name: string,
    target: string,
    uid: number,
    gid: number,
    group: number,
  ): number;
  link(fd: number, directory: number, name: string): number;
  /** `isDirectory` 1 for rmdir, 0 for unlink. */
  unlink(directory: number, name: string, isDirectory: number): number;
  /** A whiteout that it leaves (RENAME_WHITEOUT) is the caller's. */
  rename(
    from: number,
    name: string,
    to: number,
    newName: string,
    flags: number,
    uid: number,
    gid: number,
    group: number,
  ): number;
  /** The target as latin1, or -errno. */
  readLink(fd: number): string | number;

  changeMode(fd: number, mode: number): number;
  changeOwner(fd: number, uid: number, gid: number): number;
  /** Seconds are signed; nanoseconds may be {@link UTIME_NOW} or {@link UTIME_OMIT}. */
  setTimes(fd: number, atime: number, atimeNsec: number, mtime: number, mtimeNsec: number): number;
  /** `isOpen` 1 when `fd` is open for writing; `killSuidgid` 1 clears setuid and setgid. */
  truncate(fd: number, size: bigint, isOpen: number, killSuidgid: number): number;

  /** {@link Medium} of an open file. */
  medium(fd: number): number;
  /** Bytes written; may wait unless the medium is memory. */
  write(fd: number, from: Uint8Array, offset: number, killSuidgid: number): number;

  /** An empty `into` asks for the length. */
  getXattr(fd: number, name: string, into: Uint8Array): number;
  /** As getXattr, of a file that is open: a quarter of the time. Guests ask at every write(2). */
  getXattrOfOpen(fd: number, name: string, into: Uint8Array): number;
  listXattr(fd: number, into: Uint8Array): number;
  setXattr(fd: number, name: string, value: Uint8Array, flags: number): number;
  removeXattr(fd: number, name: string): number;

  /** `fd` is open; the new offset, or -errno as a number. */
  seek(fd: number, offset: bigint, whence: number): bigint | number;
  /**
   * Stores entries behind the one with this offset in the layout of DirectoryBuffer, node ids left 0.
   * `fd` is open; `plus` 1 adds attributes and a note for each entry that has them. Returns bytes used,
   * 0 at the end. Errors: EINVAL when `capacity` is too small for one entry.
   */
  readDirectory(
    fd: number,
    offsetLow: number,
    offsetHigh: number,
    plus: number,
    into: Uint8Array,
    capacity: number,
  ): number;

  /** fsync of a file in memory, which cannot wait. */
  fsyncNow(fd: number, dataOnly: number): number;

  /** As copyFileRange, for files in memory and so little that it takes no time. */
  copyFileRangeNow(
    from: number,
    fromOffset: bigint,
    to: number,
    toOffset: bigint,
    length: bigint,
    killSuidgid: number,
  ): number;

  /** Closes a path. That of a removed file whose blocks this may free, which waits for the disk, on the I/O pool. */
  closeLast(fd: number): void;

  /**
   * attr; a file without a name in `directory` that is a copy of a regular file, see CloneOptions of the backends.
   * Returns its descriptor, open for reading and writing. Errors: EOPNOTSUPP.
   */
  clone(
    source: number,
    directory: number,
    size: number,
    skipXattrs: string,
    keepXattrs: string,
    xattr: string,
    value: Uint8Array,
  ): number;
  /**
   * attr; as clone, with a name in `directory`, whose times stay as they are; returns a path. Only little data, and no file
   * that chattr protects, that has attributes to be skipped or, unless `namesApart` is 1, other names: EOPNOTSUPP.
   */
  cloneInto(
    source: number,
    work: number,
    directory: number,
    name: string,
    namesApart: number,
    size: number,
    skipXattrs: string,
    keepXattrs: string,
    xattr: string,
    value: Uint8Array,
  ): number;

  // What follows runs on the I/O pool; `fd` is open and may be closed once the call has returned.
  fsync(fd: number, dataOnly: number): Promise<number>;
  /** Of the file system that holds `fd`, a directory (a path will do). */
  syncfs(fd: number): Promise<number>;
  fallocate(fd: number, mode: number, offset: bigint, length: bigint, killSuidgid: number): Promise<number>;
  /** The buffers of both must stay as they are until the promise settles. */
  readSlowly(fd: number, into: Uint8Array, offset: number): Promise<number>;
  writeSlowly(fd: number, from: Uint8Array, offset: number, killSuidgid: number): Promise<number>;
  /** The count of bytes copied. */
  copyFileRange(
    from: number,
    fromOffset: bigint,
    to: number,
    toOffset: bigint,
    length: bigint,
    killSuidgid: number,
  ): Promise<number>;
  /** As stat, openPath, reopen and getXattr; attributes go to the `attr` given, ATTR_WORDS words long. */
  statSlowly(fd: number, attr: Uint8Array): Promise<number>;
  openPathSlowly(directory: number, name: string, attr: Uint8Array): Promise<number>;
  reopenSlowly(fd: number, flags: number, killSuidgid: number): Promise<number>;
  getXattrSlowly(fd: number, name: string, into: Uint8Array): Promise<number>;
  /** As readDirectory; `notes` takes what {@link notes} would, and ends the reading when it is full. */
  readDirectorySlowly(
    fd: number,
    offsetLow: number,
    offsetHigh: number,
    plus: number,
    into: Uint8Array,
    capacity: number,
    notes: Uint8Array,
  ): Promise<number>;
  /** As clone; attributes go to `attr`. */
  cloneSlowly(
    source: number,
    directory: number,
    size: number,
    skipXattrs: string,
    keepXattrs: string,
    xattr: string,
    value: Uint8Array,
    sync: number,
    attr: Uint8Array,
  ): Promise<number>;
  /** As truncate. */
  truncateSlowly(fd: number, size: bigint, isOpen: number, killSuidgid: number): Promise<number>;
}

export const posix: PosixBinding = (addon as { posix: PosixBinding }).posix;

/** Copies the attributes that a call has just left into the request's record. */
export function copyAttributes(out: AttrRecord): void {
  const { attr } = posix;
  for (let i = 0; i < ATTR_WORDS; i++) {
    out[i] = attr[i] as number;
  }
}
