import { readFileSync, statSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  FileType,
  ok,
  Rename,
  ROOT,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../support/frontend/index.js";
import { makeFile, mount, useClient } from "../support/frontend-testing.js";

describe.each(["passthrough", "memory"] as const)("names on %s", (backend) => {
  const shared = useClient({ backend, args: ["--xattr"] });

  test("a missing name is ENOENT", () => {
    expect(shared.fs.lookup(ROOT, "missing").error).toBe("ENOENT");
    expect(shared.fs.unlink(ROOT, "missing").error).toBe("ENOENT");
    expect(shared.fs.rmdir(ROOT, "missing").error).toBe("ENOENT");
    expect(shared.fs.rename(ROOT, "missing", ROOT, "other").error).toBe("ENOENT");
  });

  test("mkdir, lookup, rmdir", () => {
    const { fs } = shared;
    const before = ok(fs.getattr(ROOT)).attr.nlink;
    const made = ok(fs.mkdir(ROOT, "directory", 0o750));
    expect(made.attr.mode).toBe(S_IFDIR | 0o750);
    expect(made.attr.nlink).toBe(2);
    expect(ok(fs.getattr(ROOT)).attr.nlink).toBe(before + 1);
    expect(ok(fs.lookup(ROOT, "directory")).nodeid).toBe(made.nodeid);
    expect(fs.mkdir(ROOT, "directory").error).toBe("EEXIST");
    expect(fs.unlink(ROOT, "directory").error).toBeOneOf(["EISDIR", "EPERM"]);
    ok(fs.mkdir(made.nodeid, "inner"));
    expect(fs.rmdir(ROOT, "directory").error).toBe("ENOTEMPTY");
    ok(fs.rmdir(made.nodeid, "inner"));
    ok(fs.rmdir(ROOT, "directory"));
    expect(ok(fs.getattr(ROOT)).attr.nlink).toBe(before);
  });

  test("mknod makes files and pipes", () => {
    const { fs } = shared;
    expect(ok(fs.mknod(ROOT, "regular", S_IFREG | 0o640)).attr.mode).toBe(S_IFREG | 0o640);
    expect(ok(fs.mknod(ROOT, "pipe", S_IFIFO | 0o600)).attr.mode).toBe(S_IFIFO | 0o600);
    expect(fs.mknod(ROOT, "pipe", S_IFREG | 0o600).error).toBe("EEXIST");
  });

  test("the umask applies to what is made", () => {
    const { fs } = shared;
    expect(ok(fs.mkdir(ROOT, "masked-directory", 0o777, 0o027)).attr.mode & 0o777).toBe(0o750);
    expect(ok(fs.mknod(ROOT, "masked-node", S_IFREG | 0o666, 0, 0o077)).attr.mode & 0o777).toBe(0o600);
    expect(ok(fs.create(ROOT, "masked-file", 2, 0o666, 0o022)).attr.mode & 0o777).toBe(0o644);
  });

  test("what is made belongs to the caller", () => {
    const { fs } = shared;
    const { nodeid } = ok(fs.mkdir(ROOT, "open-to-all", 0o777));
    ok(fs.setattr(nodeid, { mode: 0o777 }));
    const owner = { uid: 1234, gid: 4321 };
    const made = fs.as(owner, () => [
      ok(fs.mkdir(nodeid, "directory")).attr,
      ok(fs.create(nodeid, "file")).attr,
      ok(fs.symlink(nodeid, "link", "file")).attr,
      ok(fs.mknod(nodeid, "node", S_IFREG | 0o600)).attr,
    ]);
    for (const { uid, gid } of made) expect([uid, gid]).toEqual([1234, 4321]);
  });

  test("symlink and readlink", () => {
    const { fs } = shared;
    const link = ok(fs.symlink(ROOT, "link", "some/where"));
    expect(link.attr.mode & S_IFMT).toBe(S_IFLNK);
    expect(link.attr.size).toBe(10);
    expect(ok(fs.readlink(link.nodeid)).target).toBe("some/where");
    expect(fs.readlink(ROOT).error).toBeOneOf(["EINVAL", "ENOENT"]);
    expect(fs.symlink(ROOT, "link", "x").error).toBe("EEXIST");
  });

  test("link", () => {
    const { fs } = shared;
    const nodeid = makeFile(fs, "one", "content");
    const second = ok(fs.link(nodeid, ROOT, "two"));
    expect(second.nodeid).toBe(nodeid);
    expect(second.attr.nlink).toBe(2);
    expect(fs.link(nodeid, ROOT, "two").error).toBe("EEXIST");
    ok(fs.unlink(ROOT, "one"));
    expect(ok(fs.getattr(nodeid)).attr.nlink).toBe(1);
    expect(ok(fs.lookup(ROOT, "two")).nodeid).toBe(nodeid);
    const { nodeid: directory } = ok(fs.mkdir(ROOT, "no-links"));
    expect(fs.link(directory, ROOT, "hard").error).toBe("EPERM");
  });

  test("rename keeps the node and replaces its target", () => {
    const { fs } = shared;
    const nodeid = makeFile(fs, "from", "moved");
    makeFile(fs, "to", "replaced");
    const { nodeid: directory } = ok(fs.mkdir(ROOT, "rename-to"));
    ok(fs.rename(ROOT, "from", ROOT, "to"));
    expect(fs.lookup(ROOT, "from").error).toBe("ENOENT");
    expect(ok(fs.lookup(ROOT, "to"))).toMatchObject({ nodeid, attr: { size: 5 } });
    ok(fs.rename(ROOT, "to", directory, "inside"));
    expect(ok(fs.lookup(directory, "inside")).nodeid).toBe(nodeid);
    expect(fs.rename(ROOT, "rename-to", directory, "itself").error).toBe("EINVAL");
    expect(fs.rename(directory, "inside", ROOT, "rename-to").error).toBeOneOf(["EISDIR", "ENOTEMPTY"]);
    const { nodeid: empty } = ok(fs.mkdir(ROOT, "empty"));
    expect(fs.rename(ROOT, "empty", ROOT, "rename-to").error).toBe("ENOTEMPTY");
    ok(fs.unlink(directory, "inside"));
    ok(fs.rename(ROOT, "empty", ROOT, "rename-to"));
    expect(ok(fs.lookup(ROOT, "rename-to")).nodeid).toBe(empty);
  });

  test("rename2 with NOREPLACE and EXCHANGE", () => {
    const { fs } = shared;
    const a = makeFile(fs, "exchange-a", "a");
    const b = makeFile(fs, "exchange-b", "bb");
    expect(fs.rename2(ROOT, "exchange-a", ROOT, "exchange-b", Rename.NOREPLACE).error).toBe("EEXIST");
    ok(fs.rename2(ROOT, "exchange-a", ROOT, "exchange-b", Rename.EXCHANGE));
    expect(ok(fs.lookup(ROOT, "exchange-a")).nodeid).toBe(b);
    expect(ok(fs.lookup(ROOT, "exchange-b")).nodeid).toBe(a);
    ok(fs.rename2(ROOT, "exchange-a", ROOT, "fresh", Rename.NOREPLACE));
    const both = Rename.NOREPLACE | Rename.EXCHANGE;
    expect(fs.rename2(ROOT, "fresh", ROOT, "exchange-b", both).error).toBe("EINVAL");
    expect(fs.rename2(ROOT, "fresh", ROOT, "missing", Rename.EXCHANGE).error).toBe("ENOENT");
  });

  test("an unlinked file lives on while it is open", () => {
    const { fs } = shared;
    const { nodeid, fh } = ok(fs.create(ROOT, "unlinked"));
    ok(fs.write(nodeid, fh, 0, "before"));
    ok(fs.unlink(ROOT, "unlinked"));
    expect(fs.lookup(ROOT, "unlinked").error).toBe("ENOENT");
    expect(ok(fs.getattr(nodeid, fh)).attr.nlink).toBe(0);
    ok(fs.write(nodeid, fh, 6, " and after"));
    expect(ok(fs.read(nodeid, fh, 0, 100)).data.toString()).toBe("before and after");
    ok(fs.setattr(nodeid, { size: 3, fh }));
    expect(ok(fs.read(nodeid, fh, 0, 100)).data.toString()).toBe("bef");
    ok(fs.release(nodeid, fh));
    fs.forget(nodeid);
  });

  test("a component that is no directory is ENOTDIR", () => {
    const { fs } = shared;
    const file = makeFile(fs, "plain-file");
    expect(fs.lookup(file, "x").error).toBe("ENOTDIR");
    expect(fs.create(file, "x").error).toBe("ENOTDIR");
    expect(fs.opendir(file).error).toBe("ENOTDIR");
    expect(fs.rmdir(ROOT, "plain-file").error).toBe("ENOTDIR");
  });
});

describe.each(["passthrough", "memory"] as const)("directories on %s", (backend) => {
  const shared = useClient({ backend });
  const NAMES = Array.from({ length: 1000 }, (_, i) => `entry-${i}-${"x".repeat(i % 100)}`);

  test("1000 entries are read in pieces of any size, each once", () => {
    const { fs } = shared;
    const { nodeid } = ok(fs.mkdir(ROOT, "many"));
    for (const name of NAMES) makeFileIn(nodeid, name);
    const expected = [".", "..", ...NAMES].sort();
    for (const size of [256, 1000, 4096, 65_536]) {
      expect(
        fs
          .list(nodeid, size)
          .map(({ name }) => name)
          .sort(),
      ).toEqual(expected);
      expect(
        fs
          .listPlus(nodeid, 512 + size)
          .map(({ name }) => name)
          .sort(),
      ).toEqual(expected);
    }
  });

  function makeFileIn(parent: bigint, name: string): void {
    const { nodeid, fh } = ok(shared.fs.create(parent, name));
    ok(shared.fs.release(nodeid, fh));
  }

  test("reading goes on from the offset of any entry", () => {
    const { fs } = shared;
    const { nodeid } = ok(fs.mkdir(ROOT, "offsets"));
    for (const name of NAMES.slice(0, 40)) makeFileIn(nodeid, name);
    const { fh } = ok(fs.opendir(nodeid));
    const all = ok(fs.readdir(nodeid, fh, 0, 65_536)).entries;
    expect(all).toHaveLength(42);
    all.forEach((entry, i) => {
      const rest = ok(fs.readdir(nodeid, fh, entry.off, 65_536)).entries;
      expect(rest.map(({ name }) => name)).toEqual(all.slice(i + 1).map(({ name }) => name));
    });
    ok(fs.releasedir(nodeid, fh));
  });

  test("types and nodes of entries", () => {
    const { fs } = shared;
    const { nodeid } = ok(fs.mkdir(ROOT, "kinds"));
    ok(fs.mkdir(nodeid, "directory"));
    ok(fs.symlink(nodeid, "link", "target"));
    makeFileIn(nodeid, "file");
    const types = new Map(fs.list(nodeid).map(({ name, type }) => [name, type]));
    expect(types.get("directory")).toBe(FileType.DIR);
    expect(types.get("link")).toBe(FileType.LNK);
    expect(types.get("file")).toBe(FileType.REG);
    for (const { name, entry, ino } of fs.listPlus(nodeid)) {
      if (name === "." || name === "..") continue;
      const found = ok(fs.lookup(nodeid, name));
      expect(entry.attr.ino).toBe(found.attr.ino);
      expect(ino).toBe(found.attr.ino);
      expect(entry.nodeid).toBe(found.nodeid);
    }
  });

  test("READDIRPLUS counts as a lookup of each entry but . and ..", () => {
    const { fs } = shared;
    const { nodeid } = ok(fs.mkdir(ROOT, "counted"));
    makeFileIn(nodeid, "file");
    const created = ok(fs.lookup(nodeid, "file")).nodeid;
    fs.forget(created, 2);
    const file = fs.listPlus(nodeid).find(({ name }) => name === "file");
    ok(fs.getattr(file?.entry.nodeid ?? 0n));
    fs.forget(file?.entry.nodeid ?? 0n, 1);
    expect(fs.getattr(file?.entry.nodeid ?? 0n).error).not.toBeNull();
  });
});

describe("a passthrough share and its host", () => {
  test("each sees what the other does", async () => {
    const fs = await mount();
    makeFile(fs, "from-guest", "guest");
    expect(readFileSync(fs.hostPath("from-guest"), "utf8")).toBe("guest");
    const { ino, size } = statSync(fs.hostPath("from-guest"));
    expect(ok(fs.lookup(ROOT, "from-guest")).attr).toMatchObject({ ino: BigInt(ino), size });
  });
});
