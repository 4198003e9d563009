import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../../../src/vfs/attributes.js";
import type { ObjectAttributes } from "../store/object-store.js";
import {
  type DefaultAttributes,
  defaultAttributes,
  type FileAttributes,
  NO_XATTRS,
  type Time,
  typeOf,
} from "./file-attributes.js";

type Metadata = Readonly<Record<string, string>>;

const TYPES: ReadonlySet<number> = new Set([
  S_IFREG,
  S_IFDIR,
  S_IFLNK,
  0o010000,
  0o020000,
  0o060000,
  0o140000,
]);
const MAX_ID = 0xffff_ffff;
/** A count of seconds, milliseconds or nanoseconds since 1970 is told by its size where no unit says it. */
const LEAST_NANOSECONDS = 1e16;
const LEAST_MILLISECONDS = 1e11;

/** Names of user metadata that carry attributes in one of the dialects; all else is somebody else's. */
export const ATTRIBUTE_NAMES: ReadonlySet<string> = new Set([
  "mode",
  "uid",
  "gid",
  "mtime",
  "atime",
  "ctime",
  "xattr",
  "rdev",
  "--symlink-target",
  "file-permissions",
  "file-owner",
  "file-group",
  "file-mtime",
  "file-atime",
]);

/**
 * `mode` is decimal with s3fs and geesefs, octal with rclone: a leading 0 is octal, a decimal of 16 bits whose type
 * bits mean something is decimal, all else octal. Of two readings that a directory marker allows, the one that
 * is a directory counts. The mkdir of s3fs leaves the type out: such a marker's mode is decimal, too.
 */
export function readMode(text: string, isMarker: boolean): number | undefined {
  const octal = /^[0-7]{1,7}$/.test(text) ? Number.parseInt(text, 8) : undefined;
  const decimal = /^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : undefined;
  if (isMarker && octal !== undefined && typeOf(octal) === S_IFDIR) {
    return decimal !== undefined && typeOf(decimal) === S_IFDIR ? decimal : octal;
  }
  if (decimal !== undefined && decimal <= 0xffff && TYPES.has(decimal & S_IFMT)) {
    return decimal;
  }
  if (decimal !== undefined && (octal === undefined ? decimal <= 0o7777 : isMarker && decimal <= 0o777)) {
    return decimal;
  }
  return octal !== undefined && octal <= 0xffff ? octal : undefined;
}

function readId(text: string | undefined): number | undefined {
  const id = text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
  return id !== undefined && id <= MAX_ID ? id : undefined;
}

/** Nanoseconds from the decimal digits behind the point. */
function nanoseconds(digits: string): number {
  return Number(digits.slice(0, 9).padEnd(9, "0"));
}

function unitsPerSecond(value: bigint, isNanoseconds: boolean): bigint {
  const size = Math.abs(Number(value));
  if (isNanoseconds || size >= LEAST_NANOSECONDS) {
    return 1_000_000_000n;
  }
  return size >= LEAST_MILLISECONDS ? 1000n : 1n;
}

function fromCount(count: string, isNanoseconds: boolean): Time {
  const value = BigInt(count);
  const perSecond = unitsPerSecond(value, isNanoseconds);
  let sec = value / perSecond;
  let rest = value % perSecond;
  if (rest < 0n) {
    rest += perSecond;
    sec -= 1n;
  }
  return { sec: Number(sec), nsec: Number(rest * (1_000_000_000n / perSecond)) };
}

/** Seconds with or without decimals, a count of milliseconds or nanoseconds ("ns" behind it), or an ISO date. */
export function readTime(text: string | undefined): Time | undefined {
  if (text === undefined) {
    return undefined;
  }
  const number = /^(-?\d{1,19})(?:\.(\d+))?(ns)?$/.exec(text);
  if (number === null) {
    const ms = /^\d{4}-/.test(text) ? Date.parse(text) : Number.NaN;
    const decimals = /\.(\d+)/.exec(text)?.[1] ?? "";
    return Number.isNaN(ms) ? undefined : { sec: Math.floor(ms / 1000), nsec: nanoseconds(decimals) };
  }
  const [, whole = "0", decimals, unit] = number;
  if (decimals === undefined) {
    return fromCount(whole, unit !== undefined);
  }
  const sec = Number(whole);
  const nsec = nanoseconds(decimals);
  return whole.startsWith("-") && nsec > 0 ? { sec: sec - 1, nsec: 1_000_000_000 - nsec } : { sec, nsec };
}

/** s3fs: URL-encoded JSON of names and base64 values. What cannot be read counts as none. */
function readXattrs(text: string | undefined): ReadonlyMap<string, Buffer> {
  if (text === undefined) {
    return NO_XATTRS;
  }
  try {
    const parsed: unknown = JSON.parse(decodeURIComponent(text));
    const xattrs = new Map<string, Buffer>();
    for (const [name, value] of Object.entries(parsed as Record<string, unknown>)) {
      if (typeof value === "string") {
        xattrs.set(Buffer.from(name).toString("latin1"), Buffer.from(value, "base64"));
      }
    }
    return xattrs;
  } catch {
    return NO_XATTRS;
  }
}

function readType(metadata: Metadata, mode: number | undefined, isMarker: boolean): number {
  if (isMarker) {
    return S_IFDIR;
  }
  if (metadata["--symlink-target"] !== undefined || (mode !== undefined && typeOf(mode) === S_IFLNK)) {
    return S_IFLNK;
  }
  return S_IFREG;
}

function readTarget(text: string | undefined): string | undefined {
  return text === undefined ? undefined : Buffer.from(decodeSafely(text)).toString("latin1");
}

function decodeSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * The attributes that an object's metadata say, in whatever dialect; what they leave out is the default. `isMarker`
 * is true for the marker of a directory.
 */
export function readAttributes(
  stored: ObjectAttributes,
  lastModifiedMs: number,
  isMarker: boolean,
  defaults: DefaultAttributes,
): FileAttributes {
  const { metadata } = stored;
  const base = defaultAttributes(isMarker, lastModifiedMs, defaults);
  const text = metadata.mode ?? metadata["file-permissions"];
  const aws = metadata.mode === undefined && text !== undefined;
  const mode =
    text === undefined ? undefined : aws ? Number.parseInt(text, 8) || undefined : readMode(text, isMarker);
  const type = readType(metadata, mode, isMarker);
  const mtime = readTime(metadata.mtime ?? metadata["file-mtime"]) ?? base.mtime;
  const permissions = mode === undefined ? (type === S_IFLNK ? 0o777 : base.mode) : mode;
  return {
    mode: type | (permissions & 0o7777),
    uid: readId(metadata.uid ?? metadata["file-owner"]) ?? base.uid,
    gid: readId(metadata.gid ?? metadata["file-group"]) ?? base.gid,
    atime: readTime(metadata.atime ?? metadata["file-atime"]) ?? mtime,
    mtime,
    ctime: readTime(metadata.ctime) ?? mtime,
    target: readTarget(metadata["--symlink-target"]),
    xattrs: readXattrs(metadata.xattr),
  };
}
