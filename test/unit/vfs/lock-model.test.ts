import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import { EAGAIN, EDEADLK } from "../../../src/vfs/errno.js";
import { LOCK_END_MAX, LockType } from "../../../src/vfs/lock-ranges.js";
import { LockTable } from "../../../src/vfs/lock-table.js";
import { WaitGroup } from "../../../src/vfs/lock-waiters.js";
import { VfsHandle, VfsNode } from "../../../src/vfs/node.js";

class Node extends VfsNode {}
class Handle extends VfsHandle {}

const BYTES = 12;
const OWNERS = ["a", "b", "c", "d"];

interface Wish {
  readonly owner: string;
  readonly type: number;
  readonly first: number;
  readonly last: number;
}

/** Each byte of a small file with what every owner has on it. */
class ByteModel {
  readonly bytes: Map<string, number>[] = Array.from({ length: BYTES }, () => new Map());

  conflicting({ owner, type, first, last }: Wish): Set<string> {
    const owners = new Set<string>();
    for (const byte of this.bytes.slice(first, last + 1)) {
      for (const [other, held] of byte) {
        if (other !== owner && (type === LockType.WRITE || held === LockType.WRITE)) {
          owners.add(other);
        }
      }
    }
    return owners;
  }

  apply({ owner, type, first, last }: Wish): void {
    for (const byte of this.bytes.slice(first, last + 1)) {
      if (type === LockType.UNLOCK) {
        byte.delete(owner);
      } else {
        byte.set(owner, type);
      }
    }
  }

  /** Locks there must be: runs of one owner and type. */
  get runs(): number {
    let runs = 0;
    for (const owner of OWNERS) {
      this.bytes.forEach((byte, index) => {
        const type = byte.get(owner);
        runs += type !== undefined && this.bytes[index - 1]?.get(owner) !== type ? 1 : 0;
      });
    }
    return runs;
  }
}

/** The model's file lies at `base` of the real one; its last byte may reach to the end of all files. */
class Pair {
  readonly model = new ByteModel();
  readonly table = new LockTable();
  readonly group = new WaitGroup();
  readonly node = new Node();
  readonly handles = new Map(OWNERS.map((owner) => [owner, new Handle(this.node)]));
  readonly base: bigint;
  readonly waiting: Wish[] = [];
  readonly answered: [Wish, number][] = [];

  constructor(base: bigint) {
    this.base = base;
  }

  request({ owner, type, first, last }: Wish) {
    const handle = this.handles.get(owner) as VfsHandle;
    const start = this.base + BigInt(first);
    const end = last === BYTES - 1 ? LOCK_END_MAX : this.base + BigInt(last);
    return { owner, handle, type, start, end, pid: 1 };
  }

  set(wish: Wish): void {
    const free = wish.type === LockType.UNLOCK || this.model.conflicting(wish).size === 0;
    expect(this.table.posix.set(this.request(wish))).toBe(free ? 0 : -EAGAIN);
    if (free) {
      this.model.apply(wish);
    }
  }

  wait(wish: Wish): void {
    const free = wish.type === LockType.UNLOCK || this.model.conflicting(wish).size === 0;
    const result = this.table.posix.wait(this.request(wish), this.group, 0);
    if (typeof result !== "number") {
      expect(free).toBe(false);
      this.waiting.push(wish);
      void result.then((status) => this.answered.push([wish, status]));
    } else if (free) {
      expect(result).toBe(0);
      this.model.apply(wish);
    } else {
      expect(result).toBe(-EDEADLK);
      expect(this.reaches(wish, wish.owner)).toBe(true);
    }
  }

  /** Whether a waiter's conflicts lead to an owner, over all that wait. */
  reaches(wish: Wish, owner: string): boolean {
    const seen = this.model.conflicting(wish);
    for (const next of seen) {
      for (const other of this.waiting.filter((waiting) => waiting.owner === next)) {
        for (const holder of this.model.conflicting(other)) {
          seen.add(holder);
        }
      }
    }
    return seen.has(owner);
  }

  find(wish: Wish): void {
    const found = this.table.posix.find(this.request(wish));
    if (wish.type === LockType.UNLOCK) {
      const own = this.model.bytes.slice(wish.first, wish.last + 1).some((byte) => byte.has(wish.owner));
      expect(found?.owner).toBe(own ? wish.owner : undefined);
      return;
    }
    const owners = this.model.conflicting(wish);
    expect(found !== undefined).toBe(owners.size > 0);
    expect(found === undefined || owners.has(found.owner)).toBe(true);
  }

  /** Takes over what was answered since; then nobody may wait for what is free. */
  async settle(): Promise<void> {
    await setImmediate();
    for (const [wish, status] of this.answered.splice(0)) {
      this.waiting.splice(this.waiting.indexOf(wish), 1);
      if (status === 0) {
        expect(this.model.conflicting(wish).size).toBe(0);
        this.model.apply(wish);
      } else {
        expect(status).toBe(-EDEADLK);
      }
    }
    for (const wish of this.waiting) {
      expect(this.model.conflicting(wish).size).toBeGreaterThan(0);
    }
    expect(this.table.waiting).toBe(this.waiting.length);
    expect(this.table.size).toBe(this.model.runs);
  }
}

const wishes = fc
  .record({
    owner: fc.constantFrom(...OWNERS),
    type: fc.constantFrom(LockType.READ, LockType.WRITE, LockType.UNLOCK),
    ends: fc.tuple(fc.nat(BYTES - 1), fc.nat(BYTES - 1)),
  })
  .map(({ owner, type, ends: [one, other] }) => ({
    owner,
    type,
    first: Math.min(one, other),
    last: Math.max(one, other),
  }));
const steps = fc.record({
  how: fc.constantFrom("set", "set", "wait", "wait", "find", "flush", "release"),
  wish: wishes,
});
const bases = fc.oneof(
  fc.constant(0n),
  fc.constant((1n << 53n) - 5n),
  fc.constant(LOCK_END_MAX - BigInt(BYTES - 1)),
  fc.bigInt(0n, LOCK_END_MAX - BigInt(BYTES - 1)),
);

test("locks are what a file of single bytes would make of the same requests", async () => {
  await fc.assert(
    fc.asyncProperty(bases, fc.array(steps, { maxLength: 40 }), async (base, list) => {
      const pair = new Pair(base);
      for (const { how, wish } of list) {
        if (how === "set" || how === "wait" || how === "find") {
          pair[how](wish);
        } else if (how === "flush") {
          pair.table.posix.releaseOwner(pair.node, wish.owner);
          pair.model.apply({ ...wish, type: LockType.UNLOCK, first: 0, last: BYTES - 1 });
        } else if (!pair.waiting.some(({ owner }) => owner === wish.owner)) {
          pair.table.releaseHandle(pair.handles.get(wish.owner) as VfsHandle);
          pair.model.apply({ ...wish, type: LockType.UNLOCK, first: 0, last: BYTES - 1 });
        }
        await pair.settle();
      }
    }),
    { numRuns: 1500 },
  );
});
