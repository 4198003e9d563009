import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ExtentSet } from "../../../backends/s3/staging/extent-set.js";
import {
  growingPart,
  MAX_COPY_BYTES,
  MAX_PARTS,
  MIN_PART_BYTES,
  type PlannedPart,
  planCopy,
  planEdit,
  planUpload,
} from "../../../backends/s3/staging/part-plan.js";

const MIB = 2 ** 20;
const TIB = 2 ** 40;

/** What every server asks of the parts of an object. */
function expectValid(parts: readonly PlannedPart[], size: number): void {
  let offset = 0;
  for (const [index, part] of parts.entries()) {
    expect(part.partNumber).toBe(index + 1);
    expect(part.offset).toBe(offset);
    expect(part.length).toBeLessThanOrEqual(MAX_COPY_BYTES);
    expect(part.length).toBeGreaterThanOrEqual(index + 1 < parts.length ? MIN_PART_BYTES : 1);
    offset += part.length;
  }
  expect(offset).toBe(size);
  expect(parts.length).toBeLessThanOrEqual(MAX_PARTS);
}

describe("parts of an upload", () => {
  it("grow so that 10,000 of them reach 5 TiB", () => {
    const last = growingPart(MAX_PARTS);
    expect(last.offset + last.length).toBeGreaterThanOrEqual(5 * TIB);
    expect(growingPart(1)).toEqual({ offset: 0, length: 8 * MIB });
    expectValid(planUpload(5 * TIB), 5 * TIB);
  });

  it("cover sizes around the limits of parts", () => {
    for (const size of [1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 100 * MIB + 17, 20_000 * MIB + 3]) {
      expectValid(planUpload(size), size);
    }
  });
});

describe("parts of an edit", () => {
  it("copy only bytes that are as in the source, and most of those", () => {
    const unit = 8 * MIB;
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 400 * MIB }),
        fc.integer({ min: 0, max: 400 * MIB }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 400 * MIB }), fc.integer({ min: 1, max: 3 * MIB })), {
          maxLength: 8,
        }),
        (size, limit, writes) => {
          const sourceLimit = Math.min(limit, size);
          const changed = new ExtentSet(
            writes.map(([start, length]) => [start, Math.min(start + length, size)] as const),
          );
          const parts = planEdit(size, sourceLimit, changed);
          expectValid(parts, size);
          for (const { offset, length, copy } of parts) {
            const end = offset + length;
            const same = end <= sourceLimit && !changed.intersects(offset, end);
            // Only what differs in its unit goes up.
            expect(copy).toBe(copy ? same : same && length < unit && end < size);
          }
        },
      ),
    );
  });

  it("stay within 10,000 for the largest objects", () => {
    const size = 5 * TIB;
    expectValid(planEdit(size, size, new ExtentSet([[TIB, TIB + 4096]])), size);
    expectValid(planEdit(size, 0, new ExtentSet()), size);
    expectValid(planCopy(size), size);
  });

  it("send one unit for one changed block", () => {
    const size = 100 * MIB;
    const parts = planEdit(size, size, new ExtentSet([[50 * MIB, 50 * MIB + 4096]]));
    expect(parts.map(({ length, copy }) => [length / MIB, copy])).toEqual([
      [48, true],
      [8, false],
      [44, true],
    ]);
  });
});
