import { expect, test } from "vitest";
import { MemoryBudget } from "../../../backends/s3/cache/memory-budget.js";

/** Takes bytes, and notes when they were given. */
function take(budget: MemoryBudget, bytes: number, name: string, given: string[]): Promise<unknown> {
  return budget.take(bytes).then(() => given.push(name));
}

test("who wants more than is left waits, and who comes later waits behind", async () => {
  const budget = new MemoryBudget(100);
  const given: string[] = [];
  await take(budget, 80, "first", given);
  expect(budget.left).toBe(20);
  const waiting = [take(budget, 50, "second", given), take(budget, 10, "third", given)];
  await Promise.resolve();
  expect(given).toEqual(["first"]);
  budget.give(80);
  await Promise.all(waiting);
  expect(given).toEqual(["first", "second", "third"]);
  expect(budget.left).toBe(40);
});

test("more than the whole budget is given to who is alone", async () => {
  const budget = new MemoryBudget(100);
  const given: string[] = [];
  await take(budget, 500, "huge", given);
  expect(budget.left).toBe(0);
  const waiting = take(budget, 1, "small", given);
  await Promise.resolve();
  expect(given).toEqual(["huge"]);
  budget.give(500);
  await waiting;
  expect(budget.left).toBe(99);
});
