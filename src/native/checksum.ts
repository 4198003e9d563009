import { addon } from "./addon.js";

/** CRCs of data in pieces: each call goes on from the result for the piece before, 0 at first. */
interface ChecksumBinding {
  /** CRC-32C (Castagnoli), by the processor's instruction where there is one. */
  crc32c(bytes: Uint8Array, before: number): number;
  /** The same by tables, as on a processor without the instruction. */
  crc32cPortable(bytes: Uint8Array, before: number): number;
  /** CRC-64/NVME. */
  crc64nvme(bytes: Uint8Array, before: bigint): bigint;
}

export const { crc32c, crc32cPortable, crc64nvme } = (addon as { checksum: ChecksumBinding }).checksum;
