import { GatewayError } from "../vfs/gateway-error.js";
import type { ByteSource } from "./byte-source.js";
import { MAX_FILE_BYTES, type TarExtent } from "./entry.js";
import { BLOCK_BYTES, decodeNumber } from "./header.js";
import type { PaxRecords } from "./pax.js";

/** What is known of a sparse file: its parts, its size, and how many bytes of the body said so. */
export interface SparseMap {
  readonly extents: readonly TarExtent[];
  readonly realSize: bigint;
  readonly mapBytes: number;
}

const MAX_EXTENTS = 10_000_000;
/** Where the old GNU header has its map: [offset, entries, offset of "more follows"]. */
const OLD_HEADER = [386, 4, 482] as const;
const OLD_EXTENSION = [0, 21, 504] as const;
const OLD_REAL_SIZE = 483;
const OLD_FIELD_BYTES = 12;

function malformed(): GatewayError {
  return new GatewayError("environment", "malformed map of a sparse file");
}

/** @throws GatewayError unless the parts are in order and within the file */
function checked(extents: readonly TarExtent[], realSize: bigint, mapBytes: number): SparseMap {
  let end = 0n;
  for (const { offset, length } of extents) {
    if (offset < end || length < 0n) {
      throw malformed();
    }
    end = offset + length;
  }
  if (end > realSize || realSize > MAX_FILE_BYTES) {
    throw malformed();
  }
  return { extents, realSize, mapBytes };
}

function parseNumber(text: string | undefined): bigint {
  if (text === undefined || !/^\d{1,19}$/.test(text)) {
    throw malformed();
  }
  return BigInt(text);
}

function pairs(numbers: readonly string[]): TarExtent[] {
  const extents: TarExtent[] = [];
  for (let index = 0; index < numbers.length; index += 2) {
    extents.push({ offset: parseNumber(numbers[index]), length: parseNumber(numbers[index + 1]) });
  }
  return extents;
}

/** Format 1.0: decimal numbers in lines in front of the contents, padded to a block. */
async function readMapInBody(source: ByteSource, realSize: bigint): Promise<SparseMap> {
  const numbers: string[] = [];
  let rest = "";
  let mapBytes = 0;
  for (let expected = 1; numbers.length < expected; ) {
    const block = await source.take(BLOCK_BYTES);
    mapBytes += block.length;
    const lines = (rest + block.toString("latin1")).split("\n");
    rest = lines.pop() ?? "";
    numbers.push(...lines);
    const count = numbers.length === 0 ? 0 : Number(parseNumber(numbers[0]));
    if (block.length < BLOCK_BYTES || count > MAX_EXTENTS || rest.length > BLOCK_BYTES) {
      throw malformed();
    }
    expected = 1 + 2 * count;
    if (numbers.length >= expected) {
      return checked(pairs(numbers.slice(1, expected)), realSize, mapBytes);
    }
  }
  throw malformed();
}

/** The map of a sparse file in a PAX archive (GNU tar's formats 0.1 and 1.0); undefined when it is none. */
export async function readPaxSparse(records: PaxRecords, source: ByteSource): Promise<SparseMap | undefined> {
  if (records.get("GNU.sparse.major") === "1") {
    return readMapInBody(source, parseNumber(records.get("GNU.sparse.realsize")));
  }
  const map = records.get("GNU.sparse.map");
  if (map !== undefined) {
    return checked(pairs(map.split(",")), parseNumber(records.get("GNU.sparse.size")), 0);
  }
  if (records.has("GNU.sparse.size")) {
    throw new GatewayError("environment", "sparse format 0.0 is not supported");
  }
  return undefined;
}

/** The map of a sparse file in an archive of GNU tar's own format, in the header and blocks behind it. */
export async function readGnuSparse(header: Buffer, source: ByteSource): Promise<SparseMap> {
  const extents: TarExtent[] = [];
  const realSize = decodeNumber(header, OLD_REAL_SIZE, OLD_FIELD_BYTES);
  let block: Buffer = header;
  let [start, count, more]: readonly [number, number, number] = OLD_HEADER;
  for (;;) {
    for (let index = 0; index < count; index++) {
      const at = start + index * 2 * OLD_FIELD_BYTES;
      if (block[at] !== 0) {
        const offset = decodeNumber(block, at, OLD_FIELD_BYTES);
        extents.push({ offset, length: decodeNumber(block, at + OLD_FIELD_BYTES, OLD_FIELD_BYTES) });
      }
    }
    if (block[more] !== 1) {
      return checked(extents, realSize, 0);
    }
    block = await source.take(BLOCK_BYTES);
    if (block.length < BLOCK_BYTES || extents.length > MAX_EXTENTS) {
      throw malformed();
    }
    [start, count, more] = OLD_EXTENSION;
  }
}
