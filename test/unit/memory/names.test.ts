import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  ENXIO,
  EPERM,
} from "../../../src/vfs/errno.js";
import { MemoryShare, O_EXCL, O_RDWR, ROOT, USER } from "./memory-share.js";

const NOREPLACE = 1;
const EXCHANGE = 2;
const WHITEOUT = 4;

let share: MemoryShare;
beforeEach(() => {
  share = new MemoryShare();
});
afterEach(() => {
  share.stop();
});

describe("names", () => {
  it("are found, also when they are not UTF-8", () => {
    const node = share.mknod("caf\xe9");
    expect(share.lookup("caf\xe9")).toBe(node);
    expect(share.missing("cafe")).toBe(-ENOENT);
    expect(share.missing("x", node)).toBe(-ENOTDIR);
  });

  it("are refused in Linux' order", () => {
    const { backend, root, out } = share;
    const file = share.mknod("file");
    const directory = share.mkdir("directory");
    share.mknod("inside", directory);
    expect(backend.mkdir(ROOT, root, "file", 0o755, out)).toBe(-EEXIST);
    expect(backend.mkdir(ROOT, file, "x", 0o755, out)).toBe(-ENOTDIR);
    expect(backend.mknod(ROOT, root, "x", 0o040755, 0, out)).toBe(-EPERM);
    expect(backend.mknod(ROOT, root, "x", 0o120755, 0, out)).toBe(-EINVAL);
    expect(backend.unlink(ROOT, root, "directory")).toBe(-EISDIR);
    expect(backend.unlink(ROOT, root, "nothing")).toBe(-ENOENT);
    expect(backend.rmdir(ROOT, root, "file")).toBe(-ENOTDIR);
    expect(backend.rmdir(ROOT, root, "directory")).toBe(-ENOTEMPTY);
    expect(backend.link(ROOT, directory, root, "file", out)).toBe(-EEXIST);
    expect(backend.link(ROOT, directory, root, "x", out)).toBe(-EPERM);
    expect(backend.create(ROOT, root, "file", O_RDWR | O_EXCL, 0o644, out)).toBe(-EEXIST);
    expect(backend.create(ROOT, root, "directory", O_RDWR, 0o644, out)).toBe(-EISDIR);
    expect(backend.readlink(ROOT, file)).toBe(-EINVAL);
    expect(backend.opendir(ROOT, file)).toBe(-ENOTDIR);
    expect(backend.open(ROOT, directory, 0)).toBe(-EISDIR);
    expect(backend.open(ROOT, share.symlink("link", "file"), 0)).toBe(-ELOOP);
    expect(backend.open(ROOT, share.mknod("fifo", root, 0o010644), 0)).toBe(-ENXIO);
  });

  it("keep special files as they were made", () => {
    const result = share.backend.mknod(USER, share.root, "device", 0o060640, 0x803, share.out);
    expect(typeof result).toBe("object");
    expect(share.stat(share.lookup("device"))).toMatchObject({
      mode: 0o060640,
      rdev: 0x803,
      uid: 1000,
      nlink: 1,
    });
    expect(share.list(share.root).at(-1)).toMatchObject({ name: "device", type: 6 });
  });

  it("count links", () => {
    const before = share.stat(share.root).nlink;
    const directory = share.mkdir("directory");
    expect(share.stat(share.root).nlink).toBe(before + 1);
    expect(share.stat(share.mkdir("sub", directory)).nlink).toBe(2);
    expect(share.stat(directory)).toMatchObject({ nlink: 3, size: 60 });
    const file = share.mknod("file");
    expect(share.backend.link(ROOT, file, directory, "second", share.out)).toBe(file);
    expect(share.stat(file).nlink).toBe(2);
    expect(share.backend.unlink(ROOT, share.root, "file")).toBe(0);
    expect(share.stat(file).nlink).toBe(1);
    expect(share.backend.rmdir(ROOT, directory, "sub")).toBe(0);
    expect(share.stat(directory).nlink).toBe(2);
  });

  it("do not come back to a directory that was removed", () => {
    const directory = share.mkdir("directory");
    const handle = share.backend.opendir(ROOT, directory);
    expect(share.backend.rmdir(ROOT, share.root, "directory")).toBe(0);
    expect(share.stat(directory).nlink).toBe(0);
    expect(share.backend.mkdir(ROOT, directory, "x", 0o755, share.out)).toBe(-ENOENT);
    expect(share.backend.link(ROOT, share.mknod("f"), directory, "x", share.out)).toBe(-ENOENT);
    expect(share.rename("f", "x", 0, share.root, directory)).toBe(-ENOENT);
    expect(() => share.list(directory)).toThrow("errno 2");
    expect(typeof handle).toBe("object");
  });

  it("cannot be given to a file that has none left", () => {
    const file = share.mknod("file");
    share.backend.unlink(ROOT, share.root, "file");
    expect(share.backend.link(ROOT, file, share.root, "again", share.out)).toBe(-ENOENT);
  });

  it("of symbolic links lead to their targets", () => {
    const long = "\xff/".repeat(2000);
    const short = share.symlink("short", "a/b");
    expect(share.backend.readlink(ROOT, short)).toBe("a/b");
    expect(share.stat(short)).toMatchObject({ mode: 0o120777, size: 3, blocks: 0 });
    const node = share.symlink("long", long);
    expect(share.backend.readlink(ROOT, node)).toBe(long);
    expect(share.stat(node)).toMatchObject({ size: 4000, blocks: 8 });
  });
});

describe("owners of new files", () => {
  it("are the caller's, and the directory's group below S_ISGID", () => {
    const plain = share.mkdir("plain", share.root, 0o777);
    expect(share.stat(share.mknod("f", plain, 0o100644, USER))).toMatchObject({ uid: 1000, gid: 1000 });
    const directory = share.mkdir("group", share.root, 0o2777);
    share.setattr(directory, { valid: 4, gid: 50 });
    share.setattr(directory, { valid: 1, mode: 0o2777 });
    const sub = share.mkdir("sub", directory, 0o755, USER);
    expect(share.stat(sub)).toMatchObject({ uid: 1000, gid: 50, mode: 0o042755 });
    const outside = share.mknod("f", directory, 0o102755, USER);
    expect(share.stat(outside)).toMatchObject({ gid: 50, mode: 0o100755 });
    const member = share.mknod("g", directory, 0o102755, { ...USER, supplementaryGroup: 50 });
    expect(share.stat(member)).toMatchObject({ gid: 50, mode: 0o102755 });
    expect(share.stat(share.mknod("h", directory, 0o102644, USER)).mode).toBe(0o102644);
  });
});

describe("rename", () => {
  it("moves and replaces", () => {
    const file = share.mknod("a");
    const directory = share.mkdir("d");
    expect(share.rename("a", "b", 0, share.root, directory)).toBe(0);
    expect(share.lookup("b", directory)).toBe(file);
    expect(share.missing("a")).toBe(-ENOENT);
    const old = share.mknod("old");
    expect(share.rename("b", "old", 0, directory, share.root)).toBe(0);
    expect(share.lookup("old")).toBe(file);
    expect(share.stat(old).nlink).toBe(0);
    expect(share.names(share.root)).toEqual([".", "..", "d", "old"]);
  });

  it("is refused in Linux' order", () => {
    share.mknod("f");
    const directory = share.mkdir("d");
    const sub = share.mkdir("sub", directory);
    share.mkdir("empty");
    expect(share.rename("nothing", "x")).toBe(-ENOENT);
    expect(share.rename("f", "d", NOREPLACE)).toBe(-EEXIST);
    expect(share.rename("f", "x", EXCHANGE)).toBe(-ENOENT);
    expect(share.rename("f", "x", NOREPLACE | EXCHANGE)).toBe(-EINVAL);
    expect(share.rename("f", "x", WHITEOUT | EXCHANGE)).toBe(-EINVAL);
    expect(share.rename("f", "x", 8)).toBe(-EINVAL);
    expect(share.rename("f", "empty")).toBe(-EISDIR);
    expect(share.rename("empty", "f")).toBe(-ENOTDIR);
    expect(share.rename("empty", "d")).toBe(-ENOTEMPTY);
    expect(share.rename("d", "x", 0, share.root, directory)).toBe(-EINVAL);
    expect(share.rename("d", "x", 0, share.root, sub)).toBe(-EINVAL);
    expect(share.rename("sub", "d", 0, directory, share.root)).toBe(-ENOTEMPTY);
    expect(share.rename("sub", "d", EXCHANGE, directory, share.root)).toBe(-EINVAL);
    expect(share.rename("f", "x", 0, share.root, share.lookup("f"))).toBe(-ENOTDIR);
  });

  it("keeps link counts and parents of directories", () => {
    const [from, to] = [share.mkdir("from"), share.mkdir("to")];
    const moved = share.mkdir("m", from);
    share.mkdir("m", to);
    expect(share.rename("m", "m", 0, from, to)).toBe(0);
    expect([share.stat(from).nlink, share.stat(to).nlink]).toEqual([2, 3]);
    expect(share.list(moved)[1]).toMatchObject({ name: "..", ino: share.stat(to).ino });
    share.mknod("file", from);
    expect(share.rename("m", "file", EXCHANGE, to, from)).toBe(0);
    expect([share.stat(from).nlink, share.stat(to).nlink]).toEqual([3, 2]);
    expect(share.lookup("file", from)).toBe(moved);
    expect(share.list(moved)[1]?.ino).toBe(share.stat(from).ino);
    expect(share.rename("file", "file", EXCHANGE, from, from)).toBe(0);
  });

  it("between two names of one file does nothing", () => {
    const file = share.mknod("a");
    share.backend.link(ROOT, file, share.root, "b", share.out);
    expect(share.rename("a", "b")).toBe(0);
    expect(share.names(share.root)).toEqual([".", "..", "a", "b"]);
    expect(share.stat(file).nlink).toBe(2);
  });

  it("leaves a whiteout", () => {
    share.mknod("a");
    expect(share.rename("a", "b", WHITEOUT)).toBe(0);
    expect(share.stat(share.lookup("a"))).toMatchObject({ mode: 0o020000, rdev: 0 });
  });
});

describe("a directory", () => {
  it("is read in pieces of any size, with and without attributes", () => {
    const directory = share.mkdir("d");
    const names = Array.from({ length: 300 }, (_, i) => `entry-${i}`);
    for (const name of names) {
      share.mknod(name, directory);
    }
    for (const [capacity, plus] of [
      [64, false],
      [4096, false],
      [256, true],
      [65_536, true],
    ] as const) {
      const listed = share.list(directory, capacity, plus);
      expect(listed.map(({ name }) => name)).toEqual([".", "..", ...names]);
    }
    const all = share.list(directory);
    const middle = all[150]?.offset ?? 0;
    expect(share.list(directory, 4096, false, middle)[0]).toEqual(all[151]);
    expect(share.inodes.size).toBe(302);
  });

  it("is met with every entry that stays while others change", () => {
    const directory = share.mkdir("d");
    for (let i = 0; i < 200; i++) {
      share.mknod(`n${i}`, directory);
    }
    const first = share.list(directory, 1024, false, 0, 1);
    for (let i = 0; i < 200; i += 2) {
      share.backend.unlink(ROOT, directory, `n${i}`);
      share.mknod(`new${i}`, directory);
    }
    const rest = share.list(directory, 1024, false, first.at(-1)?.offset ?? 0);
    const seen = [...first, ...rest].map(({ name }) => name);
    for (let i = 1; i < 200; i += 2) {
      expect(seen.filter((name) => name === `n${i}`)).toHaveLength(1);
    }
    expect(new Set(seen).size).toBe(seen.length);
  });
});
