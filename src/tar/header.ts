/** Headers and contents are padded to blocks. */
export const BLOCK_BYTES = 512;

/** What an entry is, by the type flag of its header. */
export const TarType = {
  FILE: "0",
  LINK: "1",
  SYMLINK: "2",
  CHARACTER: "3",
  BLOCK: "4",
  DIRECTORY: "5",
  FIFO: "6",
  CONTIGUOUS: "7",
  PAX: "x",
  PAX_GLOBAL: "g",
  GNU_LONG_NAME: "L",
  GNU_LONG_LINK: "K",
  GNU_SPARSE: "S",
  GNU_VOLUME: "V",
} as const;

/** The fixed fields of a header block; names are bytes as latin1. */
export interface TarHeader {
  path: string;
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of contents that follow. */
  size: bigint;
  /** Seconds since the epoch. */
  mtime: number;
  type: string;
  linkPath: string;
  major: number;
  minor: number;
}

/** Where the fields of POSIX ustar are: [offset, length]. */
const Field = {
  PATH: [0, 100],
  MODE: [100, 8],
  UID: [108, 8],
  GID: [116, 8],
  SIZE: [124, 12],
  MTIME: [136, 12],
  CHECKSUM: [148, 8],
  TYPE: [156, 1],
  LINK_PATH: [157, 100],
  MAGIC: [257, 8],
  MAJOR: [329, 8],
  MINOR: [337, 8],
  PREFIX: [345, 155],
} as const;

type Place = readonly [offset: number, length: number];

const POSIX_MAGIC = "ustar\0" + "00";
/** Longest names that a header holds without an extended one. */
export const PATH_BYTES = 100;

function text(block: Buffer, [offset, length]: Place): string {
  const field = block.latin1Slice(offset, offset + length);
  const end = field.indexOf("\0");
  return end < 0 ? field : field.slice(0, end);
}

/** A number in octal digits, or in base 256 when the first bit is set. */
export function decodeNumber(block: Buffer, offset: number, length: number): bigint {
  const first = block[offset] as number;
  if ((first & 0x80) === 0) {
    const digits = text(block, [offset, length]).trim();
    return /^[0-7]+$/.test(digits) ? BigInt(`0o${digits}`) : 0n;
  }
  const isNegative = (first & 0x40) !== 0;
  let value = BigInt(isNegative ? first - 0x100 : first & 0x3f);
  for (let index = 1; index < length; index++) {
    value = value * 256n + BigInt(block[offset + index] as number);
  }
  return value;
}

function number(block: Buffer, [offset, length]: Place): number {
  return Number(decodeNumber(block, offset, length));
}

/** The sum of all bytes, the checksum field itself counting as spaces. */
function checksum(block: Buffer): number {
  const [start, length] = Field.CHECKSUM;
  let sum = 0x20 * length;
  for (let index = 0; index < BLOCK_BYTES; index++) {
    sum += index >= start && index < start + length ? 0 : (block[index] as number);
  }
  return sum;
}

/** Reads a header block; undefined when its checksum says that it is none. */
export function decodeHeader(block: Buffer): TarHeader | undefined {
  if (number(block, Field.CHECKSUM) !== checksum(block)) {
    return undefined;
  }
  const isPosix = block.latin1Slice(Field.MAGIC[0], Field.MAGIC[0] + 6) === "ustar\0";
  const prefix = isPosix ? text(block, Field.PREFIX) : "";
  const path = text(block, Field.PATH);
  const flag = text(block, Field.TYPE);
  return {
    path: prefix === "" ? path : `${prefix}/${path}`,
    mode: number(block, Field.MODE) & 0o7777,
    uid: number(block, Field.UID) >>> 0,
    gid: number(block, Field.GID) >>> 0,
    size: decodeNumber(block, ...Field.SIZE),
    mtime: number(block, Field.MTIME),
    type: flag === "" ? TarType.FILE : flag,
    linkPath: text(block, Field.LINK_PATH),
    major: number(block, Field.MAJOR),
    minor: number(block, Field.MINOR),
  };
}

/** Whether a number fits a field in octal digits: what does not needs an extended header. */
export function fitsOctal(value: number | bigint, digits: number): boolean {
  return value >= 0 && value < 8n ** BigInt(digits);
}

function writeOctal(block: Buffer, [offset, length]: Place, value: number | bigint): void {
  const digits = length - 1;
  const shown = fitsOctal(value, digits) ? value : 0;
  block.latin1Write(shown.toString(8).padStart(digits, "0"), offset);
}

/** Writes a header block; names are cut and numbers zero where the extended header has them instead. */
export function encodeHeader(header: TarHeader): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  block.latin1Write(header.path.slice(0, PATH_BYTES), Field.PATH[0]);
  writeOctal(block, Field.MODE, header.mode);
  writeOctal(block, Field.UID, header.uid);
  writeOctal(block, Field.GID, header.gid);
  writeOctal(block, Field.SIZE, header.size);
  writeOctal(block, Field.MTIME, header.mtime);
  block.latin1Write(header.type, Field.TYPE[0]);
  block.latin1Write(header.linkPath.slice(0, PATH_BYTES), Field.LINK_PATH[0]);
  block.latin1Write(POSIX_MAGIC, Field.MAGIC[0]);
  writeOctal(block, Field.MAJOR, header.major);
  writeOctal(block, Field.MINOR, header.minor);
  const [offset] = Field.CHECKSUM;
  block.latin1Write(`${checksum(block).toString(8).padStart(6, "0")}\0 `, offset);
  return block;
}
