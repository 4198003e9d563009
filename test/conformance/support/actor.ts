import { FileError, type System, type Value, type Word } from "./system.js";

export const O = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  CREAT: 0o100,
  EXCL: 0o200,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  NONBLOCK: 0o4000,
  DSYNC: 0o10000,
  DIRECT: 0o40000,
  DIRECTORY: 0o200000,
  NOFOLLOW: 0o400000,
  NOATIME: 0o1000000,
  SYNC: 0o4010000,
  PATH: 0o10000000,
  TMPFILE: 0o20200000,
} as const;

export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_SYMLINK_FOLLOW = 0x400;
export const UTIME_NOW = 0x3fffffff;
export const UTIME_OMIT = 0x3ffffffe;
export const RENAME = { NOREPLACE: 1, EXCHANGE: 2, WHITEOUT: 4 } as const;
export const SEEK = { SET: 0, CUR: 1, END: 2, DATA: 3, HOLE: 4 } as const;
export const FALLOC = { KEEP_SIZE: 1, PUNCH_HOLE: 2, COLLAPSE: 8, ZERO: 16, INSERT: 32 } as const;
export const XATTR = { CREATE: 1, REPLACE: 2 } as const;
export const LOCK = { READ: 0, WRITE: 1, UNLOCK: 2 } as const;
export const FCNTL = { GETLK: 5, SETLK: 6, SETLKW: 7 } as const;
export const FLOCK = { SHARED: 1, EXCLUSIVE: 2, NONBLOCK: 4, UNLOCK: 8 } as const;
export const S = {
  IFMT: 0o170000,
  IFIFO: 0o010000,
  IFCHR: 0o020000,
  IFDIR: 0o040000,
  IFBLK: 0o060000,
  IFREG: 0o100000,
  IFLNK: 0o120000,
  IFSOCK: 0o140000,
} as const;

export interface Stat {
  readonly ino: bigint;
  /** Type and permissions. */
  readonly mode: number;
  /** Type bits alone. */
  readonly type: number;
  /** Permission bits alone. */
  readonly perm: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly major: number;
  readonly minor: number;
  readonly size: number;
  readonly blocks: number;
  readonly blksize: number;
  /** Nanoseconds since the epoch. */
  readonly atime: bigint;
  readonly mtime: bigint;
  readonly ctime: bigint;
  /** Seconds, or -1 when unknown. */
  readonly btime: number;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly ino: bigint;
  /** Where reading goes on after this entry. */
  readonly offset: bigint;
  readonly type: number;
}

/** Seconds and nanoseconds, UTIME_NOW or UTIME_OMIT as nanoseconds. */
export type Time = readonly [seconds: number, nanoseconds: number];

/** One process: system calls as methods, paths relative to the case's directory. Failures throw. */
export class Actor {
  readonly name: string;
  readonly #system: System;

  constructor(system: System, name: string) {
    this.#system = system;
    this.name = name;
  }

  #call(operation: string, ...words: Word[]): Value[] {
    return this.#system.call(this.name, operation, words);
  }

  #number(operation: string, ...words: Word[]): number {
    return Number(this.#call(operation, ...words)[0]);
  }

  /** Acts as somebody from now on. */
  become(uid: number, gid = uid, options: { umask?: number; groups?: readonly number[] } = {}): this {
    this.#call("cred", uid, gid, options.umask ?? 0o022, ...(options.groups ?? []));
    return this;
  }

  open(path: string, flags: number = O.RDONLY, mode = 0o644): number {
    return this.#number("open", path, flags, mode);
  }

  /** Makes a regular file with these contents, which must not exist. */
  create(path: string, contents = "", mode = 0o644): void {
    const fd = this.open(path, O.CREAT | O.EXCL | O.RDWR, mode);
    if (contents !== "") this.write(fd, contents);
    this.close(fd);
  }

  /** All bytes of a file of up to 64 KiB. */
  contents(path: string): string {
    const fd = this.open(path);
    const data = this.read(fd, 65536);
    this.close(fd);
    return data;
  }

  close(fd: number): void {
    this.#call("close", fd);
  }

  dup(fd: number): number {
    return this.#number("dup", fd);
  }

  /** From the file's position, or at `offset`. */
  read(fd: number, length: number, offset: number | bigint = -1): string {
    return String(this.#call("read", fd, length, offset)[0]);
  }

  write(fd: number, data: string, offset: number | bigint = -1): number {
    return this.#number("write", fd, data, offset);
  }

  lseek(fd: number, offset: number | bigint, whence: number = SEEK.SET): number {
    return this.#number("lseek", fd, offset, whence);
  }

  ftruncate(fd: number, size: number | bigint): void {
    this.#call("ftruncate", fd, size);
  }

  truncate(path: string, size: number | bigint): void {
    this.#call("truncate", path, size);
  }

  fallocate(fd: number, mode: number, offset: number | bigint, length: number | bigint): void {
    this.#call("fallocate", fd, mode, offset, length);
  }

  fsync(fd: number, dataOnly = false): void {
    this.#call("fsync", fd, dataOnly ? 1 : 0);
  }

  syncfs(fd: number): void {
    this.#call("syncfs", fd);
  }

  copyFileRange(from: number, fromOffset: number, to: number, toOffset: number, length: number): number {
    return this.#number("copyFileRange", from, fromOffset, to, toOffset, length);
  }

  mkdir(path: string, mode = 0o755): void {
    this.#call("mkdir", path, mode);
  }

  rmdir(path: string): void {
    this.#call("rmdir", path);
  }

  unlink(path: string): void {
    this.#call("unlink", path);
  }

  symlink(target: string, path: string): void {
    this.#call("symlink", target, path);
  }

  readlink(path: string): string {
    return String(this.#call("readlink", path)[0]);
  }

  link(from: string, to: string, flags = 0): void {
    this.#call("link", from, to, flags);
  }

  /** Makes `count` links, whose names are `prefix` and a number. */
  linkMany(from: string, prefix: string, count: number): void {
    this.#call("linkMany", from, prefix, count);
  }

  /** Names an open file. */
  linkFd(fd: number, to: string): void {
    this.#call("linkfd", fd, to);
  }

  rename(from: string, to: string, flags = 0): void {
    this.#call("rename", from, to, flags);
  }

  mknod(path: string, mode: number, major = 0, minor = 0): void {
    this.#call("mknod", path, mode, major, minor);
  }

  stat(path: string): Stat {
    return decodeStat(this.#call("stat", path, 0));
  }

  lstat(path: string): Stat {
    return decodeStat(this.#call("stat", path, AT_SYMLINK_NOFOLLOW));
  }

  fstat(fd: number): Stat {
    return decodeStat(this.#call("fstat", fd));
  }

  chmod(path: string, mode: number): void {
    this.#call("chmod", path, mode);
  }

  fchmod(fd: number, mode: number): void {
    this.#call("fchmod", fd, mode);
  }

  /** -1 leaves an id as it is. */
  chown(path: string, uid: number, gid: number): void {
    this.#call("chown", path, uid, gid, 0);
  }

  lchown(path: string, uid: number, gid: number): void {
    this.#call("chown", path, uid, gid, AT_SYMLINK_NOFOLLOW);
  }

  fchown(fd: number, uid: number, gid: number): void {
    this.#call("fchown", fd, uid, gid);
  }

  utimens(path: string, atime: Time, mtime: Time, flags = 0): void {
    this.#call("utimens", path, ...atime, ...mtime, flags);
  }

  futimens(fd: number, atime: Time, mtime: Time): void {
    this.#call("futimens", fd, ...atime, ...mtime);
  }

  access(path: string, mask: number): void {
    this.#call("access", path, mask);
  }

  statfs(path: string) {
    const [blocks, free, available, files, filesFree, blockSize, nameLength] = this.#call("statfs", path).map(
      Number,
    ) as [number, number, number, number, number, number, number];
    return { blocks, free, available, files, filesFree, blockSize, nameLength };
  }

  setxattr(path: string, name: string, value: string, flags = 0, follow = true): void {
    this.#call("setxattr", path, name, value, flags, follow ? 1 : 0);
  }

  getxattr(path: string, name: string, size = 65536, follow = true): string {
    return String(this.#call("getxattr", path, name, size, follow ? 1 : 0)[1]);
  }

  /** The length of a value, without the value. */
  xattrLength(path: string, name: string): number {
    return this.#number("getxattr", path, name, 0, 1);
  }

  /** The names of all attributes but those that the host's security module adds. */
  listxattr(path: string, size = 65536, follow = true): string[] {
    const [, names] = this.#call("listxattr", path, size, follow ? 1 : 0);
    return String(names)
      .split("\0")
      .filter((name) => name !== "" && !name.startsWith("security."))
      .sort();
  }

  xattrListLength(path: string): number {
    return this.#number("listxattr", path, 0, 1);
  }

  removexattr(path: string, name: string, follow = true): void {
    this.#call("removexattr", path, name, follow ? 1 : 0);
  }

  /** Entries from the directory's position on, as many as fit `bytes`. */
  getdents(fd: number, bytes = 32768): DirectoryEntry[] {
    const values = this.#call("getdents", fd, bytes);
    const entries: DirectoryEntry[] = [];
    for (let i = 0; i < values.length; i += 4) {
      const [name, ino, offset, type] = values.slice(i, i + 4) as [string, bigint, bigint, bigint];
      entries.push({ name, ino, offset, type: Number(type) });
    }
    return entries;
  }

  /** All entries but "." and "..", in their order. */
  entries(path: string, bytes = 32768): DirectoryEntry[] {
    const fd = this.open(path, O.DIRECTORY);
    const all: DirectoryEntry[] = [];
    for (let part = this.getdents(fd, bytes); part.length > 0; part = this.getdents(fd, bytes)) {
      all.push(...part);
    }
    this.close(fd);
    return all.filter(({ name }) => name !== "." && name !== "..");
  }

  /** Names in a directory, sorted. */
  list(path: string, bytes = 32768): string[] {
    return this.entries(path, bytes)
      .map(({ name }) => name)
      .sort();
  }

  /** `length` 0 reaches to the end of the file. */
  lock(fd: number, type: number, start = 0, length = 0): void {
    this.#call("fcntlLock", fd, FCNTL.SETLK, type, start, length);
  }

  /** Begins a lock that waits; {@link finish} tells when it is held. */
  startLock(fd: number, type: number, start = 0, length = 0): void {
    this.#system.start(this.name, "fcntlLock", [fd, FCNTL.SETLKW, type, start, length]);
  }

  /** The lock in the way of this one, or undefined. */
  testLock(fd: number, type: number, start = 0, length = 0) {
    const [found, at, count] = this.#call("fcntlLock", fd, FCNTL.GETLK, type, start, length).map(Number);
    return found === LOCK.UNLOCK ? undefined : { type: found, start: at, length: count };
  }

  flock(fd: number, operation: number): void {
    this.#call("flock", fd, operation);
  }

  startFlock(fd: number, operation: number): void {
    this.#system.start(this.name, "flock", [fd, operation]);
  }

  /** Whether what was started is done; a failure throws. */
  finish(timeoutMs: number): boolean {
    return this.#system.finish(this.name, timeoutMs) !== undefined;
  }

  getFlags(fd: number): number {
    return this.#number("getFlags", fd);
  }

  setFlags(fd: number, flags: number): void {
    this.#call("setFlags", fd, flags);
  }

  /** Maps a file shared, and fills it with `byte` when given; its bytes. */
  mmap(fd: number, length: number, byte?: number): string {
    return String(this.#call("mmap", fd, length, byte === undefined ? 0 : 1, byte ?? 0)[0]);
  }

  /** Makes, renames, links, writes and deletes files with a prefix; half of them stay. */
  startChurn(prefix: string, directory: string, rounds: number): void {
    this.#system.start(this.name, "churn", [prefix, directory, rounds]);
  }
}

/** The name of the errno that `action` fails with, or "ok". */
export function errorOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof FileError) return error.code;
    throw error;
  }
  return "ok";
}

function decodeStat(values: readonly Value[]): Stat {
  const at = (index: number) => Number(values[index]);
  const time = (index: number) =>
    BigInt(values[index] ?? 0) * 1_000_000_000n + BigInt(values[index + 1] ?? 0);
  return {
    ino: BigInt(values[0] ?? 0),
    mode: at(1),
    type: at(1) & S.IFMT,
    perm: at(1) & 0o7777,
    nlink: at(2),
    uid: at(3),
    gid: at(4),
    major: at(5),
    minor: at(6),
    size: at(7),
    blocks: at(8),
    blksize: at(9),
    atime: time(10),
    mtime: time(12),
    ctime: time(14),
    btime: at(16),
  };
}
