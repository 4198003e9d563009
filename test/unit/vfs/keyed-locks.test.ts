import fc from "fast-check";
import { expect, test } from "vitest";
import { KeyedLocks } from "../../../src/vfs/keyed-locks.js";

test("operations on one key run one after the other, in the order of the calls", async () => {
  const locks = new KeyedLocks<string>();
  const log: string[] = [];
  const run = (name: string) =>
    locks.run(["node"], async () => {
      log.push(`${name} begins`);
      await new Promise((resolve) => setImmediate(resolve));
      log.push(`${name} ends`);
    });
  await Promise.all([run("a"), run("b"), run("c")]);
  expect(log).toEqual(["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
  expect(locks.isBusy("node")).toBe(false);
});

test("a failing operation lets the next one in", async () => {
  const locks = new KeyedLocks<number>();
  const failing = locks.run([1], () => Promise.reject(new Error("no")));
  const next = locks.run([1], () => "in");
  await expect(failing).rejects.toThrow("no");
  await expect(next).resolves.toBe("in");
});

test("no two operations that share a key overlap, whatever keys they take", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uniqueArray(fc.nat(4), { minLength: 1, maxLength: 3 }), { maxLength: 12 }),
      async (operations) => {
        const locks = new KeyedLocks<number>();
        const held = new Set<number>();
        await Promise.all(
          operations.map((keys) =>
            locks.run(keys, async () => {
              for (const key of keys) {
                expect(held.has(key)).toBe(false);
                held.add(key);
              }
              await Promise.resolve();
              await new Promise((resolve) => setImmediate(resolve));
              for (const key of keys) {
                held.delete(key);
              }
            }),
          ),
        );
        expect(held.size).toBe(0);
      },
    ),
    { numRuns: 30 },
  );
});
