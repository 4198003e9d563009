import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ExtentSet } from "../../../backends/s3/staging/extent-set.js";

const SPAN = 64;
const range = fc
  .tuple(fc.integer({ min: 0, max: SPAN }), fc.integer({ min: 0, max: SPAN }))
  .map(([one, other]) => [Math.min(one, other), Math.max(one, other)] as const);
const step = fc.record({ adds: fc.boolean(), range });

/** The same set, a flag for each byte. */
function model(steps: readonly { adds: boolean; range: readonly [number, number] }[]): boolean[] {
  const bytes = new Array<boolean>(SPAN).fill(false);
  for (const { adds, range: extent } of steps) {
    bytes.fill(adds, extent[0], extent[1]);
  }
  return bytes;
}

describe("ExtentSet", () => {
  it("holds the bytes that were added and not removed, as ranges that do not touch", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), range, (steps, [start, end]) => {
        const set = new ExtentSet();
        for (const [index, { adds, range: extent }] of steps.entries()) {
          const before = model(steps.slice(0, index)).slice(extent[0], extent[1]);
          const already = before.filter((there) => there).length;
          const changed = adds ? set.add(extent[0], extent[1]) : set.remove(extent[0], extent[1]);
          expect(changed).toBe(adds ? before.length - already : already);
        }
        const bytes = model(steps);
        const found = new Array<boolean>(SPAN).fill(false);
        let last = -1;
        for (const [from, to] of set) {
          expect(from).toBeGreaterThan(last);
          expect(to).toBeGreaterThan(from);
          found.fill(true, from, to);
          last = to;
        }
        expect(found).toEqual(bytes);
        const inside = bytes.slice(start, end);
        expect(set.bytes).toBe(bytes.filter((there) => there).length);
        expect(set.end).toBe(bytes.lastIndexOf(true) + 1);
        expect(set.covers(start, end)).toBe(inside.every((there) => there));
        expect(set.intersects(start, end)).toBe(inside.some((there) => there));
        const covered = [...set.within(start, end)].flatMap(([from, to]) => bytes.slice(from, to));
        const gaps = [...set.gaps(start, end)].flatMap(([from, to]) => bytes.slice(from, to));
        expect(covered).toEqual(inside.filter((there) => there));
        expect(gaps).toEqual(inside.filter((there) => !there));
      }),
    );
  });
});
