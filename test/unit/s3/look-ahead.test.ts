import { expect, test } from "vitest";
import { LookAhead } from "../../../backends/s3/namespace/look-ahead.js";

const LENGTH = 2000;

test("who goes through a listing in order gets every other position fetched once, before it is reached", () => {
  const ahead = new LookAhead(64, 256);
  const fetched = new Set<number>();
  for (let position = 0; position < LENGTH; position++) {
    expect(position === 0 || fetched.has(position)).toBe(true);
    const { from, to } = ahead.advance(position, LENGTH);
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
    const { from, to } = ahead.advance((i * 777) % LENGTH, LENGTH);
    for (let position = from; position < to; position++) fetched.push(position);
    if (fetched.length === 0) expect(i).toBeLessThan(20);
    if (fetched.length === LENGTH) expect(i).toBeGreaterThan(LENGTH / 10);
  }
  expect(fetched).toEqual(Array.from({ length: LENGTH }, (_, position) => position));
});

test("a few positions out of order fetch nothing else", () => {
  const ahead = new LookAhead(64, 256);
  for (const position of [700, 20, 1500, 900, 899]) {
    const { from, to } = ahead.advance(position, LENGTH);
    expect(to - from).toBe(0);
  }
});
