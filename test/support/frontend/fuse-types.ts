/** What the replies of the FUSE client hold. 64-bit identities are bigint, quantities are number. */

/** Name of an errno, for example "ENOENT". */
export type ErrnoName = string;

/** The result of an operation: its fields with `error: null`, or the name of an errno alone. */
export type Outcome<T extends object> =
  | ({ readonly error: null } & Readonly<T>)
  | ({ readonly error: ErrnoName } & { readonly [K in keyof T]?: undefined });

/** An operation that answers with nothing but success or failure. */
export type Status = { readonly error: null } | { readonly error: ErrnoName };

/** The fields of a result that has to be a success; throws with the error's name otherwise. */
export function ok<O extends { readonly error: ErrnoName | null }>(
  outcome: O,
): Extract<O, { readonly error: null }> {
  if (outcome.error !== null) throw new Error(`expected success, got ${outcome.error}`);
  return outcome as Extract<O, { readonly error: null }>;
}

export interface Attributes {
  readonly ino: bigint;
  /** Exact below 2^53. */
  readonly size: number;
  readonly blocks: number;
  /** Seconds since the epoch, signed. */
  readonly atime: number;
  readonly mtime: number;
  readonly ctime: number;
  readonly atimeNsec: number;
  readonly mtimeNsec: number;
  readonly ctimeNsec: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly blksize: number;
  readonly flags: number;
}

export interface Entry {
  readonly nodeid: bigint;
  readonly generation: bigint;
  /** Seconds that the guest may cache the name and the attributes. */
  readonly entryValid: number;
  readonly attrValid: number;
  readonly entryValidNsec: number;
  readonly attrValidNsec: number;
  readonly attr: Attributes;
}

export interface Opened {
  readonly fh: bigint;
  /** FOPEN_* flags. */
  readonly openFlags: number;
}

export interface InitReply {
  readonly major: number;
  readonly minor: number;
  readonly maxReadahead: number;
  /** flags, and flags2 from bit 32 on. */
  readonly flags: bigint;
  readonly maxBackground: number;
  readonly congestionThreshold: number;
  readonly maxWrite: number;
  readonly timeGranularity: number;
  readonly maxPages: number;
  readonly mapAlignment: number;
  /** Length of init_out: 8 or 24 for old minors, else 64. */
  readonly replyBytes: number;
}

export interface Statistics {
  readonly blocks: number;
  readonly blocksFree: number;
  readonly blocksAvailable: number;
  readonly files: number;
  readonly filesFree: number;
  readonly blockSize: number;
  readonly nameLength: number;
  readonly fragmentSize: number;
}

/** Length of struct fuse_dirent without the name. */
export const DIRENT_BYTES = 24;

export interface DirectoryEntry {
  readonly ino: bigint;
  /** Offset at which reading goes on after this entry. */
  readonly off: bigint;
  /** d_type. */
  readonly type: number;
  readonly name: string;
}

export interface PlusEntry extends DirectoryEntry {
  /** `nodeid` 0: the server gave no entry for this name. */
  readonly entry: Entry;
}

/** A byte range with inclusive end, as struct fuse_file_lock has it. */
export interface LockRange {
  readonly start: bigint;
  readonly end: bigint;
  /** One of Lock. */
  readonly type: number;
  readonly pid?: number;
}

/** Who asks: fields of the request header. */
export interface Credentials {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}
