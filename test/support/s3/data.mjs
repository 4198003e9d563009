// @ts-check
import { createHash, randomBytes } from "node:crypto";

const PATTERN_BYTES = 1 << 20;

/** @typedef {{buffer: Buffer, length: number}} Piece A buffer that repeats up to `length`. */

/** The bytes of an object or of a part: pieces that copies share, never changed. */
export class Data {
  /** @type {Buffer | undefined} */
  #md5;

  /** @param {readonly Piece[]} pieces */
  constructor(pieces) {
    this.pieces = pieces;
    this.size = pieces.reduce((sum, { length }) => sum + length, 0);
  }

  /** @param {readonly Buffer[]} chunks */
  static from(chunks) {
    return new Data(
      chunks.filter(({ length }) => length > 0).map((buffer) => ({ buffer, length: buffer.length })),
    );
  }

  /**
   * An object of any size that needs no memory: a pattern of 1 MiB again and again.
   *
   * @param {number} size In bytes.
   */
  static synthetic(size) {
    const known = synthetics.get(size) ?? new Data(size === 0 ? [] : [{ buffer: pattern(), length: size }]);
    synthetics.set(size, known);
    return known;
  }

  /** @param {readonly Data[]} parts */
  static join(parts) {
    return new Data(parts.flatMap(({ pieces }) => pieces));
  }

  /**
   * @param {number} start
   * @param {number} end
   * @returns {Generator<Buffer, void, void>}
   */
  *read(start = 0, end = this.size) {
    let position = 0;
    for (const { buffer, length } of this.pieces) {
      let from = Math.max(start, position) - position;
      const until = Math.min(end, position + length) - position;
      while (from < until) {
        const inBuffer = from % buffer.length;
        const count = Math.min(buffer.length - inBuffer, until - from);
        yield buffer.subarray(inBuffer, inBuffer + count);
        from += count;
      }
      position += length;
    }
  }

  /**
   * @param {number} start
   * @param {number} end
   */
  slice(start, end) {
    if (this === synthetics.get(this.size) && start % PATTERN_BYTES === 0) return Data.synthetic(end - start);
    return Data.from([...this.read(start, end)]);
  }

  /** @param {number} verifiedBytes Of more, it is any number. @returns {Buffer} MD5. */
  md5(verifiedBytes = Number.POSITIVE_INFINITY) {
    this.#md5 ??= this.size > verifiedBytes ? randomBytes(16) : this.#hash();
    return this.#md5;
  }

  #hash() {
    const hash = createHash("md5");
    for (const chunk of this.read()) hash.update(chunk);
    return hash.digest();
  }
}

/** By size: an object of many gigabytes is hashed once. @type {Map<number, Data>} */
const synthetics = new Map();

/** @type {Buffer | undefined} */
let patternBuffer;

/** The bytes of synthetic objects: 1 MiB in which every aligned 8 bytes differ. */
export function pattern() {
  if (patternBuffer === undefined) {
    patternBuffer = Buffer.alloc(PATTERN_BYTES);
    for (let at = 0; at < PATTERN_BYTES; at += 8) {
      patternBuffer.writeUInt32LE(at, at);
      patternBuffer.writeUInt32LE(Math.imul(at + 1, 0x9e3779b1) >>> 0, at + 4);
    }
  }
  return patternBuffer;
}
