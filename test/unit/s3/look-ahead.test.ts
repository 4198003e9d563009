import { expect, test } from "vitest";
import { LookAhead } from "../../../backends/s3/namespace/look-ahead.js";

const LENGTH = 2000;

/** Positions that are to be fetched now. */
function advance(ahead: LookAhead, position: number, name = "name"): { from: number; to: number } {
  const wanted = ahead.advance(name, position, LENGTH);
  if (!("from" in wanted)) throw new Error("names");
  return wanted;
}

test("who goes through a listing in order gets every other position fetched once, before it is reached", () => {
  const ahead = new LookAhead(64, 256);
  const fetched = new Set<number>();
  for (let position = 0; position < LENGTH; position++) {
    expect(position === 0 || fetched.has(position)).toBe(true);
    const { from, to } = advance(ahead, position);
    for (let i = from; i < to; i++) {
      expect(fetched.has(i)).toBe(false);
      fetched.add(i);
    }
  }
  expect(fetched.size).toBe(LENGTH - 1);
});

test("who asks for many positions out of order gets all of them by and by, each once", () => {
  const ahead = new LookAhead(64, 256);
  const fetched: number[] = [];
  for (let i = 1; i <= LENGTH; i++) {
    const { from, to } = advance(ahead, (i * 777) % LENGTH);
    for (let position = from; position < to; position++) fetched.push(position);
    if (fetched.length === 0) expect(i).toBeLessThan(20);
    if (fetched.length === LENGTH) expect(i).toBeGreaterThan(LENGTH / 10);
  }
  expect(fetched).toEqual(Array.from({ length: LENGTH }, (_, position) => position));
});

test("a few positions out of order fetch nothing else", () => {
  const ahead = new LookAhead(64, 256);
  for (const position of [700, 20, 1500, 900, 899]) {
    const { from, to } = advance(ahead, position);
    expect(to - from).toBe(0);
  }
});

test("who counts gets the next numbers, each once, before they are reached", () => {
  const ahead = new LookAhead(64, 256);
  const sorted = Array.from({ length: LENGTH }, (_, i) => `a7-${i}.mp4`).sort();
  const fetched = new Set<string>();
  let missed = 0;
  for (let i = 0; i < LENGTH; i++) {
    const name = `a7-${i}.mp4`;
    missed += fetched.has(name) ? 0 : 1;
    const wanted = ahead.advance(name, sorted.indexOf(name), LENGTH);
    const names = "from" in wanted ? sorted.slice(wanted.from, wanted.to) : wanted;
    for (const each of names) fetched.add(each);
  }
  expect(missed).toBeLessThan(10);
});

test("numbers with leading zeros, and others than the next, are nothing to count on", () => {
  for (const names of [
    ["01", "02", "03", "04"],
    ["1", "20", "40", "60"],
    ["5", "4", "3", "2"],
    ["a1b1", "a2b2", "a3b3", "a4b4"],
  ]) {
    const ahead = new LookAhead(64, 256);
    for (const [i, name] of names.entries()) {
      expect(advance(ahead, 1900 - i * 100, name)).toMatchObject({ from: 1900 - i * 100 });
    }
  }
});
