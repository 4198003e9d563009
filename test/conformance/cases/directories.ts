import { type Actor, type DirectoryEntry, O } from "../support/actor.js";
import { equal, fails, holds, same } from "../support/assertions.js";
import { type Group, group } from "../support/cases.js";

function fill(root: Actor, count: number): string[] {
  root.mkdir("d");
  const names = Array.from({ length: count }, (_, i) => `entry-${i}`);
  for (const name of names) root.create(`d/${name}`);
  return names.sort();
}

const counted = (entries: readonly DirectoryEntry[], name: string) =>
  entries.filter((entry) => entry.name === name).length;

/** Reads on from the descriptor's position to the end. */
function rest(root: Actor, fd: number, bytes: number): DirectoryEntry[] {
  const all: DirectoryEntry[] = [];
  for (let part = root.getdents(fd, bytes); part.length > 0; part = root.getdents(fd, bytes))
    all.push(...part);
  return all;
}

const listing = group("listing directories", (add) => {
  add('an empty directory has "." and ".."', ({ root }) => {
    root.mkdir("d");
    const names = root.getdents(root.open("d", O.DIRECTORY)).map(({ name }) => name);
    same(names.sort(), [".", ".."]);
  });
  for (const count of [1, 10, 100, 1000]) {
    for (const bytes of [300, 4096, 65536]) {
      add(`${count} entries in pieces of ${bytes} bytes`, ({ root }) => {
        const names = fill(root, count);
        same(root.list("d", bytes), names);
      });
    }
  }
  add("a buffer that holds no entry is EINVAL", ["kernel"], ({ root }) => {
    root.mkdir("d");
    fails("EINVAL", () => root.getdents(root.open("d", O.DIRECTORY), 8));
  });
  add("a file cannot be listed: ENOTDIR", ({ root }) => {
    root.create("f");
    fails("ENOTDIR", () => root.getdents(root.open("f")));
  });
  add("the end stays the end", ({ root }) => {
    fill(root, 3);
    const fd = root.open("d", O.DIRECTORY);
    rest(root, fd, 4096);
    same(root.getdents(fd), []);
  });
  add("offsets of one listing are all different", ({ root }) => {
    fill(root, 200);
    const offsets = root.entries("d").map(({ offset }) => offset);
    equal(new Set(offsets).size, 200);
  });
  add("two descriptors list independently", ({ root }) => {
    const names = fill(root, 50);
    const [a, b] = [root.open("d", O.DIRECTORY), root.open("d", O.DIRECTORY)];
    const first = root.getdents(a, 400);
    const all = rest(root, b, 400);
    equal(all.length, names.length + 2);
    equal(first.length + rest(root, a, 400).length, names.length + 2);
  });
});

const seeking = group("telldir and seekdir", (add) => {
  add("rewinding shows what has been made since", ({ root }) => {
    fill(root, 5);
    const fd = root.open("d", O.DIRECTORY);
    rest(root, fd, 4096);
    root.create("d/new");
    root.lseek(fd, 0);
    equal(counted(rest(root, fd, 4096), "new"), 1);
  });
  for (const index of [0, 1, 17, 60, 98]) {
    add(`going back behind entry ${index} of 100 shows the rest again`, ({ root }) => {
      fill(root, 100);
      const fd = root.open("d", O.DIRECTORY);
      const all = rest(root, fd, 500);
      root.lseek(fd, all[index]?.offset ?? 0n);
      same(
        rest(root, fd, 500).map(({ name }) => name),
        all.slice(index + 1).map(({ name }) => name),
      );
    });
  }
  add("an offset works in another descriptor", ["lastingOffsets"], ({ root }) => {
    fill(root, 100);
    const [a, b] = [root.open("d", O.DIRECTORY), root.open("d", O.DIRECTORY)];
    const all = rest(root, a, 4096);
    root.lseek(b, all[49]?.offset ?? 0n);
    equal(rest(root, b, 4096).length, all.length - 50);
  });
  add("an offset works after the directory was closed and opened", ["lastingOffsets"], ({ root }) => {
    fill(root, 100);
    const fd = root.open("d", O.DIRECTORY);
    const all = rest(root, fd, 4096);
    root.close(fd);
    const again = root.open("d", O.DIRECTORY);
    root.lseek(again, all[80]?.offset ?? 0n);
    same(
      rest(root, again, 4096).map(({ name }) => name),
      all.slice(81).map(({ name }) => name),
    );
  });
});

const changing = group("listing while others create and delete", (add) => {
  for (const bytes of [300, 1000]) {
    add(`what stays is seen exactly once when the rest is deleted (${bytes} bytes)`, ({ root }) => {
      fill(root, 200);
      const fd = root.open("d", O.DIRECTORY);
      const seen = root.getdents(fd, bytes);
      for (let i = 0; i < 200; i += 2) root.unlink(`d/entry-${i}`);
      seen.push(...rest(root, fd, bytes));
      for (let i = 1; i < 200; i += 2) equal(counted(seen, `entry-${i}`), 1, `entry-${i}`);
    });
    add(`what was there is seen exactly once when more is made (${bytes} bytes)`, ({ root }) => {
      const names = fill(root, 100);
      const fd = root.open("d", O.DIRECTORY);
      const seen = root.getdents(fd, bytes);
      for (let i = 0; i < 100; i++) root.create(`d/new-${i}`);
      seen.push(...rest(root, fd, bytes));
      for (const name of names) equal(counted(seen, name), 1, name);
      for (let i = 0; i < 100; i++) holds(counted(seen, `new-${i}`) <= 1, `new-${i}`);
    });
    add(`deleting each piece as it is listed leaves nothing (${bytes} bytes)`, ({ root }) => {
      fill(root, 150);
      const fd = root.open("d", O.DIRECTORY);
      for (let part = root.getdents(fd, bytes); part.length > 0; part = root.getdents(fd, bytes)) {
        for (const { name } of part) if (!name.startsWith(".")) root.unlink(`d/${name}`);
      }
      same(root.list("d"), []);
      root.rmdir("d");
    });
    add(`a file renamed while listing is seen at most once by each name (${bytes} bytes)`, ({ root }) => {
      const names = fill(root, 100);
      const fd = root.open("d", O.DIRECTORY);
      const seen = root.getdents(fd, bytes);
      root.rename("d/entry-50", "d/renamed");
      seen.push(...rest(root, fd, bytes));
      for (const name of [...names, "renamed"]) holds(counted(seen, name) <= 1, name);
      for (const name of names) if (name !== "entry-50") equal(counted(seen, name), 1, name);
    });
    add(`an offset of a deleted entry goes on behind it (${bytes} bytes)`, ({ root }) => {
      fill(root, 60);
      const fd = root.open("d", O.DIRECTORY);
      const all = rest(root, fd, bytes);
      const at = all.findIndex(({ name }) => name === "entry-30");
      root.unlink("d/entry-30");
      root.lseek(fd, all[at]?.offset ?? 0n);
      same(
        rest(root, fd, bytes).map(({ name }) => name),
        all.slice(at + 1).map(({ name }) => name),
      );
    });
  }
});

const CLIENTS = Array.from({ length: 8 }, (_, i) => `client-${i}`);
const ROUNDS = 24;

const together = group("8 clients at once", (add) => {
  for (const where of ["one directory", "a directory each"]) {
    add(`in ${where}: what each has left is there, and nothing else`, ["hardLinks"], ({ root, process }) => {
      const directory = (client: string) => (where === "one directory" ? "d" : `d/${client}`);
      root.mkdir("d");
      if (where !== "one directory") for (const client of CLIENTS) root.mkdir(directory(client));
      for (const client of CLIENTS) process(client).startChurn(client, directory(client), ROUNDS);
      for (const client of CLIENTS) equal(process(client).finish(30_000), true, client);
      for (const client of CLIENTS) {
        const mine = root.list(directory(client)).filter((name) => name.startsWith(`${client}`));
        const wanted = Array.from({ length: ROUNDS / 2 }, (_, i) => `${client}-${2 * i + 1}`);
        same(mine, wanted.sort());
        for (const name of mine) {
          const { nlink, size } = root.stat(`${directory(client)}/${name}`);
          same([nlink, size], [1, 1]);
        }
      }
      if (where === "one directory") equal(root.list("d").length, (CLIENTS.length * ROUNDS) / 2);
    });
  }
  add("one name: exactly one of 8 makes it", ({ root, process }) => {
    for (let round = 0; round < 5; round++) {
      const made = CLIENTS.filter((client) => {
        try {
          process(client).create(`f-${round}`, client);
          return true;
        } catch {
          return false;
        }
      });
      equal(made.length, 1);
      equal(root.contents(`f-${round}`), made[0]);
    }
  });
});

export const directories: readonly Group[] = [listing, seeking, changing, together];
