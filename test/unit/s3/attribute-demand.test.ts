import { expect, test } from "vitest";
import { AttributeDemand } from "../../../backends/s3/namespace/attribute-demand.js";

const ENTRIES = 25;

/** Reads a listing of entries whose attributes are not at hand. @returns which answers brought them */
function read(answers: number, looksAt: (answer: number) => number): boolean[] {
  const demand = new AttributeDemand(0);
  let lookups = 0;
  return Array.from({ length: answers }, (_, answer) => {
    const { fetches } = demand.begin(lookups);
    for (let i = 0; i < ENTRIES; i++) demand.added(fetches);
    lookups += fetches ? 0 : looksAt(answer);
    return fetches;
  });
}

test("who looks at all entries gets ever more answers with attributes, with one without in between", () => {
  const brought = read(200, () => ENTRIES);
  expect(brought.slice(0, 12).map(Number)).toEqual([0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1]);
  expect(brought.filter((each) => !each).length).toBeLessThan(12);
});

test("who looks at none, or at a few, gets names only", () => {
  expect(read(50, () => 0)).not.toContain(true);
  expect(read(50, () => 5)).not.toContain(true);
});

test("who stops looking gets names only before long", () => {
  const brought = read(100, (answer) => (answer < 4 ? ENTRIES : 0));
  expect(brought.lastIndexOf(true)).toBeLessThan(10);
});

test("attributes that are at hand are given with so many entries only, unless somebody looks at them", () => {
  const demand = new AttributeDemand(0);
  let given = 0;
  while (demand.begin(0).known) {
    demand.added(true);
    given++;
  }
  expect(given).toBeGreaterThan(10_000);
  expect(given).toBeLessThan(20_000);
  demand.added(false);
  expect(demand.begin(1)).toEqual({ fetches: true, known: true });
});
