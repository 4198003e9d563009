import fc from "fast-check";
import { expect, test } from "vitest";
import { type HeldLock, LockType } from "../../../src/vfs/lock-ranges.js";
import { LockTree } from "../../../src/vfs/lock-tree.js";
import { VfsHandle, VfsNode } from "../../../src/vfs/node.js";

class Node extends VfsNode {}
class Handle extends VfsHandle {}

const handle = new Handle(new Node());
let serials = 0;

function lock(owner: string, start: bigint, end: bigint): HeldLock {
  const serial = serials++;
  return { handle, owner, type: LockType.READ, start, end, pid: 1, serial, held: true };
}

const offsets = fc.oneof(fc.bigInt(0n, 40n), fc.bigInt((1n << 63n) - 20n, (1n << 63n) - 1n));
const ranges = fc
  .tuple(offsets, offsets)
  .map(([one, other]) => (one < other ? { start: one, end: other } : { start: other, end: one }));
const steps = fc.record({ owner: fc.constantFrom("a", "b", "c"), range: ranges, removes: fc.boolean() });

test("a tree finds what a sorted list finds", () => {
  fc.assert(
    fc.property(fc.array(steps, { maxLength: 60 }), ranges, (list, { start, end }) => {
      const tree = new LockTree();
      const model: HeldLock[] = [];
      for (const { owner, range, removes } of list) {
        const victim = removes ? model.pop() : undefined;
        if (victim === undefined) {
          const added = lock(owner, range.start, range.end);
          tree.add(added);
          model.splice(Number(range.end) % (model.length + 1), 0, added);
        } else {
          tree.remove(victim);
        }
      }
      const sorted = [...model].sort((one, other) =>
        one.start === other.start ? one.serial - other.serial : one.start < other.start ? -1 : 1,
      );
      const within = sorted.filter((held) => held.start <= end && held.end >= start);
      expect([...tree]).toEqual(sorted);
      expect(tree.isEmpty).toBe(sorted.length === 0);
      expect(tree.within(start, end)).toEqual(within);
      for (const owner of ["a", "b", "c", undefined]) {
        expect(tree.find(start, end, owner)).toBe(within.find((held) => held.owner !== owner));
      }
    }),
    { numRuns: 500 },
  );
});

test("locks in order, as programs take them, make no deep tree", () => {
  const tree = new LockTree();
  const locks = Array.from({ length: 100_000 }, (_, at) => lock("a", BigInt(at), BigInt(at)));
  for (const held of locks) tree.add(held);
  expect(tree.find(99_999n, 99_999n)).toBe(locks[99_999]);
  for (const held of locks) tree.remove(held);
  expect(tree.isEmpty).toBe(true);
});
