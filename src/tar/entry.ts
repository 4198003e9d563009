import type { PaxRecords, TarTime } from "./pax.js";

/** A stretch of a sparse file that has data. */
export interface TarExtent {
  readonly offset: bigint;
  readonly length: bigint;
}

/** What an entry of an archive makes. Sockets are empty files to those who do not know star's `SCHILY.filetype`. */
export type TarEntryType =
  | "file"
  | "link"
  | "symlink"
  | "character"
  | "block"
  | "directory"
  | "fifo"
  | "socket";

/** One file of an archive. Names are bytes as latin1. */
export interface TarEntry {
  /** As the archive spells it: perhaps absolute, or with "..". */
  readonly path: string;
  readonly type: TarEntryType;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: TarTime;
  readonly atime: TarTime | undefined;
  /** Target of a symbolic link, or path of the entry that a hard link is. */
  readonly linkPath: string;
  readonly major: number;
  readonly minor: number;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
  /** Names of what chattr(1) has set, separated by commas, as star and libarchive spell them: "schg,nodump". */
  readonly fileFlags?: string | undefined;
  /** Size of the file, holes included. */
  readonly size: bigint;
  /** Which parts of a file the contents are, in order, or undefined when they are all of it. */
  readonly extents: readonly TarExtent[] | undefined;
}

/** The largest offset of a file. */
export const MAX_FILE_BYTES = (1n << 63n) - 1n;

export type { PaxRecords, TarTime };
