import { type Arena, ArenaWord } from "../../../src/native/arena.js";
import { getWords64 } from "../../../src/vfs/attributes.js";

export const KEEP_SIZE = 1;
export const PUNCH_HOLE = 2;
export const ZERO_RANGE = 16;

const low = (value: bigint | number) => Number(BigInt(value) & 0xffff_ffffn);
const high = (value: bigint | number) => Number(BigInt(value) >> 32n);

/** An arena with arguments as ordinary numbers. */
export class ArenaFiles {
  constructor(readonly arena: Arena) {}

  write(file: number, offset: bigint | number, bytes: Uint8Array): number {
    return this.arena.write(file, low(offset), high(offset), bytes);
  }
  read(file: number, offset: bigint | number, length: number): Uint8Array | number {
    const into = new Uint8Array(length).fill(0xee);
    const count = this.arena.read(file, low(offset), high(offset), into, 0);
    return count < 0 ? count : into.subarray(0, count);
  }
  truncate(file: number, size: bigint | number): number {
    return this.arena.truncate(file, low(size), high(size));
  }
  allocate(file: number, mode: number, offset: bigint | number, length: bigint | number): number {
    return this.arena.allocate(file, mode, low(offset), high(offset), low(length), high(length));
  }
  seek(file: number, whence: number, offset: bigint | number): number {
    const status = this.arena.seek(file, whence, low(offset), high(offset));
    return status < 0 ? status : getWords64(this.arena.words, ArenaWord.RESULT);
  }
  copy(from: number, fromOffset: number, to: number, toOffset: number, length: number): number {
    return this.arena.copyRange(from, fromOffset, 0, to, toOffset, 0, length, 0);
  }
  size(file: number): number {
    this.arena.stat(file);
    return getWords64(this.arena.words, ArenaWord.SIZE);
  }
  pages(file: number): number {
    this.arena.stat(file);
    return getWords64(this.arena.words, ArenaWord.BLOCKS) / 8;
  }
}

/** Bytes without a zero, so that holes tell. */
export function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => 1 + ((seed * 31 + i * 7) % 255));
}
