import { FLOCK, LOCK, O } from "../support/actor.js";
import { equal, fails, outcomeOf, same } from "../support/assertions.js";
import { type Group, group } from "../support/cases.js";

const NOW = FLOCK.NONBLOCK;
const KINDS = [
  { name: "shared", type: LOCK.READ, flock: FLOCK.SHARED },
  { name: "exclusive", type: LOCK.WRITE, flock: FLOCK.EXCLUSIVE },
] as const;

const ranges = group(
  "byte-range locks",
  (add) => {
    for (const first of KINDS) {
      for (const second of KINDS) {
        const free = first.type === LOCK.READ && second.type === LOCK.READ;
        add(`${second.name} beside ${first.name}: ${free ? "ok" : "EAGAIN"}`, ({ root, process }) => {
          root.create("f", "contents");
          const other = process("other");
          const [a, b] = [root.open("f", O.RDWR), other.open("f", O.RDWR)];
          root.lock(a, first.type, 10, 10);
          equal(
            outcomeOf(() => other.lock(b, second.type, 15, 1)),
            free ? "ok" : "EAGAIN",
          );
          other.lock(b, second.type, 20, 10);
          other.lock(b, second.type, 0, 10);
        });
      }
    }
    add("are a process's own: the same process never conflicts", ({ root }) => {
      root.create("f");
      const [a, b] = [root.open("f", O.RDWR), root.open("f", O.RDWR)];
      root.lock(a, LOCK.WRITE);
      root.lock(b, LOCK.WRITE);
      root.lock(b, LOCK.READ, 5, 5);
    });
    add("F_GETLK tells what is in the way", ({ root, process }) => {
      root.create("f");
      const other = process("other");
      const [a, b] = [root.open("f", O.RDWR), other.open("f", O.RDWR)];
      root.lock(a, LOCK.WRITE, 100, 50);
      same(other.testLock(b, LOCK.READ, 0, 0), { type: LOCK.WRITE, start: 100, length: 50 });
      equal(other.testLock(b, LOCK.WRITE, 0, 100), undefined);
      equal(root.testLock(a, LOCK.WRITE, 100, 50), undefined);
    });
    add("unlocking the middle leaves both ends", ({ root, process }) => {
      root.create("f");
      const other = process("other");
      const [a, b] = [root.open("f", O.RDWR), other.open("f", O.RDWR)];
      root.lock(a, LOCK.WRITE, 0, 100);
      root.lock(a, LOCK.UNLOCK, 40, 20);
      other.lock(b, LOCK.WRITE, 40, 20);
      same(other.testLock(b, LOCK.WRITE, 0, 0), { type: LOCK.WRITE, start: 0, length: 40 });
      fails("EAGAIN", () => other.lock(b, LOCK.WRITE, 60, 1));
    });
    add("downgrading lets readers in", ({ root, process }) => {
      root.create("f");
      const other = process("other");
      const [a, b] = [root.open("f", O.RDWR), other.open("f", O.RDWR)];
      root.lock(a, LOCK.WRITE);
      fails("EAGAIN", () => other.lock(b, LOCK.READ));
      root.lock(a, LOCK.READ);
      other.lock(b, LOCK.READ);
      fails("EAGAIN", () => root.lock(a, LOCK.WRITE));
    });
    add("closing any descriptor of the file drops them", ({ root, process }) => {
      root.create("f");
      const other = process("other");
      const [a, b] = [root.open("f", O.RDWR), other.open("f", O.RDWR)];
      root.lock(a, LOCK.WRITE);
      const second = root.open("f");
      fails("EAGAIN", () => other.lock(b, LOCK.WRITE));
      root.close(second);
      other.lock(b, LOCK.WRITE);
    });
    add("a lock for writing takes a descriptor for writing: EBADF", ({ root }) => {
      root.create("f");
      fails("EBADF", () => root.lock(root.open("f", O.RDONLY), LOCK.WRITE));
      fails("EBADF", () => root.lock(root.open("f", O.WRONLY), LOCK.READ));
    });
    add("a waiting lock is granted when the way is free", ({ root, process }) => {
      root.create("f");
      const other = process("other");
      const [a, b] = [root.open("f", O.RDWR), other.open("f", O.RDWR)];
      root.lock(a, LOCK.WRITE, 0, 10);
      other.startLock(b, LOCK.WRITE, 5, 10);
      equal(other.finish(50), false);
      root.lock(a, LOCK.UNLOCK, 0, 10);
      equal(other.finish(5000), true);
      fails("EAGAIN", () => root.lock(a, LOCK.WRITE, 5, 1));
    });
    add("a waiting lock is granted when the holder closes", ({ root, process }) => {
      root.create("f");
      const other = process("other");
      const [a, b] = [root.open("f", O.RDWR), other.open("f", O.RDWR)];
      root.lock(a, LOCK.WRITE);
      other.startLock(b, LOCK.WRITE);
      equal(other.finish(50), false);
      root.close(a);
      equal(other.finish(5000), true);
    });
    add("three readers wait for one writer and come together", ({ root, process }) => {
      root.create("f");
      const holder = root.open("f", O.RDWR);
      root.lock(holder, LOCK.WRITE);
      const readers = ["a", "b", "c"].map((name) => process(name));
      for (const reader of readers) reader.startLock(reader.open("f"), LOCK.READ);
      same(
        readers.map((reader) => reader.finish(20)),
        [false, false, false],
      );
      root.lock(holder, LOCK.UNLOCK);
      same(
        readers.map((reader) => reader.finish(5000)),
        [true, true, true],
      );
    });
    add("locks reach beyond 4 GiB", ({ root, process }) => {
      root.create("f");
      const other = process("other");
      const [a, b] = [root.open("f", O.RDWR), other.open("f", O.RDWR)];
      root.lock(a, LOCK.WRITE, 5 * 2 ** 30, 10);
      other.lock(b, LOCK.WRITE, 2 ** 30, 10);
      fails("EAGAIN", () => other.lock(b, LOCK.WRITE, 5 * 2 ** 30 + 9, 1));
      fails("EAGAIN", () => other.lock(b, LOCK.WRITE, 3 * 2 ** 30, 0));
    });
    add("locks of different files are independent", ({ root, process }) => {
      root.create("f");
      root.create("g");
      const other = process("other");
      root.lock(root.open("f", O.RDWR), LOCK.WRITE);
      other.lock(other.open("g", O.RDWR), LOCK.WRITE);
    });
    add("a lock follows the file, not the name", ({ root, process }) => {
      root.create("f");
      root.lock(root.open("f", O.RDWR), LOCK.WRITE);
      root.rename("f", "g");
      root.create("f");
      const other = process("other");
      other.lock(other.open("f", O.RDWR), LOCK.WRITE);
      fails("EAGAIN", () => other.lock(other.open("g", O.RDWR), LOCK.WRITE));
    });
  },
  ["fcntlLocks"],
);

const whole = group(
  "flock",
  (add) => {
    for (const first of KINDS) {
      for (const second of KINDS) {
        const free = first.type === LOCK.READ && second.type === LOCK.READ;
        add(`${second.name} beside ${first.name}: ${free ? "ok" : "EAGAIN"}`, ({ root, process }) => {
          root.create("f");
          const other = process("other");
          const [a, b] = [root.open("f"), other.open("f")];
          root.flock(a, first.flock | NOW);
          equal(
            outcomeOf(() => other.flock(b, second.flock | NOW)),
            free ? "ok" : "EAGAIN",
          );
        });
      }
    }
    add("two descriptors of one process conflict, copies of one do not", ({ root }) => {
      root.create("f");
      const [a, b] = [root.open("f"), root.open("f")];
      root.flock(a, FLOCK.EXCLUSIVE | NOW);
      fails("EAGAIN", () => root.flock(b, FLOCK.EXCLUSIVE | NOW));
      root.flock(root.dup(a), FLOCK.EXCLUSIVE | NOW);
    });
    add("closing the last copy drops it", ({ root }) => {
      root.create("f");
      const [a, b] = [root.open("f"), root.open("f")];
      const copy = root.dup(a);
      root.flock(a, FLOCK.EXCLUSIVE | NOW);
      root.close(a);
      fails("EAGAIN", () => root.flock(b, FLOCK.EXCLUSIVE | NOW));
      root.close(copy);
      root.flock(b, FLOCK.EXCLUSIVE | NOW);
    });
    add("unlocking lets the next one in", ({ root, process }) => {
      root.create("f");
      const other = process("other");
      const [a, b] = [root.open("f"), other.open("f")];
      root.flock(a, FLOCK.EXCLUSIVE | NOW);
      root.flock(a, FLOCK.UNLOCK);
      other.flock(b, FLOCK.EXCLUSIVE | NOW);
    });
    add("a waiting one is granted when the way is free", ({ root, process }) => {
      root.create("f");
      const other = process("other");
      const [a, b] = [root.open("f"), other.open("f")];
      root.flock(a, FLOCK.EXCLUSIVE | NOW);
      other.startFlock(b, FLOCK.SHARED);
      equal(other.finish(50), false);
      root.close(a);
      equal(other.finish(5000), true);
    });
    add("is independent of byte-range locks", ["fcntlLocks"], ({ root, process }) => {
      root.create("f");
      const other = process("other");
      root.flock(root.open("f"), FLOCK.EXCLUSIVE | NOW);
      other.lock(other.open("f", O.RDWR), LOCK.WRITE);
    });
  },
  ["flock"],
);

export const locks: readonly Group[] = [ranges, whole];
