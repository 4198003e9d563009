import { describe, expect, test } from "vitest";
import { Body, Falloc, Opcode, OUT_HEADER_BYTES, ok, ROOT, Seek } from "../support/frontend/index.js";
import { expectServes, makeFile, useClient } from "../support/frontend-testing.js";

const TOO_FAR = ["EINVAL", "EFBIG", "EOVERFLOW", "ENOSPC", "EIO"];
const HALF = 1n << 63n;
const LAST = (1n << 64n) - 1n;

describe.each(["passthrough", "memory"] as const)("numbers out of range on %s", (backend) => {
  const shared = useClient({ backend, args: ["--xattr"] });

  test("WRITE whose size is not that of its data is refused, or writes no more than there is", () => {
    const { fs } = shared;
    const { nodeid, fh } = ok(fs.create(ROOT, "lying"));
    for (const size of [5, 4096, 1 << 20, 0x7fff_ffff, 0xffff_ffff]) {
      const result = fs.write(nodeid, fh, 0, "data", { size });
      if (result.error === null) expect(result.size).toBeLessThanOrEqual(4);
      expect(ok(fs.getattr(nodeid)).attr.size).toBeLessThanOrEqual(4);
    }
    for (const size of [0, 3]) {
      const result = fs.write(nodeid, fh, 100, "data", { size });
      if (result.error === null) expect(result.size).toBeLessThanOrEqual(size);
    }
    expectServes(fs);
  });

  test("READ never returns more than the buffer that was offered", () => {
    const { fs } = shared;
    const { nodeid, fh } = ok(fs.create(ROOT, "large"));
    ok(fs.write(nodeid, fh, 0, Buffer.alloc(65_536, 1)));
    for (const size of [0, 1, 4096, 65_536, 1 << 20, 0x7fff_ffff, 0xffff_ffff]) {
      for (const capacity of [0, 1, 4095, 4096]) {
        const result = fs.read(nodeid, fh, 0, size, { capacity });
        if (result.error === null) expect(result.data.length).toBeLessThanOrEqual(capacity);
        else expect(result.error).toBeOneOf(["EINVAL", "EIO", "ERANGE", "E2BIG", "ENOMEM"]);
      }
    }
    expect(ok(fs.read(nodeid, fh, 0, 4096)).data).toEqual(Buffer.alloc(4096, 1));
  });

  test("READ at the ends of the offset's range", () => {
    const { fs } = shared;
    const { nodeid, fh } = ok(fs.create(ROOT, "offsets"));
    ok(fs.write(nodeid, fh, 0, "data"));
    for (const offset of [HALF - 1n, HALF - 100n, HALF, HALF + 1n, LAST - 1n, LAST]) {
      const result = fs.read(nodeid, fh, offset, 100);
      if (result.error === null) expect(result.data).toHaveLength(0);
      else expect(result.error).toBeOneOf(TOO_FAR);
    }
    expect(ok(fs.read(nodeid, fh, 2, 100)).data.toString()).toBe("ta");
  });

  test("WRITE at the ends of the offset's range", () => {
    const { fs } = shared;
    const { nodeid, fh } = ok(fs.create(ROOT, "far"));
    for (const offset of [HALF - 1n, HALF, HALF + 1n, LAST - 3n, LAST]) {
      expect(fs.write(nodeid, fh, offset, "data").error, `${offset}`).toBeOneOf(TOO_FAR);
    }
    expect(ok(fs.getattr(nodeid)).attr.size).toBe(0);
    // The last byte of a file is at 2^63 - 2: there is room for three of the four.
    const last = fs.write(nodeid, fh, HALF - 4n, "data");
    if (last.error === null) expect(last.size).toBe(3);
    else expect(last.error).toBeOneOf(TOO_FAR);
    ok(fs.setattr(nodeid, { size: 0 }));
  });

  test("sizes beyond the range of a file", () => {
    const { fs } = shared;
    const nodeid = makeFile(fs, "size", "data");
    for (const size of [HALF, HALF + 1n, LAST]) {
      expect(fs.setattr(nodeid, { size }).error, `${size}`).toBeOneOf(TOO_FAR);
    }
    const { error } = fs.setattr(nodeid, { size: HALF - 1n });
    if (error !== null) {
      expect(error).toBeOneOf(TOO_FAR);
      expect(ok(fs.getattr(nodeid)).attr.size).toBe(4);
    }
    ok(fs.setattr(nodeid, { size: 4 }));
  });

  test("FALLOCATE and LSEEK out of range", () => {
    const { fs } = shared;
    const { nodeid, fh } = ok(fs.create(ROOT, "range"));
    ok(fs.write(nodeid, fh, 0, "data"));
    for (const [offset, length] of [
      [0n, 0n],
      [HALF, 1n],
      [LAST, 1n],
      [0n, LAST],
      [HALF - 1n, 2n],
      [LAST, LAST],
    ] as const) {
      const { error } = fs.fallocate(nodeid, fh, offset, length);
      expect(error).toBeOneOf([...TOO_FAR, "EOPNOTSUPP", "ENOSYS"]);
    }
    expect(fs.fallocate(nodeid, fh, 0, 4, 0xffff_ffff).error).not.toBeNull();
    expect(fs.fallocate(nodeid, fh, 0, 4, Falloc.PUNCH_HOLE).error).not.toBeNull();
    for (const [offset, whence] of [
      [HALF, Seek.DATA],
      [LAST, Seek.HOLE],
      [5n, Seek.DATA],
      [0n, 77],
      [0n, 0xffff_ffff],
    ] as const) {
      expect(fs.lseek(nodeid, fh, offset, whence).error).toBeOneOf(["EINVAL", "ENXIO", "ENOSYS"]);
    }
    expect(ok(fs.read(nodeid, fh, 0, 10)).data.toString()).toBe("data");
  });

  test("SETXATTR whose size is not that of its value", () => {
    const { fs } = shared;
    const nodeid = makeFile(fs, "attributes");
    for (const claimed of [6, 4096, 65_536, 65_537, 0x7fff_ffff, 0xffff_ffff]) {
      expect(fs.setxattr(nodeid, "user.lie", "value", 0, claimed).error).not.toBeNull();
    }
    expect(fs.getxattr(nodeid, "user.lie").error).toBe("ENODATA");
    expect(fs.setxattr(nodeid, "", "value").error).not.toBeNull();
    expect(fs.setxattr(nodeid, "x".repeat(300), "value").error).not.toBeNull();
    expect(fs.setxattr(nodeid, "user.flags", "value", 0xff).error).not.toBeNull();
    expect(fs.setxattr(nodeid, "user.true", "value").error).toBeNull();
    expect(ok(fs.getxattr(nodeid, "user.true")).value.toString()).toBe("value");
  });

  test("GETXATTR and LISTXATTR with more or less room than they say", () => {
    const { fs } = shared;
    const nodeid = makeFile(fs, "room");
    ok(fs.setxattr(nodeid, "user.a", "v".repeat(1000)));
    for (const size of [1, 999, 1000, 65_536, 0xffff_ffff]) {
      for (const capacity of [0, 8, 999, 1000]) {
        const name = new Body().u32(size, 0).name("user.a").bytes;
        const value = fs.request(Opcode.GETXATTR, nodeid, name, OUT_HEADER_BYTES + capacity);
        if (value.error === null) expect(value.body.length).toBe(1000);
        const body = new Body().u32(size, 0).bytes;
        const list = fs.request(Opcode.LISTXATTR, nodeid, body, OUT_HEADER_BYTES + capacity);
        if (list.error === null) expect(list.body.toString()).toContain("user.a\0");
      }
    }
    expect(ok(fs.getxattrSize(nodeid, "user.a")).size).toBe(1000);
    expect(fs.getxattr(nodeid, "user.a", 999).error).toBe("ERANGE");
  });

  test("READDIR from offsets that were never given", () => {
    const { fs } = shared;
    const { nodeid } = ok(fs.mkdir(ROOT, "directory"));
    const names = Array.from({ length: 50 }, (_, i) => `entry-${i}`);
    for (const name of names) ok(fs.mkdir(nodeid, name));
    const { fh } = ok(fs.opendir(nodeid));
    const known = new Set([...names, ".", ".."]);
    for (const offset of [3n, 51n, 52n, 53n, 1000n, 1n << 31n, 1n << 40n, HALF - 1n, HALF, LAST]) {
      const plain = fs.readdir(nodeid, fh, offset);
      for (const entry of plain.entries ?? []) expect(known).toContain(entry.name);
      const plus = fs.readdirplus(nodeid, fh, offset);
      for (const entry of plus.entries ?? []) expect(known).toContain(entry.name);
    }
    const all = fs.list(nodeid).map(({ name }) => name);
    expect(new Set(all)).toEqual(known);
    expect(all).toHaveLength(known.size);
    ok(fs.releasedir(nodeid, fh));
  });

  test("READDIR with too little room for an entry returns nothing or EINVAL", () => {
    const { fs } = shared;
    const { fh } = ok(fs.opendir(ROOT));
    for (const size of [0, 1, 8, 23, 24, 31]) {
      for (const result of [fs.readdir(ROOT, fh, 0, size), fs.readdirplus(ROOT, fh, 0, size)]) {
        if (result.error === null) expect(result.entries).toEqual([]);
        else expect(result.error).toBe("EINVAL");
      }
    }
    expect(ok(fs.readdir(ROOT, fh, 0, 32)).entries).toHaveLength(1);
    ok(fs.releasedir(ROOT, fh));
  });

  test("modes, owners and times of all ones", () => {
    const { fs } = shared;
    const nodeid = makeFile(fs, "ones");
    fs.setattr(nodeid, { mode: 0xffff_ffff });
    expect(ok(fs.getattr(nodeid)).attr.mode & 0o170000).toBe(0o100000);
    fs.setattr(nodeid, { atime: -1, atimeNsec: 0xffff_ffff, mtime: 2 ** 52, mtimeNsec: 1e9 });
    const { attr } = ok(fs.getattr(nodeid));
    expect(attr.atimeNsec).toBeLessThan(1e9);
    expect(attr.mtimeNsec).toBeLessThan(1e9);
    const all = Buffer.alloc(88, 0xff);
    expect(fs.request(Opcode.SETATTR, nodeid, all, OUT_HEADER_BYTES + 104).error).not.toBeNull();
    expectServes(fs);
  });

  test("extensions longer than the request", () => {
    const { fs } = shared;
    const body = new Body().u32(0o755, 0).name("extended").bytes;
    for (const extensionUnits of [1, 8, 100, 0xffff]) {
      const reply = fs.request(Opcode.MKDIR, ROOT, body, 144, { extensionUnits });
      if (reply.error === null) fs.rmdir(ROOT, "extended");
      expectServes(fs);
    }
    for (const credentials of [
      { uid: 0xffff_ffff, gid: 0xffff_ffff, pid: 0xffff_ffff },
      { uid: 12_345, gid: 54_321, pid: 0 },
    ]) {
      fs.as(credentials, () => fs.mkdir(ROOT, "foreign"));
      fs.rmdir(ROOT, "foreign");
      expectServes(fs);
    }
  });
});
