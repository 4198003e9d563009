import { GatewayError } from "../vfs/gateway-error.js";
import { addon } from "./addon.js";

/** Bytes of a page, the unit in which an arena gives files memory. */
export const ARENA_PAGE_BYTES = 4096;
/** The largest file, 2^63 - 1 bytes. */
export const ARENA_MAX_FILE_BYTES = 0x7fff_ffff_ffff_ffffn;

/**
 * Index of each field of {@link Arena.words}; 64-bit fields are two words, low half first. The order
 * from SIZE on is that of an attribute record, so that one loop copies all of it.
 */
export const ArenaWord = {
  /** Size in bytes. */
  SIZE: 0,
  /** 512-byte blocks that the file's pages are. */
  BLOCKS: 2,
  /** Seconds since the epoch, signed 64-bit. */
  ATIME: 4,
  MTIME: 6,
  CTIME: 8,
  ATIME_NSEC: 10,
  MTIME_NSEC: 11,
  CTIME_NSEC: 12,
  /** Where {@link Arena.seek} and {@link Arena.now} leave 64 bits. */
  RESULT: 14,
} as const;

/** How many words from {@link ArenaWord.SIZE} on {@link Arena.stat} fills. */
export const ARENA_STAT_WORDS = 13;

/** Bits that say which times {@link Arena.touch} and {@link Arena.setTimes} are about. */
export const ArenaTime = { ATIME: 1, MTIME: 2, CTIME: 4 } as const;

/**
 * The contents of a memory share: files by number, whose pages lie in one memfd. The native object
 * itself, which is also what a bound file of kind "arena" carries.
 *
 * Functions take 64-bit arguments as two halves, low first, each 0 to 2^32 - 1, and return 0, a
 * count or a file number, or a negative errno: -EBADF for a file that does not exist or an arena
 * that is closed. They belong to the thread that opened the arena and never wait for a disk.
 */
export interface Arena {
  /** Shared with native code; see {@link ArenaWord}. Valid until the next call. */
  readonly words: Uint32Array;
  /** A new empty file with all times now; returns its number. */
  readonly createFile: () => number;
  /** Gives a file up. It and its pages go when no bound file uses it either. */
  readonly dropFile: (file: number) => number;
  /** Fills words SIZE to CTIME_NSEC. */
  readonly stat: (file: number) => number;
  /** Sets the times in `mask` from words ATIME to CTIME_NSEC. */
  readonly setTimes: (file: number, mask: number) => number;
  /** Sets the times in `mask` to now. */
  readonly touch: (file: number, mask: number) => number;
  /**
   * Whether the file may have setuid, setgid or capabilities (1; 0 at first): a write that has to clear them then comes
   * to the backend also for a bound file.
   */
  readonly setPrivileged: (file: number, privileged: number) => number;
  /** Now, by the clock that stamps files: seconds in word RESULT, returns the nanoseconds. */
  readonly now: () => number;
  /** Fills `into` from an offset; returns the count. `keepAtime` is 1 for O_NOATIME. */
  readonly read: (
    file: number,
    offsetLow: number,
    offsetHigh: number,
    into: Uint8Array,
    keepAtime: number,
  ) => number;
  /** Writes `from` and returns the count, short when the limit is reached. -ENOSPC, -EFBIG. */
  readonly write: (file: number, offsetLow: number, offsetHigh: number, from: Uint8Array) => number;
  /** Sets the size, and mtime and ctime. -EFBIG. */
  readonly truncate: (file: number, sizeLow: number, sizeHigh: number) => number;
  /** fallocate(2): modes 0, KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE. -ENOSPC, -EFBIG, -EINVAL, -EOPNOTSUPP. */
  readonly allocate: (
    file: number,
    mode: number,
    offsetLow: number,
    offsetHigh: number,
    lengthLow: number,
    lengthHigh: number,
  ) => number;
  /** lseek(2) with SEEK_DATA or SEEK_HOLE; the position is in word RESULT. -ENXIO, -EINVAL. */
  readonly seek: (file: number, whence: number, offsetLow: number, offsetHigh: number) => number;
  /** copy_file_range(2) of at most 1 MiB; returns the count. */
  readonly copyRange: (
    from: number,
    fromLow: number,
    fromHigh: number,
    to: number,
    toLow: number,
    toHigh: number,
    lengthLow: number,
    lengthHigh: number,
  ) => number;
  /** Counts pages (negative: gives back) that the share keeps outside the arena. -ENOSPC. */
  readonly charge: (pages: number) => number;
  /** Pages in use, of the limit the arena was opened with. */
  readonly usedPages: () => number;
  /** Releases the memory when no bound file is left. Every later call answers -EBADF. */
  readonly close: () => number;
}

interface ArenaAddon {
  /** Returns a negative errno when the host refuses. */
  openArena(limitPages: number): Arena | number;
}

/**
 * Opens an arena whose files may have `limitPages` pages together. Address space is reserved for
 * them, memory is used only for what is written.
 * @throws GatewayError when the host has no address space for them
 */
export function openArena(limitPages: number): Arena {
  const arena = (addon as ArenaAddon).openArena(limitPages);
  if (typeof arena === "number") {
    throw new GatewayError(
      "environment",
      `cannot reserve memory for a share of ${limitPages * ARENA_PAGE_BYTES} bytes: error ${-arena}`,
    );
  }
  return arena;
}
