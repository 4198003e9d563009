import type { Extent, ExtentSet } from "./extent-set.js";

const MIB = 2 ** 20;
/** Every part but the last has at least this. */
export const MIN_PART_BYTES = 5 * MIB;
/** CopyObject and UploadPartCopy take no more. */
export const MAX_COPY_BYTES = 5 * 2 ** 30;
export const MAX_PARTS = 10_000;
/** The size of parts to begin with, and that of the largest object that goes up in one request. */
export const FIRST_PART_BYTES = 8 * MIB;

/** Parts grow so that 10,000 of them reach 5 TiB, and the first hundred gigabytes need little memory. */
const PARTS_PER_SIZE = 750;
const LARGEST_PART_BYTES = 1024 * MIB;

/** The bytes of the part with this number (from 1) of an object whose size is not known yet. */
export function growingPart(partNumber: number): { readonly offset: number; readonly length: number } {
  let offset = 0;
  let length = FIRST_PART_BYTES;
  let before = partNumber - 1;
  while (before >= PARTS_PER_SIZE && length < LARGEST_PART_BYTES) {
    offset += PARTS_PER_SIZE * length;
    before -= PARTS_PER_SIZE;
    length *= 2;
  }
  return { offset: offset + before * length, length };
}

/** One part of an object to be made. */
export interface PlannedPart {
  readonly partNumber: number;
  readonly offset: number;
  readonly length: number;
  /** The bytes are those of the source at the same offset: the server copies them. */
  readonly copy: boolean;
}

/** An object that is written as a whole. */
export function planUpload(size: number): PlannedPart[] {
  const parts: PlannedPart[] = [];
  for (let partNumber = 1; ; partNumber++) {
    const { offset, length } = growingPart(partNumber);
    if (offset >= size) {
      return parts;
    }
    parts.push({ partNumber, offset, length: Math.min(length, size - offset), copy: false });
  }
}

/**
 * An object of which only `changed` differs from its source, and everything from `sourceLimit` on. It is cut into units
 * of equal size: runs of units that are as in the source are copied, the others are uploaded one by one. So only the
 * last part can be a small one.
 */
export function planEdit(size: number, sourceLimit: number, changed: ExtentSet): PlannedPart[] {
  const unit = Math.max(FIRST_PART_BYTES, Math.ceil(size / MAX_PARTS / MIB) * MIB);
  const copied = Math.floor(MAX_COPY_BYTES / unit) * unit;
  const parts: PlannedPart[] = [];
  const add = (offset: number, length: number, copy: boolean) =>
    parts.push({ partNumber: parts.length + 1, offset, length, copy });
  for (let offset = 0; offset < size; ) {
    const end = cleanUntil(offset, unit, Math.min(size, offset + copied), sourceLimit, changed);
    if (end > offset) {
      add(offset, end - offset, true);
      offset = end;
    } else {
      add(offset, Math.min(unit, size - offset), false);
      offset += unit;
    }
  }
  return parts;
}

/** The end of the units from `offset` on that are wholly as in the source; the last one may be cut by `end`. */
function cleanUntil(
  offset: number,
  unit: number,
  end: number,
  sourceLimit: number,
  changed: ExtentSet,
): number {
  const [nextChange]: Extent = changed.within(offset, end).next().value ?? [end, end];
  const clean = Math.min(nextChange, sourceLimit, end);
  return clean === end ? end : Math.max(offset, clean - ((clean - offset) % unit));
}

/** An object that is copied as a whole, in parts because it is too large for one copy. */
export function planCopy(size: number): PlannedPart[] {
  const length = 1024 * MIB;
  return Array.from({ length: Math.ceil(size / length) }, (_, index) => ({
    partNumber: index + 1,
    offset: index * length,
    length: Math.min(length, size - index * length),
    copy: true,
  }));
}
