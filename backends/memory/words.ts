const MASK_32 = 0xffff_ffffn;
const TWO_POW_32 = 0x1_0000_0000;

/** Low 32 bits of a 64-bit number. */
export function lowHalf(value: bigint): number {
  return Number(value & MASK_32);
}

/** High 32 bits of an unsigned 64-bit number. */
export function highHalf(value: bigint): number {
  return Number((value >> 32n) & MASK_32);
}

/** Low 32 bits of a number from 0 to 2^53 - 1. */
export function lowWord(value: number): number {
  return value >>> 0;
}

/** What is above the low 32 bits of a number from 0 to 2^53 - 1. */
export function highWord(value: number): number {
  return value < TWO_POW_32 ? 0 : Math.floor(value / TWO_POW_32);
}
