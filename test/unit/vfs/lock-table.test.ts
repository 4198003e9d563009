import { setImmediate } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { EAGAIN, EBADF, EDEADLK, EINTR, ENOLCK } from "../../../src/vfs/errno.js";
import { LOCK_END_MAX, LockType } from "../../../src/vfs/lock-ranges.js";
import { LockTable } from "../../../src/vfs/lock-table.js";
import { WaitGroup } from "../../../src/vfs/lock-waiters.js";
import { VfsHandle, VfsNode } from "../../../src/vfs/node.js";

class Node extends VfsNode {}
class Handle extends VfsHandle {}

const { READ, WRITE, UNLOCK } = LockType;

/** A table with one file, opened once by each owner. */
class Locks {
  readonly table: LockTable;
  readonly node = new Node();
  readonly group = new WaitGroup();
  readonly handles = new Map<string, VfsHandle>();
  /** What became of each request that waited, in the order of the answers. */
  readonly answers: [string, number][] = [];
  #ids = 0;

  constructor(table = new LockTable()) {
    this.table = table;
  }

  handle(owner: string): VfsHandle {
    const handle = this.handles.get(owner) ?? new Handle(this.node);
    this.handles.set(owner, handle);
    return handle;
  }

  request(owner: string, type: number, start: number | bigint = 0, end: number | bigint = LOCK_END_MAX) {
    return {
      owner,
      handle: this.handle(owner),
      type,
      start: BigInt(start),
      end: BigInt(end),
      pid: owner.charCodeAt(0),
    };
  }

  set(...request: Parameters<Locks["request"]>): number {
    return this.table.posix.set(this.request(...request));
  }

  flock(owner: string, type: number): number {
    return this.table.flock.set(this.request(owner, type));
  }

  /** The errno at once, or "waits": then the answer comes in {@link answers}. */
  wait(...request: Parameters<Locks["request"]>): number | "waits" {
    return this.#watch(request[0], this.table.posix.wait(this.request(...request), this.group, ++this.#ids));
  }

  waitFlock(owner: string, type: number): number | "waits" {
    return this.#watch(owner, this.table.flock.wait(this.request(owner, type), this.group, ++this.#ids));
  }

  #watch(owner: string, result: number | Promise<number>): number | "waits" {
    if (typeof result === "number") {
      return result;
    }
    void result.then((status) => this.answers.push([owner, status]));
    return "waits";
  }

  /** What stands in the way, as "owner type start-end". */
  find(...request: Parameters<Locks["request"]>): string | undefined {
    const lock = this.table.posix.find(this.request(...request));
    return lock && `${lock.owner} ${"rw"[lock.type]} ${lock.start}-${lock.end}`;
  }

  async answered(): Promise<[string, number][]> {
    await setImmediate();
    return this.answers.splice(0);
  }
}

describe("locks of fcntl(2)", () => {
  test("readers share, a writer is alone, an owner never conflicts with itself", () => {
    const locks = new Locks();
    expect(locks.set("a", READ)).toBe(0);
    expect(locks.set("b", READ)).toBe(0);
    expect(locks.set("a", WRITE)).toBe(-EAGAIN);
    expect(locks.set("b", UNLOCK)).toBe(0);
    expect(locks.set("a", WRITE)).toBe(0);
    expect(locks.set("b", READ)).toBe(-EAGAIN);
    expect(locks.set("a", READ, 0, 9)).toBe(0);
    expect(locks.set("b", READ, 0, 9)).toBe(0);
    expect(locks.set("b", READ, 0, 10)).toBe(-EAGAIN);
    expect(locks.table.size).toBe(3);
  });

  test("GETLK names the conflict that begins first", () => {
    const locks = new Locks();
    locks.set("b", READ, 50, 59);
    locks.set("a", WRITE, 10, 19);
    locks.set("b", WRITE, 30, 39);
    expect(locks.find("c", READ)).toBe("a w 10-19");
    expect(locks.find("c", WRITE)).toBe("a w 10-19");
    expect(locks.find("c", WRITE, 20)).toBe("b w 30-39");
    expect(locks.find("c", READ, 0, 20)).toBe("a w 10-19");
    expect(locks.find("c", WRITE, 40)).toBe("b r 50-59");
    expect(locks.find("c", READ, 40)).toBeUndefined();
    expect(locks.find("a", WRITE, 0, 20)).toBeUndefined();
    expect(locks.table.posix.find(locks.request("c", WRITE))?.pid).toBe("a".charCodeAt(0));
  });

  test("GETLK of UNLOCK finds the owner's own locks, as F_OFD_GETLK does since Linux 6.6", () => {
    const locks = new Locks();
    locks.set("a", WRITE, 10, 19);
    expect(locks.find("a", UNLOCK)).toBe("a w 10-19");
    expect(locks.find("a", UNLOCK, 0, 9)).toBeUndefined();
    expect(locks.find("b", UNLOCK)).toBeUndefined();
  });

  test("unlocking a part splits, locking the gap again merges", () => {
    const locks = new Locks();
    locks.set("a", WRITE, 0, 99);
    locks.set("a", UNLOCK, 40, 49);
    expect(locks.find("b", READ, 35)).toBe("a w 0-39");
    expect(locks.find("b", READ, 40)).toBe("a w 50-99");
    expect(locks.find("b", READ, 40, 49)).toBeUndefined();
    locks.set("a", READ, 40, 49);
    expect(locks.table.size).toBe(3);
    locks.set("a", WRITE, 40, 49);
    expect(locks.find("b", READ, 99)).toBe("a w 0-99");
    expect(locks.table.size).toBe(1);
  });

  test("offsets are exact up to 2^63 - 1", () => {
    const locks = new Locks();
    const top = LOCK_END_MAX;
    expect(locks.set("a", WRITE, top, top)).toBe(0);
    expect(locks.set("b", WRITE, 0, top - 1n)).toBe(0);
    expect(locks.set("b", WRITE, 0, top)).toBe(-EAGAIN);
    expect(locks.find("c", READ, top - 1n, top - 1n)).toBe(`b w 0-${top - 1n}`);
    expect(locks.find("c", READ, top)).toBe(`a w ${top}-${top}`);
    locks.set("a", WRITE, 1n << 62n);
    expect(locks.set("b", UNLOCK, 1, top)).toBe(0);
    expect(locks.set("a", WRITE, (1n << 53n) + 1n, top)).toBe(0);
    expect(locks.find("c", READ, 1n << 53n, 1n << 53n)).toBeUndefined();
    expect(locks.find("c", READ, (1n << 53n) + 1n)).toBe(`a w ${(1n << 53n) + 1n}-${top}`);
  });

  test("locks go with their owner's FLUSH and with the handle they came through", () => {
    const locks = new Locks();
    locks.set("a", WRITE, 0, 9);
    locks.set("a", WRITE, 20, 29);
    locks.set("b", WRITE, 40, 49);
    locks.table.posix.releaseOwner(locks.node, "a");
    expect(locks.find("c", WRITE)).toBe("b w 40-49");
    locks.table.releaseHandle(locks.handle("b"));
    expect(locks.find("c", WRITE)).toBeUndefined();
    expect(locks.table.size).toBe(0);
  });

  test("of an owner's locks only those of the handle go with it", () => {
    const locks = new Locks();
    locks.set("a", WRITE, 0, 9);
    const other = new Handle(locks.node);
    expect(locks.table.posix.set({ ...locks.request("a", WRITE, 20, 29), handle: other })).toBe(0);
    locks.table.releaseHandle(other);
    expect(locks.find("b", WRITE)).toBe("a w 0-9");
    expect(locks.find("b", WRITE, 10)).toBeUndefined();
  });
});

describe("requests that wait", () => {
  test("are granted in their order when the lock is free, readers together", async () => {
    const locks = new Locks();
    locks.set("a", WRITE);
    expect(["b", "c"].map((owner) => locks.wait(owner, READ))).toEqual(["waits", "waits"]);
    expect(locks.wait("d", WRITE)).toBe("waits");
    expect(locks.wait("e", READ)).toBe("waits");
    expect(await locks.answered()).toEqual([]);
    locks.set("a", UNLOCK);
    expect(await locks.answered()).toEqual([
      ["b", 0],
      ["c", 0],
      ["e", 0],
    ]);
    for (const owner of ["b", "c", "e"]) {
      locks.table.posix.releaseOwner(locks.node, owner);
    }
    expect(await locks.answered()).toEqual([["d", 0]]);
    expect(locks.table.waiting).toBe(0);
  });

  test("are granted when the lock is downgraded, cut, or its handle released", async () => {
    const locks = new Locks();
    locks.set("a", WRITE, 0, 99);
    locks.wait("b", READ, 0, 9);
    locks.wait("c", WRITE, 50, 59);
    locks.wait("d", WRITE, 90, 99);
    locks.set("a", READ, 0, 9);
    expect(await locks.answered()).toEqual([["b", 0]]);
    locks.set("a", UNLOCK, 50, 59);
    expect(await locks.answered()).toEqual([["c", 0]]);
    locks.table.releaseHandle(locks.handle("a"));
    expect(await locks.answered()).toEqual([["d", 0]]);
  });

  test("one that is granted may make room for one before it", async () => {
    const locks = new Locks();
    locks.set("a", WRITE, 0, 9);
    locks.set("b", WRITE, 10, 19);
    locks.wait("c", READ, 10, 19);
    locks.wait("b", READ, 0, 19);
    locks.set("a", UNLOCK, 0, 9);
    expect(await locks.answered()).toEqual([
      ["b", 0],
      ["c", 0],
    ]);
  });

  test("a circle is a deadlock, whoever closes it", () => {
    const locks = new Locks();
    for (const [index, owner] of ["a", "b", "c", "d"].entries()) {
      locks.set(owner, WRITE, index, index);
    }
    expect(locks.wait("a", WRITE, 1, 1)).toBe("waits");
    expect(locks.wait("b", WRITE, 2, 2)).toBe("waits");
    expect(locks.wait("c", READ, 3, 3)).toBe("waits");
    expect(locks.wait("d", WRITE, 0, 0)).toBe(-EDEADLK);
    expect(locks.set("d", WRITE, 0, 0)).toBe(-EAGAIN);
  });

  test("two readers that both want to write are a deadlock", async () => {
    const locks = new Locks();
    locks.set("a", READ);
    locks.set("b", READ);
    expect(locks.wait("a", WRITE)).toBe("waits");
    expect(locks.wait("b", WRITE)).toBe(-EDEADLK);
    locks.set("b", UNLOCK);
    expect(await locks.answered()).toEqual([["a", 0]]);
  });

  test("a circle that closes while they wait is noticed", async () => {
    const locks = new Locks();
    locks.set("x", READ, 0, 0);
    locks.set("a", READ, 0, 0);
    locks.set("b", WRITE, 1, 1);
    // b waits for x, and will for a.
    expect(locks.wait("b", WRITE, 0, 0)).toBe("waits");
    expect(locks.wait("a", WRITE, 1, 1)).toBe("waits");
    expect(await locks.answered()).toEqual([]);
    locks.set("x", UNLOCK, 0, 0);
    expect(await locks.answered()).toEqual([["b", -EDEADLK]]);
    locks.set("b", UNLOCK);
    expect(await locks.answered()).toEqual([["a", 0]]);
  });

  test("are cancelled one by one or all together, and do not come back", async () => {
    const locks = new Locks();
    locks.set("a", WRITE);
    locks.wait("b", WRITE);
    locks.wait("c", WRITE);
    locks.wait("d", WRITE);
    locks.group.cancel(-EINTR, 2);
    locks.group.cancel(-EINTR, 99);
    expect(await locks.answered()).toEqual([["c", -EINTR]]);
    locks.table.releaseHandle(locks.handle("d"));
    expect(await locks.answered()).toEqual([["d", -EBADF]]);
    locks.group.cancel(-EAGAIN);
    expect(await locks.answered()).toEqual([["b", -EAGAIN]]);
    locks.set("a", UNLOCK);
    expect(locks.table.size).toBe(0);
    expect(await locks.answered()).toEqual([]);
  });
});

describe("locks of flock(2)", () => {
  test("are apart from those of fcntl(2)", () => {
    const locks = new Locks();
    expect(locks.set("a", WRITE)).toBe(0);
    expect(locks.flock("b", WRITE)).toBe(0);
    expect(locks.flock("a", READ)).toBe(-EAGAIN);
    locks.table.posix.releaseOwner(locks.node, "a");
    locks.table.flock.releaseOwner(locks.node, "b");
    expect(locks.table.size).toBe(0);
  });

  test("a conversion unlocks first: who waits may get in, and a refused one loses its lock", async () => {
    const locks = new Locks();
    locks.flock("a", READ);
    locks.flock("b", READ);
    expect(locks.flock("a", WRITE)).toBe(-EAGAIN);
    expect(locks.flock("b", WRITE)).toBe(0);
    expect(locks.waitFlock("a", READ)).toBe("waits");
    expect(locks.flock("b", READ)).toBe(0);
    expect(await locks.answered()).toEqual([["a", 0]]);
    // Both convert and wait: no deadlock, since each has given up its own.
    expect(locks.waitFlock("a", WRITE)).toBe("waits");
    expect(locks.waitFlock("b", WRITE)).toBe(0);
    locks.flock("b", UNLOCK);
    expect(await locks.answered()).toEqual([["a", 0]]);
  });

  test("there is no deadlock between them and those of fcntl(2)", () => {
    const locks = new Locks();
    locks.set("a", WRITE);
    locks.flock("b", WRITE);
    expect(locks.waitFlock("a", WRITE)).toBe("waits");
    expect(locks.wait("b", WRITE)).toBe("waits");
  });
});

describe("limits", () => {
  test("ENOLCK beyond the most locks, also for an unlock that would split", () => {
    const locks = new Locks(new LockTable({ maxLocks: 3 }));
    for (const start of [0, 20, 40]) {
      expect(locks.set("a", WRITE, start, start + 9)).toBe(0);
    }
    expect(locks.set("a", WRITE, 60, 69)).toBe(-ENOLCK);
    expect(locks.set("b", WRITE, 60, 69)).toBe(-ENOLCK);
    expect(locks.set("a", UNLOCK, 3, 4)).toBe(-ENOLCK);
    expect(locks.flock("b", READ)).toBe(-ENOLCK);
    expect(locks.set("a", WRITE, 10, 19)).toBe(0);
    expect(locks.flock("b", READ)).toBe(0);
    expect(locks.set("a", UNLOCK)).toBe(0);
    expect(locks.table.size).toBe(1);
  });

  test("ENOLCK beyond the most waiters, of the share and of their group", () => {
    const locks = new Locks(new LockTable({ maxWaiters: 3 }));
    locks.set("a", WRITE);
    locks.group.limit = 2;
    const waits = ["b", "c", "d"].map((owner) => locks.wait(owner, WRITE));
    expect(waits).toEqual(["waits", "waits", -ENOLCK]);
    locks.group.limit = 9;
    expect(locks.wait("d", WRITE)).toBe("waits");
    expect(locks.waitFlock("e", WRITE)).toBe(0);
    expect(locks.waitFlock("f", WRITE)).toBe(-ENOLCK);
    // Whoever holds the lock can always let go.
    expect(locks.wait("a", UNLOCK)).toBe(0);
  });

  test.each([1, 65_536])("a share holds 65,536 locks, of %i owners, and lets go of all", (owners) => {
    const locks = new Locks();
    for (let index = 0; index < 65_536; index++) {
      expect(locks.set(`${index % owners}`, WRITE, index * 2, index * 2)).toBe(0);
    }
    expect(locks.set("more", WRITE, 1, 1)).toBe(-ENOLCK);
    expect(locks.find("more", READ, 65_537)).toBe(`${32_769 % owners} w 65538-65538`);
    for (const handle of locks.handles.values()) {
      locks.table.releaseHandle(handle);
    }
    expect(locks.table.size).toBe(0);
  });
});
