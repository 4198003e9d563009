import { S_IFDIR, S_IFMT, S_IFREG } from "../../../src/vfs/attributes.js";

/** A point in time as struct timespec has it. */
export interface Time {
  /** Seconds since 1970, may be negative. */
  readonly sec: number;
  /** 0 to 999,999,999. */
  readonly nsec: number;
}

/** What POSIX knows of a file beyond its bytes. */
export interface FileAttributes {
  /** Type and permission bits, as st_mode. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly atime: Time;
  readonly mtime: Time;
  readonly ctime: Time;
  /** Where a symbolic link leads, when the metadata say so and not the body; bytes as latin1. */
  readonly target: string | undefined;
  /** Extended attributes by full name (latin1). */
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

/** What files have whose objects say nothing. */
export interface DefaultAttributes {
  readonly fileMode: number;
  readonly directoryMode: number;
  readonly uid: number;
  readonly gid: number;
}

export const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map();

export function timeOfMs(ms: number): Time {
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: Math.round((ms - sec * 1000) * 1e6) };
}

/** Now. CLOCK_REALTIME with the resolution that JavaScript has: a millisecond, refined by the monotonic clock. */
export function timeNow(): Time {
  return timeOfMs(performance.timeOrigin + performance.now());
}

/** The attributes of an object without any of its own. */
export function defaultAttributes(
  isDirectory: boolean,
  lastModifiedMs: number,
  defaults: DefaultAttributes,
): FileAttributes {
  const time = timeOfMs(lastModifiedMs);
  const mode = isDirectory ? S_IFDIR | defaults.directoryMode : S_IFREG | defaults.fileMode;
  return {
    mode,
    uid: defaults.uid,
    gid: defaults.gid,
    atime: time,
    mtime: time,
    ctime: time,
    target: undefined,
    xattrs: NO_XATTRS,
  };
}

/** Type bits of a mode. */
export function typeOf(mode: number): number {
  return mode & S_IFMT;
}
