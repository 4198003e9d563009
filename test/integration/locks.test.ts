import { describe, expect, test } from "vitest";
import {
  type Client,
  InitFlag,
  Lock,
  Open,
  ok,
  RELEASE_FLOCK_UNLOCK,
  ROOT,
  type Ticket,
} from "../support/frontend/index.js";
import { expectServes, mount, useClient } from "../support/frontend-testing.js";

const END = (1n << 63n) - 1n;
const BACKENDS = ["passthrough", "memory"] as const;
/** How long to see that a request is not answered. */
const HELD_MS = 60;

type LockRange = Parameters<Client["setlk"]>[3];

/** A range that is to be locked for writing, by default the whole file. */
const write = (start = 0n, end = END): LockRange => ({ start, end, type: Lock.WRITE, pid: 7 });
const read = (start = 0n, end = END): LockRange => ({ start, end, type: Lock.READ, pid: 8 });
const unlock = (start = 0n, end = END): LockRange => ({ start, end, type: Lock.UNLOCK, pid: 0 });

/** An open file and what to do with its locks. */
class LockedFile {
  readonly fs: Client;
  readonly nodeid: bigint;
  readonly fh: bigint;

  constructor(fs: Client, nodeid: bigint, fh: bigint) {
    this.fs = fs;
    this.nodeid = nodeid;
    this.fh = fh;
  }

  static create(fs: Client, name: string): LockedFile {
    const { nodeid, fh } = ok(fs.create(ROOT, name));
    return new LockedFile(fs, nodeid, fh);
  }

  /** The same file, opened once more. */
  again(): LockedFile {
    return new LockedFile(this.fs, this.nodeid, ok(this.fs.open(this.nodeid, Open.RDWR)).fh);
  }

  set(owner: bigint | number, lock: LockRange, flock = false) {
    return this.fs.setlk(this.nodeid, this.fh, owner, lock, flock).error;
  }

  get(owner: bigint | number, lock: LockRange) {
    return ok(this.fs.getlk(this.nodeid, this.fh, owner, lock)).lock;
  }

  submit(owner: bigint | number, lock: LockRange, options = {}): Ticket {
    return this.fs.submitSetlkw(this.nodeid, this.fh, owner, lock, options);
  }
}

function expectHeld(fs: Client, ...tickets: Ticket[]): void {
  for (const ticket of tickets) expect(fs.waitUsed(ticket, HELD_MS)).toBe(false);
}

describe.each(BACKENDS)("locks on %s", (backend) => {
  const shared = useClient({ backend, requestQueues: 2 });
  let files = 0;
  const create = () => LockedFile.create(shared.fs, `file${files++}`);

  test("are offered", () => {
    const flags = shared.fs.initReply?.flags ?? 0n;
    expect(flags & InitFlag.POSIX_LOCKS).not.toBe(0n);
    expect(flags & InitFlag.FLOCK_LOCKS).not.toBe(0n);
  });

  test("of one owner keep out the others, over all handles", () => {
    const file = create();
    const other = file.again();
    expect(file.set(1, write(10n, 19n))).toBeNull();
    expect(other.set(2, write(19n, 19n))).toBe("EAGAIN");
    expect(other.set(1, read(15n, 19n))).toBeNull();
    expect(other.set(2, read(15n, 30n))).toBeNull();
    expect(other.get(2, write())).toEqual(write(10n, 14n));
    expect(other.get(2, read(15n))).toMatchObject({ type: Lock.UNLOCK });
    expect(file.get(1, write())).toEqual(read(15n, 30n));
  });

  test("owners are told apart by all of their 64 bits", () => {
    const file = create();
    expect(file.set(1n << 63n, write())).toBeNull();
    for (const owner of [0n, 1n << 31n, (1n << 63n) + 1n, (1n << 63n) - 1n]) {
      expect(file.set(owner, write())).toBe("EAGAIN");
    }
    expect(file.set(1n << 63n, write(5n, 5n))).toBeNull();
  });

  test("offsets are exact to the last", () => {
    const file = create();
    expect(file.set(1, write(END, END))).toBeNull();
    expect(file.set(2, write(0n, END - 1n))).toBeNull();
    expect(file.get(3, read(END - 1n, END - 1n))).toEqual(write(0n, END - 1n));
    expect(file.get(3, read(END, END))).toEqual(write(END, END));
  });

  test("errors come in Linux's order: the handle, then range and type", () => {
    const file = create();
    const bad = { start: 9n, end: 8n, type: 3, pid: 0 };
    expect(shared.fs.setlk(file.nodeid, file.fh + 7n, 1, bad).error).toBe("EBADF");
    expect(shared.fs.setlk(ROOT, file.fh, 1, write()).error).toBe("EBADF");
    expect(file.set(1, bad)).toBe("EINVAL");
    expect(file.set(1, { ...write(), type: 3 })).toBe("EINVAL");
    expect(file.set(1, write(9n, 8n))).toBe("EINVAL");
    expect(file.set(1, write(0n, END + 1n))).toBe("EINVAL");
    expect(shared.fs.getlk(file.nodeid, file.fh, 1, write(9n, 8n)).error).toBe("EINVAL");
    expect(shared.fs.wait(file.submit(1, { ...write(), type: 9 })).error).toBe("EINVAL");
  });

  test("FLUSH ends those of its owner, RELEASE those of the handle", () => {
    const { fs } = shared;
    const file = create();
    const other = file.again();
    file.set(1, write(0n, 9n));
    other.set(1, write(20n, 29n));
    other.set(2, write(40n, 49n));
    expect(fs.flush(file.nodeid, file.fh, 3).error).toBeNull();
    expect(file.get(9, read())).toEqual(write(0n, 9n));
    expect(fs.flush(file.nodeid, file.fh, 1).error).toBeNull();
    expect(file.get(9, read())).toEqual(write(40n, 49n));
    ok(fs.release(other.nodeid, other.fh));
    expect(file.get(9, read())).toMatchObject({ type: Lock.UNLOCK });
  });

  test("flock is its own space, and ends with RELEASE", () => {
    const { fs } = shared;
    const file = create();
    const other = file.again();
    expect(file.set(1, write())).toBeNull();
    expect(other.set(2, write(), true)).toBeNull();
    expect(file.set(3, read(), true)).toBe("EAGAIN");
    ok(fs.release(other.nodeid, other.fh, { releaseFlags: RELEASE_FLOCK_UNLOCK, lockOwner: 2 }));
    expect(file.set(3, read(), true)).toBeNull();
    expect(file.set(2, write())).toBe("EAGAIN");
  });

  test("a held request is answered when the lock is free, in the order of arrival", () => {
    const { fs } = shared;
    const file = create();
    file.set(1, write());
    const first = file.submit(2, write());
    // Queues are not in order with each other: an answer tells that the first was taken.
    expectServes(fs);
    const second = file.submit(3, write(), { queue: 2 });
    expectHeld(fs, first, second);
    file.set(1, unlock());
    expect(fs.wait(first).error).toBeNull();
    expectHeld(fs, second);
    expect(file.get(9, read())).toEqual(write());
    fs.flush(file.nodeid, file.fh, 2);
    expect(fs.wait(second).error).toBeNull();
    expect(file.set(9, read())).toBe("EAGAIN");
  });

  test("flock waits, too", () => {
    const { fs } = shared;
    const file = create();
    const other = file.again();
    file.set(1, read(), true);
    const ticket = other.submit(2, write(), { flock: true });
    expectHeld(fs, ticket);
    ok(fs.release(file.nodeid, file.fh, { releaseFlags: RELEASE_FLOCK_UNLOCK, lockOwner: 1 }));
    expect(fs.wait(ticket).error).toBeNull();
  });

  test("a deadlock is refused", () => {
    const { fs } = shared;
    const file = create();
    file.set(1, write(0n, 0n));
    file.set(2, write(1n, 1n));
    const ticket = file.submit(1, write(1n, 1n));
    expectHeld(fs, ticket);
    expect(fs.wait(file.submit(2, write(0n, 0n))).error).toBe("EDEADLK");
    file.set(2, unlock());
    expect(fs.wait(ticket).error).toBeNull();
  });

  test("INTERRUPT ends the waiting", () => {
    const { fs } = shared;
    const file = create();
    file.set(1, write());
    const ticket = file.submit(2, write());
    const other = file.submit(3, write());
    // An answer on their queue: both have been taken, which INTERRUPT on hiprio could overtake.
    expectServes(fs);
    fs.interrupt(ticket);
    expect(fs.wait(ticket).error).toBe("EINTR");
    expectHeld(fs, other);
    file.set(1, unlock());
    expect(fs.wait(other).error).toBeNull();
  });

  test("RELEASE of the handle ends the waiting through it", () => {
    const { fs } = shared;
    const file = create();
    const other = file.again();
    file.set(1, write());
    const ticket = other.submit(2, write());
    ok(fs.release(other.nodeid, other.fh));
    expect(fs.wait(ticket).error).toBe("EBADF");
    file.set(1, unlock());
    expect(file.set(9, write())).toBeNull();
  });
});

describe("held lock requests and the device", () => {
  test("a second INIT answers them and frees all locks", async () => {
    const fs = await mount();
    const file = LockedFile.create(fs, "file");
    file.set(1, write());
    const ticket = file.submit(2, write());
    expectHeld(fs, ticket);
    ok(fs.init());
    expect(fs.wait(ticket).error).toBe("EIO");
    const { nodeid } = ok(fs.lookup(ROOT, "file"));
    const { fh } = ok(fs.open(nodeid, Open.RDWR));
    expect(fs.setlk(nodeid, fh, 3, write()).error).toBeNull();
  });

  test("outlast a stop of their queue, which does not wait for them", async () => {
    const fs = await mount();
    const file = LockedFile.create(fs, "file");
    file.set(1, write());
    const first = file.submit(2, write());
    const second = file.submit(3, write());
    expectServes(fs);
    const { queue } = first;
    for (let round = 0; round < 3; round++) {
      expect(fs.frontend.stopQueue(queue)).toBe(queue.serverUsedIndex + 2);
      fs.frontend.startQueue(queue);
      expectServes(fs);
    }
    expectHeld(fs, first, second);
    file.set(1, unlock());
    expect(fs.wait(first).error).toBeNull();
    fs.flush(file.nodeid, file.fh, 2);
    expect(fs.wait(second).error).toBeNull();
    expect(file.get(9, read())).toEqual(write());
  });

  test("a pause of the virtual machine, memory shared anew, leaves them waiting", async () => {
    const fs = await mount({ memorySlots: false });
    const file = LockedFile.create(fs, "file");
    file.set(1, write());
    const ticket = file.submit(2, write());
    expectServes(fs);
    for (const queue of fs.frontend.queues) fs.frontend.stopQueue(queue);
    fs.frontend.shareMemory();
    fs.frontend.startQueues();
    expectHeld(fs, ticket);
    file.set(1, unlock());
    expect(fs.wait(ticket).error).toBeNull();
  });

  test("one that gets its lock while its queue is stopped is answered when it starts", async () => {
    const fs = await mount({ requestQueues: 2 });
    const file = LockedFile.create(fs, "file");
    file.set(1, write());
    const ticket = file.submit(2, write());
    expectServes(fs);
    const { queue } = ticket;
    fs.frontend.stopQueue(queue);
    const used = queue.serverUsedIndex;
    expect(fs.wait(file.submit(1, unlock(), { queue: 2 })).error).toBeNull();
    expectServes(fs, 2);
    expect(queue.serverUsedIndex).toBe(used);
    fs.frontend.startQueue(queue);
    expect(fs.wait(ticket).error).toBeNull();
    expect(file.set(9, read())).toBe("EAGAIN");
  });

  test("a queue that starts anew hears nothing of them", async () => {
    const fs = await mount({ requestQueues: 2 });
    const file = LockedFile.create(fs, "file");
    file.set(1, write());
    const waiting = file.submit(2, write());
    const granted = file.submit(3, read(0n, 9n));
    expectServes(fs);
    fs.frontend.stopQueue(waiting.queue);
    expect(fs.wait(file.submit(1, unlock(0n, 9n), { queue: 2 })).error).toBeNull();
    waiting.queue.reset();
    fs.abandon();
    fs.frontend.startQueue(waiting.queue);
    expectServes(fs);
    expect(file.set(1, unlock())).toBeNull();
    expectServes(fs);
    expect(waiting.queue.serverUsedIndex).toBe(waiting.queue.availableIndex);
    expectHeld(fs, waiting, granted);
  });

  test("a reboot frees all locks", async () => {
    const fs = await mount();
    const file = LockedFile.create(fs, "file");
    file.set(1, write());
    for (let owner = 2; owner < 20; owner++) file.submit(owner, write());
    const begin = Date.now();
    fs.frontend.reboot();
    fs.abandon();
    ok(fs.init());
    expect(Date.now() - begin).toBeLessThan(2000);
    const { nodeid } = ok(fs.lookup(ROOT, "file"));
    const { fh } = ok(fs.open(nodeid, Open.RDWR));
    // The same owner number again: it is another owner now.
    expect(fs.setlk(nodeid, fh, 2, write()).error).toBeNull();
  });

  test("the server ends with 0 when the guest goes while some wait", async () => {
    const fs = await mount();
    const file = LockedFile.create(fs, "file");
    file.set(1, write());
    expectHeld(fs, file.submit(2, write()));
    expect(await fs.unmount()).toBe(0);
  });

  test.each([
    { indirect: true, ringSize: 128, held: 64 },
    { indirect: false, ringSize: 128, held: 21 },
    { indirect: true, ringSize: 1024, held: 512 },
  ])("leave descriptors to others: $held of $ringSize (indirect: $indirect)", async (options) => {
    const fs = await mount({ ...options, backend: "memory" });
    const file = LockedFile.create(fs, "file");
    file.set(1, write());
    const tickets: Ticket[] = [];
    for (let owner = 2; tickets.length < options.held; owner++) tickets.push(file.submit(owner, write()));
    expect(fs.wait(file.submit(5000, write())).error).toBe("ENOLCK");
    expectHeld(fs, tickets[0] as Ticket);
    file.set(1, unlock());
    for (const [index, ticket] of tickets.entries()) {
      expect(fs.wait(ticket).error).toBeNull();
      expect(file.set(2 + index, unlock())).toBeNull();
    }
  });

  test("cannot take all slots: with every ring full of them the share still answers", async () => {
    const queues = 5;
    const fs = await mount({
      backend: "memory",
      requestQueues: queues,
      ringSize: 1024,
      memoryBytes: 64 << 20,
    });
    const file = LockedFile.create(fs, "file");
    file.set(1, write());
    const tickets: Ticket[] = [];
    for (let index = 0; index < queues * 1000; index++) {
      tickets.push(file.submit(2 + index, read(), { queue: 1 + (index % queues) }));
    }
    for (let queue = 1; queue <= queues; queue++) expectServes(fs, queue);
    const refused = tickets.filter((ticket) => ticket.usedLength !== undefined);
    expect(new Set(refused.map((ticket) => fs.wait(ticket).error))).toEqual(new Set(["ENOLCK"]));
    const held = tickets.filter((ticket) => !refused.includes(ticket));
    expect(held).toHaveLength(1024);
    expect(file.set(1, unlock())).toBeNull();
    for (const ticket of held) expect(fs.wait(ticket).error).toBeNull();
  });
});
