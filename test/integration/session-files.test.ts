import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { Open, ok, ROOT, S_IFREG, Xattr } from "../support/frontend/index.js";
import { expectServes, makeFile, mount, useClient } from "../support/frontend-testing.js";

const MIB = 1 << 20;

describe.each(["passthrough", "memory"] as const)("files on %s", (backend) => {
  const shared = useClient({ backend, args: ["--xattr"], memoryBytes: 32 * MIB, ringSize: 512 });

  test("what was written is read, at any offset and length", () => {
    const { fs } = shared;
    const { nodeid, fh } = ok(fs.create(ROOT, "data"));
    const model = Buffer.alloc(300_000);
    for (const [offset, length] of [
      [0, 1],
      [1, 4095],
      [4096, 4096],
      [4097, 65_536],
      [100_001, 1],
      [200_000, 99_999],
      [131_071, 2],
    ] as const) {
      const data = randomBytes(length);
      data.copy(model, offset);
      expect(ok(fs.write(nodeid, fh, offset, data)).size).toBe(length);
    }
    const { size } = ok(fs.getattr(nodeid)).attr;
    expect(size).toBe(299_999);
    for (const [offset, length] of [
      [0, 300_000],
      [4095, 2],
      [99_999, 4],
      [299_998, 100],
      [299_999, 1],
      [400_000, 10],
    ] as const) {
      const { data } = ok(fs.read(nodeid, fh, offset, length));
      expect(data.equals(model.subarray(offset, Math.min(offset + length, size)))).toBe(true);
    }
    ok(fs.release(nodeid, fh));
  });

  test("a 1 MiB write and read in one request each", () => {
    const { fs } = shared;
    const { nodeid, fh } = ok(fs.create(ROOT, "megabyte"));
    const data = randomBytes(MIB);
    expect(ok(fs.write(nodeid, fh, 0, data, { segmentBytes: 4096 })).size).toBe(MIB);
    expect(ok(fs.read(nodeid, fh, 0, MIB, { segmentBytes: 4096 })).data.equals(data)).toBe(true);
    ok(fs.release(nodeid, fh));
  });

  test("a hole reads as zeros", () => {
    const { fs } = shared;
    const { nodeid, fh } = ok(fs.create(ROOT, "hole"));
    ok(fs.write(nodeid, fh, 100_000, "end"));
    expect(ok(fs.read(nodeid, fh, 50_000, 100)).data).toEqual(Buffer.alloc(100));
    expect(ok(fs.getattr(nodeid)).attr.size).toBe(100_003);
    ok(fs.release(nodeid, fh));
  });

  test("truncate cuts and extends with zeros", () => {
    const { fs } = shared;
    const { nodeid, fh } = ok(fs.create(ROOT, "truncated"));
    ok(fs.write(nodeid, fh, 0, "0123456789"));
    expect(ok(fs.setattr(nodeid, { size: 4 })).attr.size).toBe(4);
    expect(ok(fs.setattr(nodeid, { size: 8 })).attr.size).toBe(8);
    expect(ok(fs.read(nodeid, fh, 0, 100)).data.toString("latin1")).toBe("0123\0\0\0\0");
    ok(fs.setattr(nodeid, { size: 0, fh }));
    expect(ok(fs.read(nodeid, fh, 0, 100)).data).toHaveLength(0);
    expect(fs.setattr(ROOT, { size: 0 }).error).toBeOneOf(["EISDIR", "EINVAL"]);
  });

  test("open flags are obeyed", () => {
    const { fs } = shared;
    const nodeid = makeFile(fs, "flags", "content");
    const reading = ok(fs.open(nodeid, Open.RDONLY));
    expect(fs.write(nodeid, reading.fh, 0, "x").error).toBe("EBADF");
    const writing = ok(fs.open(nodeid, Open.WRONLY));
    expect(ok(fs.write(nodeid, writing.fh, 0, "C")).size).toBe(1);
    const truncating = ok(fs.open(nodeid, Open.RDWR | Open.TRUNC));
    expect(ok(fs.getattr(nodeid)).attr.size).toBe(0);
    expect(fs.create(ROOT, "flags", Open.RDWR | Open.CREAT | Open.EXCL).error).toBe("EEXIST");
    const again = ok(fs.create(ROOT, "flags", Open.RDWR | Open.CREAT));
    expect(again.nodeid).toBe(nodeid);
    expect(fs.open(ROOT, Open.RDWR).error).toBe("EISDIR");
    for (const { fh } of [reading, writing, truncating, again]) ok(fs.release(nodeid, fh));
  });

  test("two handles see one file", () => {
    const { fs } = shared;
    const first = ok(fs.create(ROOT, "shared-file"));
    const second = ok(fs.open(first.nodeid, Open.RDWR));
    expect(second.fh).not.toBe(first.fh);
    ok(fs.write(first.nodeid, first.fh, 0, "from the first"));
    expect(ok(fs.read(first.nodeid, second.fh, 9, 5)).data.toString()).toBe("first");
    ok(fs.release(first.nodeid, first.fh));
    ok(fs.write(first.nodeid, second.fh, 0, "FROM"));
    expect(ok(fs.read(first.nodeid, second.fh, 0, 100)).data.toString()).toBe("FROM the first");
    ok(fs.release(first.nodeid, second.fh));
  });

  test("attributes change one by one", () => {
    const { fs } = shared;
    const nodeid = makeFile(fs, "attributes", "x");
    expect(ok(fs.setattr(nodeid, { mode: 0o4751 })).attr.mode).toBe(S_IFREG | 0o4751);
    expect(ok(fs.setattr(nodeid, { uid: 7 })).attr).toMatchObject({ uid: 7, gid: 0 });
    expect(ok(fs.setattr(nodeid, { gid: 8 })).attr).toMatchObject({ uid: 7, gid: 8 });
    const times = { atime: 1_000, atimeNsec: 1, mtime: 2_000_000_000, mtimeNsec: 999_999_999 };
    expect(ok(fs.setattr(nodeid, times)).attr).toMatchObject(times);
    expect(ok(fs.setattr(nodeid, { mtime: -5 })).attr.mtime).toBe(-5);
    const { attr } = ok(fs.setattr(nodeid, { mtime: "now" }));
    expect(attr.mtime).toBeGreaterThan(1_700_000_000);
    expect(attr.atime).toBe(1_000);
    expect(ok(fs.getattr(nodeid)).attr).toEqual(attr);
  });

  test("flush, fsync and fsyncdir succeed", () => {
    const { fs } = shared;
    const { nodeid, fh } = ok(fs.create(ROOT, "synced"));
    ok(fs.write(nodeid, fh, 0, "data"));
    expect(fs.flush(nodeid, fh).error).toBeOneOf([null, "ENOSYS"]);
    ok(fs.fsync(nodeid, fh));
    ok(fs.fsync(nodeid, fh, true));
    const directory = ok(fs.opendir(ROOT));
    expect(fs.fsyncdir(ROOT, directory.fh).error).toBeOneOf([null, "ENOSYS"]);
    ok(fs.releasedir(ROOT, directory.fh));
    ok(fs.release(nodeid, fh));
  });

  test("extended attributes", () => {
    const { fs } = shared;
    const nodeid = makeFile(fs, "extended");
    expect(fs.getxattr(nodeid, "user.a").error).toBe("ENODATA");
    ok(fs.setxattr(nodeid, "user.a", "one"));
    ok(fs.setxattr(nodeid, "user.b", Buffer.from([0, 1, 255])));
    ok(fs.setxattr(nodeid, "user.empty", ""));
    expect(ok(fs.getxattr(nodeid, "user.a")).value.toString()).toBe("one");
    expect(ok(fs.getxattr(nodeid, "user.b")).value).toEqual(Buffer.from([0, 1, 255]));
    expect(ok(fs.getxattr(nodeid, "user.empty")).value).toHaveLength(0);
    expect(ok(fs.getxattrSize(nodeid, "user.a")).size).toBe(3);
    expect(fs.getxattr(nodeid, "user.a", 2).error).toBe("ERANGE");
    const { names } = ok(fs.listxattr(nodeid));
    expect(names.filter((name) => name.startsWith("user.")).sort()).toEqual([
      "user.a",
      "user.b",
      "user.empty",
    ]);
    expect(ok(fs.listxattrSize(nodeid)).size).toBe(names.join("").length + names.length);
    expect(fs.listxattr(nodeid, 3).error).toBe("ERANGE");
    expect(fs.setxattr(nodeid, "user.a", "two", Xattr.CREATE).error).toBe("EEXIST");
    expect(fs.setxattr(nodeid, "user.c", "two", Xattr.REPLACE).error).toBe("ENODATA");
    ok(fs.setxattr(nodeid, "user.a", "two", Xattr.REPLACE));
    ok(fs.removexattr(nodeid, "user.a"));
    expect(fs.removexattr(nodeid, "user.a").error).toBe("ENODATA");
  });

  test("statfs describes the file system", () => {
    const statistics = ok(shared.fs.statfs());
    expect(statistics.nameLength).toBe(255);
    expect(statistics.blocks).toBeGreaterThan(0);
    expect(statistics.blocksFree).toBeLessThanOrEqual(statistics.blocks);
    expect(statistics.fragmentSize).toBeGreaterThan(0);
  });
});

describe("options of a share", () => {
  test("without --xattr extended attributes are off", async () => {
    const fs = await mount();
    const nodeid = makeFile(fs, "file");
    expect(fs.setxattr(nodeid, "user.a", "x").error).toBeOneOf(["ENOSYS", "EOPNOTSUPP"]);
    expect(fs.getxattr(nodeid, "user.a").error).toBeOneOf(["ENOSYS", "EOPNOTSUPP"]);
    expect(fs.listxattr(nodeid).error).toBeOneOf(["ENOSYS", "EOPNOTSUPP"]);
  });

  test("a memory share of a given size is full at that size, and free again", async () => {
    const fs = await mount({ backend: "memory", size: "4MiB" });
    const statistics = ok(fs.statfs());
    expect(statistics.blocks * statistics.fragmentSize).toBe(4 * MIB);
    const { nodeid, fh } = ok(fs.create(ROOT, "full"));
    const piece = randomBytes(65_536);
    let written = 0;
    let result = fs.write(nodeid, fh, 0, piece);
    while (result.error === null && written < 8 * MIB) {
      written += result.size;
      result = fs.write(nodeid, fh, written, piece);
    }
    expect(result.error).toBe("ENOSPC");
    expect(written).toBeLessThanOrEqual(4 * MIB);
    expect(written).toBeGreaterThan(3 * MIB);
    expect(ok(fs.read(nodeid, fh, 65_536, 65_536)).data.equals(piece)).toBe(true);
    ok(fs.setattr(nodeid, { size: 0 }));
    expect(ok(fs.write(nodeid, fh, 0, piece)).size).toBe(65_536);
    ok(fs.unlink(ROOT, "full"));
    ok(fs.release(nodeid, fh));
    fs.forget(nodeid);
    expect(ok(fs.statfs()).blocksFree).toBeGreaterThan(statistics.blocksFree - 16);
  });

  test("--readonly refuses every change", async () => {
    const sharedDir = mkdtempSync(join(tmpdir(), "readonly-"));
    onTestFinished(() => rmSync(sharedDir, { recursive: true }));
    writeFileSync(join(sharedDir, "file"), "content");
    mkdirSync(join(sharedDir, "directory"));
    const fs = await mount({ sharedDir, args: ["--readonly", "--xattr"] });
    const { nodeid } = ok(fs.lookup(ROOT, "file"));
    const { fh } = ok(fs.open(nodeid, Open.RDONLY));
    expect(ok(fs.read(nodeid, fh, 0, 100)).data.toString()).toBe("content");
    expect(fs.list(ROOT)).toHaveLength(4);
    const changes = [
      fs.open(nodeid, Open.RDWR),
      fs.open(nodeid, Open.RDONLY | Open.TRUNC),
      fs.create(ROOT, "new"),
      fs.mkdir(ROOT, "new"),
      fs.mknod(ROOT, "new", S_IFREG),
      fs.symlink(ROOT, "new", "x"),
      fs.link(nodeid, ROOT, "new"),
      fs.unlink(ROOT, "file"),
      fs.rmdir(ROOT, "directory"),
      fs.rename(ROOT, "file", ROOT, "new"),
      fs.rename2(ROOT, "file", ROOT, "directory", 2),
      fs.setattr(nodeid, { mode: 0o600 }),
      fs.setattr(nodeid, { size: 0 }),
      fs.setxattr(nodeid, "user.a", "x"),
      fs.removexattr(nodeid, "user.a"),
    ];
    expect(changes.map(({ error }) => error)).toEqual(changes.map(() => "EROFS"));
    expect(fs.write(nodeid, fh, 0, "x").error).toBeOneOf(["EROFS", "EBADF"]);
    expect(fs.fallocate(nodeid, fh, 0, 10).error).not.toBeNull();
    expectServes(fs);
  });

  test("--readonly works on a memory share", async () => {
    const fs = await mount({ backend: "memory", args: ["--readonly"] });
    expect(fs.create(ROOT, "new").error).toBe("EROFS");
    expect(fs.mkdir(ROOT, "new").error).toBe("EROFS");
    expectServes(fs);
  });
});
