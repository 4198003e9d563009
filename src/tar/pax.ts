import { GatewayError } from "../vfs/gateway-error.js";

/** Records of a PAX extended header: keywords and values, bytes as latin1. */
export type PaxRecords = Map<string, string>;

/** A point in time as archives spell it. */
export interface TarTime {
  /** Since the epoch, signed. */
  readonly seconds: number;
  /** 0 to 999,999,999. */
  readonly nanoseconds: number;
}

const XATTR_PREFIX = "SCHILY.xattr.";
/** What star adds: what chattr has set, and types that headers have none for. */
export const FILE_FLAGS_KEYWORD = "SCHILY.fflags";
export const FILE_TYPE_KEYWORD = "SCHILY.filetype";
const NANOSECONDS = 1_000_000_000;
const SPACE = 0x20;
const NEWLINE = 0x0a;
const LENGTH_DIGITS = 8;

/** Writes records, each as "length keyword=value\n" with its own length counted. */
export function encodePax(records: PaxRecords): Buffer {
  const lines: string[] = [];
  for (const [keyword, value] of records) {
    const rest = ` ${keyword}=${value}\n`;
    let length = rest.length;
    while (length !== rest.length + String(length).length) {
      length = rest.length + String(length).length;
    }
    lines.push(`${length}${rest}`);
  }
  return Buffer.from(lines.join(""), "latin1");
}

/**
 * Adds the records of a header to `records`; an empty value takes one away.
 * @throws GatewayError when they are malformed
 */
export function decodePax(body: Buffer, records: PaxRecords): void {
  for (let start = 0; start < body.length; ) {
    const space = body.indexOf(SPACE, start);
    const digits = body.latin1Slice(start, Math.min(Math.max(space, start), start + LENGTH_DIGITS));
    const end = start + Number(digits);
    const isSound = /^\d+$/.test(digits) && end > space && end <= body.length && body[end - 1] === NEWLINE;
    const record = isSound ? body.latin1Slice(space + 1, end - 1) : "";
    const equals = record.indexOf("=");
    if (equals <= 0) {
      throw new GatewayError("environment", "malformed extended header");
    }
    const [keyword, value] = [record.slice(0, equals), record.slice(equals + 1)];
    // Attributes may have empty values; other records are unset by one.
    if (value === "" && !keyword.startsWith(XATTR_PREFIX)) {
      records.delete(keyword);
    } else {
      records.set(keyword, value);
    }
    start = end;
  }
}

/** A time in decimals: exact to the nanosecond, also before the epoch. */
export function encodeTime({ seconds, nanoseconds }: TarTime): string {
  const isNegative = seconds < 0;
  const carries = isNegative && nanoseconds > 0;
  const whole = Math.abs(carries ? seconds + 1 : seconds);
  const fraction = carries ? NANOSECONDS - nanoseconds : nanoseconds;
  const decimals = fraction === 0 ? "" : `.${String(fraction).padStart(9, "0").replace(/0+$/, "")}`;
  return `${isNegative ? "-" : ""}${whole}${decimals}`;
}

/** Undefined when the text is no time. */
export function decodeTime(text: string): TarTime | undefined {
  const match = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(text);
  if (match === null) {
    return undefined;
  }
  const whole = Number(match[2]);
  const fraction = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (match[1] === "") {
    return { seconds: whole, nanoseconds: fraction };
  }
  return fraction === 0
    ? { seconds: 0 - whole, nanoseconds: 0 }
    : { seconds: -whole - 1, nanoseconds: NANOSECONDS - fraction };
}

/** Keyword of an extended attribute: "=" ends keywords, so GNU tar escapes it. */
export function xattrKeyword(name: string): string {
  return XATTR_PREFIX + name.replaceAll("%", "%25").replaceAll("=", "%3D");
}

/** The extended attributes among the records. */
export function xattrsOf(records: PaxRecords): Map<string, Uint8Array> {
  const xattrs = new Map<string, Uint8Array>();
  for (const [keyword, value] of records) {
    if (keyword.startsWith(XATTR_PREFIX)) {
      const name = keyword.slice(XATTR_PREFIX.length).replaceAll("%3D", "=").replaceAll("%25", "%");
      xattrs.set(name, Buffer.from(value, "latin1"));
    }
  }
  return xattrs;
}
