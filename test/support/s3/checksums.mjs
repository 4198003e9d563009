// @ts-check
// Checksums as S3 names them, in plain JavaScript: an implementation of its own, so that the product's native
// one has something to be compared with.
import { createHash } from "node:crypto";

/** @typedef {"CRC32" | "CRC32C" | "CRC64NVME" | "SHA1" | "SHA256"} ChecksumKind */

/** @type {readonly ChecksumKind[]} */
export const CHECKSUM_KINDS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"];

/** Reflected polynomials. */
const POLYNOMIALS = {
  CRC32: { width: 32, polynomial: 0xedb88320n },
  CRC32C: { width: 32, polynomial: 0x82f63b78n },
  CRC64NVME: { width: 64, polynomial: 0x9a6c9329ac4bc9b5n },
};
const SLICES = 8;

/**
 * @param {bigint} polynomial
 * @returns {{low: Uint32Array, high: Uint32Array}} Eight tables of 256 entries, one after the other.
 */
function makeTables(polynomial) {
  const low = new Uint32Array(256 * SLICES);
  const high = new Uint32Array(256 * SLICES);
  const first = Array.from({ length: 256 }, (_, index) => {
    let value = BigInt(index);
    for (let bit = 0; bit < 8; bit++) value = value & 1n ? (value >> 1n) ^ polynomial : value >> 1n;
    return value;
  });
  for (let index = 0; index < 256; index++) {
    let value = first[index] ?? 0n;
    for (let slice = 0; slice < SLICES; slice++) {
      low[slice * 256 + index] = Number(value & 0xffff_ffffn);
      high[slice * 256 + index] = Number(value >> 32n);
      value = (value >> 8n) ^ (first[Number(value & 0xffn)] ?? 0n);
    }
  }
  return { low, high };
}

const TABLES = {
  CRC32: makeTables(POLYNOMIALS.CRC32.polynomial),
  CRC32C: makeTables(POLYNOMIALS.CRC32C.polynomial),
  CRC64NVME: makeTables(POLYNOMIALS.CRC64NVME.polynomial),
};

/** A running CRC of 32 or 64 bits. */
class Crc {
  #tables;
  #width;
  #low = 0xffff_ffff;
  #high;

  /** @param {keyof typeof TABLES} kind */
  constructor(kind) {
    this.#tables = TABLES[kind];
    this.#width = POLYNOMIALS[kind].width;
    this.#high = this.#width === 64 ? 0xffff_ffff : 0;
  }

  /** @param {Uint8Array} bytes */
  update(bytes) {
    const { low: tableLow, high: tableHigh } = this.#tables;
    const wide = this.#width === 64;
    let low = this.#low;
    let high = this.#high;
    const whole = bytes.length - (bytes.length % 8);
    let at = 0;
    /** @type {(table: Uint32Array, slice: number, byte: number) => number} */
    const look = (table, slice, byte) => /** @type {number} */ (table[slice * 256 + byte]);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (; at < whole; at += 8) {
      const a = low ^ view.getUint32(at, true);
      const b = high ^ view.getUint32(at + 4, true);
      low =
        look(tableLow, 7, a & 255) ^
        look(tableLow, 6, (a >>> 8) & 255) ^
        look(tableLow, 5, (a >>> 16) & 255) ^
        look(tableLow, 4, a >>> 24) ^
        look(tableLow, 3, b & 255) ^
        look(tableLow, 2, (b >>> 8) & 255) ^
        look(tableLow, 1, (b >>> 16) & 255) ^
        look(tableLow, 0, b >>> 24);
      if (!wide) continue;
      high =
        look(tableHigh, 7, a & 255) ^
        look(tableHigh, 6, (a >>> 8) & 255) ^
        look(tableHigh, 5, (a >>> 16) & 255) ^
        look(tableHigh, 4, a >>> 24) ^
        look(tableHigh, 3, b & 255) ^
        look(tableHigh, 2, (b >>> 8) & 255) ^
        look(tableHigh, 1, (b >>> 16) & 255) ^
        look(tableHigh, 0, b >>> 24);
    }
    for (; at < bytes.length; at++) {
      const index = (low ^ view.getUint8(at)) & 255;
      low = ((low >>> 8) | (high << 24)) ^ look(tableLow, 0, index);
      high = (high >>> 8) ^ look(tableHigh, 0, index);
    }
    this.#low = low;
    this.#high = high;
    return this;
  }

  digest() {
    const bytes = Buffer.alloc(this.#width / 8);
    bytes.writeUInt32BE(~this.#low >>> 0, bytes.length - 4);
    if (this.#width === 64) bytes.writeUInt32BE(~this.#high >>> 0, 0);
    return bytes;
  }
}

/**
 * @param {ChecksumKind} kind
 * @param {Iterable<Uint8Array>} chunks
 * @returns {string} Base64, as S3 has it.
 */
export function checksum(kind, chunks) {
  const state = kind === "SHA1" || kind === "SHA256" ? createHash(kind.toLowerCase()) : new Crc(kind);
  for (const chunk of chunks) state.update(chunk);
  return state.digest().toString("base64");
}

/**
 * Multiplication of polynomials modulo a CRC's.
 *
 * @param {bigint} a
 * @param {bigint} b
 * @param {{width: number, polynomial: bigint}} crc
 */
function multiply(a, b, { width, polynomial }) {
  let product = 0n;
  for (let mask = 1n << BigInt(width - 1); mask !== 0n; mask >>= 1n) {
    if (a & mask) product ^= b;
    b = b & 1n ? (b >> 1n) ^ polynomial : b >> 1n;
  }
  return product;
}

/**
 * The CRC of two pieces of data, one behind the other, from the CRCs of both.
 *
 * @param {keyof typeof POLYNOMIALS} kind
 * @param {string} first Base64.
 * @param {string} second Base64.
 * @param {number} secondLength In bytes.
 */
export function combineCrc(kind, first, second, secondLength) {
  const crc = POLYNOMIALS[kind];
  const toNumber = (/** @type {string} */ text) => BigInt(`0x${Buffer.from(text, "base64").toString("hex")}`);
  let power = 1n << BigInt(crc.width - 2);
  let shift = 1n << BigInt(crc.width - 1);
  for (let bits = BigInt(secondLength) * 8n; bits !== 0n; bits >>= 1n) {
    if (bits & 1n) shift = multiply(power, shift, crc);
    power = multiply(power, power, crc);
  }
  const combined = multiply(shift, toNumber(first), crc) ^ toNumber(second);
  return Buffer.from(combined.toString(16).padStart(crc.width / 4, "0"), "hex").toString("base64");
}
