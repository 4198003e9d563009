/**
 * The FUSE protocol's numbers, as include/uapi/linux/fuse.h of Linux has them (version 7.38; later
 * versions are served in the older form). Sizes are in bytes, fields in 32-bit words.
 */
export const FUSE_MAJOR = 7;
/** The minor version we answer with: every reply has its form. */
export const FUSE_MINOR = 38;
/** Guests older than Linux 4.20 (7.28) are not served: their replies have other forms. */
export const FUSE_OLDEST_MINOR = 27;

export const Opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  BMAP: 37,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SETUPMAPPING: 48,
  REMOVEMAPPING: 49,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
  COPY_FILE_RANGE_64: 53,
} as const;

/** Flags of INIT, first word. */
export const InitFlag = {
  ASYNC_READ: 1 << 0,
  POSIX_LOCKS: 1 << 1,
  ATOMIC_O_TRUNC: 1 << 3,
  /** "." and ".." may be looked up, by node id alone. */
  EXPORT_SUPPORT: 1 << 4,
  BIG_WRITES: 1 << 5,
  FLOCK_LOCKS: 1 << 10,
  /** Creations carry the umask instead of having it applied. */
  DONT_MASK: 1 << 6,
  AUTO_INVAL_DATA: 1 << 12,
  DO_READDIRPLUS: 1 << 13,
  READDIRPLUS_AUTO: 1 << 14,
  ASYNC_DIO: 1 << 15,
  WRITEBACK_CACHE: 1 << 16,
  /** ENOSYS of OPEN means that files need not be opened. */
  NO_OPEN_SUPPORT: 1 << 17,
  PARALLEL_DIROPS: 1 << 18,
  POSIX_ACL: 1 << 20,
  MAX_PAGES: 1 << 22,
  CACHE_SYMLINKS: 1 << 23,
  /** The same for OPENDIR and directories. */
  NO_OPENDIR_SUPPORT: 1 << 24,
  SUBMOUNTS: 1 << 27,
  /** Requests say when setuid and setgid are to be cleared. */
  HANDLE_KILLPRIV_V2: 1 << 28,
  /** SETXATTR has its long form. */
  SETXATTR_EXT: 1 << 29,
  INIT_EXT: 1 << 30,
} as const;

/** Flags of INIT, second word (bit 32 of the protocol is bit 0 here). Only read when INIT_EXT is set. */
export const InitFlag2 = {
  CREATE_SUPP_GROUP: 1 << 2,
  DIRECT_IO_ALLOW_MMAP: 1 << 4,
} as const;

/** open_flags of the reply to OPEN, OPENDIR and CREATE. */
export const OpenFlag = {
  DIRECT_IO: 1 << 0,
  KEEP_CACHE: 1 << 1,
  CACHE_DIR: 1 << 3,
} as const;

/** struct fuse_in_header, words. */
export const InHeader = {
  BYTES: 40,
  WORDS: 10,
  OPCODE: 1,
  UNIQUE: 2,
  NODE_ID: 4,
  UID: 6,
  GID: 7,
  PID: 8,
  /** Low 16 bits: length of the extensions behind the arguments, in units of 8 bytes. */
  EXTENSION_LENGTH: 9,
} as const;

/** struct fuse_out_header. */
export const OUT_HEADER_BYTES = 16;

/** struct fuse_entry_out, words: node id 0-1, generation 2-3, then these. */
export const EntryOut = {
  BYTES: 128,
  ENTRY_VALID: 4,
  ATTR_VALID: 6,
  ENTRY_VALID_NSEC: 8,
  ATTR_VALID_NSEC: 9,
  ATTR: 10,
} as const;

/** struct fuse_attr_out, words: attr_valid 0-1, attr_valid_nsec 2, padding 3, then the attributes. */
export const AttrOut = { BYTES: 104, ATTR: 4 } as const;

/** struct fuse_open_out: file handle u64, open_flags u32, padding u32. */
export const OPEN_OUT_BYTES = 16;

/** struct fuse_kstatfs. */
export const STATFS_OUT_BYTES = 80;

/** struct fuse_init_out. */
export const InitOut = { BYTES: 64, WORDS: 16 } as const;

/** FUSE_GETATTR_FH: the request names an open file. */
export const GETATTR_FH = 1;
/** FATTR_FH of SETATTR. */
export const SETATTR_FH = 1 << 6;
/** FUSE_RELEASE_FLOCK_UNLOCK: the lock owner of RELEASE has a lock of flock(2). */
export const RELEASE_FLOCK_UNLOCK = 1 << 1;
/** FUSE_LK_FLOCK: a lock of flock(2). */
export const LK_FLOCK = 1;
/** struct fuse_lk_out: start u64, end u64, type u32, pid u32. */
export const LK_OUT_BYTES = 24;
/** FUSE_OPEN_KILL_SUIDGID of OPEN, CREATE and TMPFILE. */
export const OPEN_KILL_SUIDGID = 1;
/** FUSE_WRITE_KILL_SUIDGID. */
export const WRITE_KILL_SUIDGID = 1 << 2;
/** FUSE_SETXATTR_ACL_KILL_SGID. */
export const SETXATTR_KILL_SGID = 1;
/** FUSE_FSYNC_FDATASYNC. */
export const FSYNC_DATA_ONLY = 1;

/** The largest WRITE, and READ, we announce: 256 pages. */
export const MAX_TRANSFER_BYTES = 1 << 20;
export const MAX_PAGES = 256;

/** Extension type of supplementary groups (FUSE_EXT_GROUPS). */
export const EXTENSION_GROUPS = 32;
