/**
 * What a file system may lack. A case names what it needs and applies only where that is declared; nothing
 * is found out by trying.
 */
export const CAPABILITIES = {
  kernel: "calls go through a kernel: paths as strings, permission checks, pipes, mappings",
  hardLinks: "link",
  linkLimit: "a file has 65,000 links at most, as on ext4",
  specialFiles: "mknod of fifos, sockets and devices",
  xattrs: "user.* attributes of files and directories",
  trustedXattrs: "trusted.* and security.* attributes",
  mediumXattrs: "a value of 3,000 bytes",
  largeXattrs: "a value of 65,536 bytes",
  posixAcl: "system.posix_acl_access and default",
  tmpfile: "O_TMPFILE, and linking such a file",
  fcntlLocks: "byte-range locks",
  flock: "flock",
  renameExchange: "RENAME_EXCHANGE",
  renameWhiteout: "RENAME_WHITEOUT",
  fallocate: "fallocate with and without FALLOC_FL_KEEP_SIZE",
  punchHole: "FALLOC_FL_PUNCH_HOLE",
  zeroRange: "FALLOC_FL_ZERO_RANGE",
  collapseRange: "FALLOC_FL_COLLAPSE_RANGE and INSERT_RANGE",
  seekHole: "SEEK_HOLE and SEEK_DATA know holes",
  directIo: "O_DIRECT",
  copyFileRange: "copy_file_range",
  blocks: "st_blocks counts what is allocated",
  anyBytes: "names of bytes that are no UTF-8",
  freeHoles: "holes take neither space nor time, however large",
  lastingOffsets: "offsets in a directory outlive the descriptor that they come from",
  hugeFiles: "files of 2^63 - 1 bytes",
  directoryLinks: "st_nlink of a directory counts its subdirectories",
  killPrivileges: "writing and truncating clear setuid and setgid",
  killPrivilegesOnOpen: "opening with O_TRUNC clears setuid and setgid",
  atime: "reading updates atime",
  nanoseconds: "times keep nanoseconds",
  birthTime: "statx has a birth time",
  creatorGroups: "creations know the caller's supplementary groups (FUSE: Linux 6.3 and newer)",
  inodeFlags: "FS_IOC_GETFLAGS and SETFLAGS",
  inodeLimit: "statfs counts inodes",
} as const;

export type Capability = keyof typeof CAPABILITIES;

export const ALL_CAPABILITIES = Object.keys(CAPABILITIES) as Capability[];

export function isCapability(name: string): name is Capability {
  return Object.hasOwn(CAPABILITIES, name);
}

/** All capabilities but those named. */
export function without(...missing: Capability[]): Set<Capability> {
  return new Set(ALL_CAPABILITIES.filter((name) => !missing.includes(name)));
}
