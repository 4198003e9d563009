import { closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  Body,
  type Client,
  DEFAULT_INIT_FLAGS,
  InitFlag,
  Opcode,
  Open,
  OUT_HEADER_BYTES,
  ok,
  ROOT,
  WRITE_KILL_SUIDGID,
} from "../support/frontend/index.js";
import { makeFile, mount } from "../support/frontend-testing.js";

const BACKENDS = ["passthrough", "memory"] as const;
const STATX_BYTES = 288;
const COPY_FILE_RANGE_64 = 53;
const offer = (flags: bigint) => ({ init: { flags: DEFAULT_INIT_FLAGS | flags } });

describe.each(BACKENDS)("on %s", (backend) => {
  test("STATX has the birth time", async () => {
    const fs = await mount({ backend });
    const nodeid = makeFile(fs, "file", "12345");
    const body = new Body().u32(0, 0).u64(0).u32(0, 0xfff).bytes;
    const reply = fs.request(Opcode.STATX, nodeid, body, OUT_HEADER_BYTES + STATX_BYTES);
    expect(reply.body).toHaveLength(STATX_BYTES);
    const statx = reply.body.subarray(32);
    const { attr } = ok(fs.getattr(nodeid));
    expect(statx.readUInt32LE(0)).toBe(0xfff);
    expect(statx.readBigUInt64LE(32)).toBe(attr.ino);
    expect(statx.readBigUInt64LE(40)).toBe(5n);
    expect(statx.readUInt16LE(28)).toBe(attr.mode);
    const born = Number(statx.readBigInt64LE(80));
    expect(Math.abs(born - attr.ctime)).toBeLessThanOrEqual(5);
    const whole = new Body().u32(0, 0).u64(0).u32(0).bytes;
    expect(fs.request(Opcode.STATX, nodeid, whole, OUT_HEADER_BYTES + STATX_BYTES).error).toBe("EINVAL");
  });

  test("COPY_FILE_RANGE_64 copies", async () => {
    const fs = await mount({ backend });
    const from = makeFile(fs, "from", "0123456789");
    const to = makeFile(fs, "to", "abcdefghij");
    const source = ok(fs.open(from, Open.RDONLY)).fh;
    const target = ok(fs.open(to, Open.RDWR)).fh;
    const body = new Body().u64(source, 2, to, target, 4, 1n << 40n, 0).bytes;
    const reply = fs.request(COPY_FILE_RANGE_64, from, body, OUT_HEADER_BYTES + 8);
    expect(reply.body.readBigUInt64LE(0)).toBe(8n);
    expect(ok(fs.read(to, target, 0, 100)).data.toString()).toBe("abcd23456789");
  });

  test("timeouts are those of the options, to the nanosecond", async () => {
    const times = ["--timeout", "7", "--attr-timeout=0.25", "--negative-timeout=1.5"];
    const fs = await mount({ backend, args: ["--cache", "always", ...times] });
    const entry = ok(fs.mkdir(ROOT, "directory"));
    expect([entry.entryValid, entry.entryValidNsec]).toEqual([7, 0]);
    expect([entry.attrValid, entry.attrValidNsec]).toEqual([0, 250_000_000]);
    const absent = ok(fs.lookupEntry(ROOT, "absent"));
    expect([absent.nodeid, absent.entryValid, absent.entryValidNsec]).toEqual([0n, 1, 500_000_000]);
    expect(ok(fs.create(ROOT, "absent")).nodeid).not.toBe(0n);
  });

  test("--writeback: a file opened for writing can be read, and O_APPEND does not move writes", async () => {
    const fs = await mount({ backend, args: ["--writeback"], ...offer(InitFlag.WRITEBACK_CACHE) });
    expect((fs.initReply?.flags ?? 0n) & InitFlag.WRITEBACK_CACHE).not.toBe(0n);
    const nodeid = makeFile(fs, "file", "0123456789");
    const { fh } = ok(fs.open(nodeid, Open.WRONLY | Open.APPEND));
    ok(fs.write(nodeid, fh, 2, "xy"));
    expect(ok(fs.read(nodeid, fh, 0, 100)).data.toString()).toBe("01xy456789");
    const created = ok(fs.create(ROOT, "created", Open.WRONLY));
    ok(fs.write(created.nodeid, created.fh, 0, "abc"));
    expect(ok(fs.read(created.nodeid, created.fh, 0, 100)).data.toString()).toBe("abc");
  });

  test("without --writeback a file opened for writing cannot be read", async () => {
    const fs = await mount({ backend, ...offer(InitFlag.WRITEBACK_CACHE) });
    expect((fs.initReply?.flags ?? 0n) & InitFlag.WRITEBACK_CACHE).toBe(0n);
    const nodeid = makeFile(fs, "file", "0123456789");
    const { fh } = ok(fs.open(nodeid, Open.WRONLY));
    expect(fs.read(nodeid, fh, 0, 100).error).toBe("EBADF");
  });

  test("--killpriv-v2: a write that clears privileges writes", async () => {
    const fs = await mount({ backend, args: ["--killpriv-v2"], ...offer(InitFlag.HANDLE_KILLPRIV_V2) });
    expect((fs.initReply?.flags ?? 0n) & InitFlag.HANDLE_KILLPRIV_V2).not.toBe(0n);
    const nodeid = makeFile(fs, "file", "0123456789");
    const { fh } = ok(fs.open(nodeid, Open.RDWR));
    const data = Buffer.alloc(10_000, "x");
    expect(ok(fs.write(nodeid, fh, 3, data, { writeFlags: WRITE_KILL_SUIDGID })).size).toBe(10_000);
    expect(ok(fs.getattr(nodeid)).attr.size).toBe(10_003);
    const reading = ok(fs.open(nodeid, Open.RDONLY)).fh;
    expect(fs.write(nodeid, reading, 0, "x", { writeFlags: WRITE_KILL_SUIDGID }).error).toBe("EBADF");
  });

  test("--killpriv-v2: only files with something to lose are not written by native code", async () => {
    const args = ["--killpriv-v2", "--log-level=debug"];
    const fs = await mount({ backend, args, ...offer(InitFlag.HANDLE_KILLPRIV_V2) });
    const nodeid = makeFile(fs, "file");
    const { fh } = ok(fs.open(nodeid, Open.RDWR));
    const write = () => ok(fs.write(nodeid, fh, 0, "x", { writeFlags: WRITE_KILL_SUIDGID }));
    const mode = () => ok(fs.getattr(nodeid)).attr.mode & 0o7777;
    for (let i = 0; i < 10; i++) write();
    for (const bits of [0o4755, 0o2755, 0o6755]) {
      ok(fs.setattr(nodeid, { mode: bits }));
      expect(mode()).toBe(bits);
      write();
      expect(mode()).toBe(0o755);
      write();
    }
    fs.frontend.close();
    await fs.gateway.waitForExit();
    expect(fs.gateway.stderr()).toContain("(13 transfers by native code)");
  });

  test("--no-file-locks: the guest is told to close files without asking", async () => {
    const fs = await mount({ backend, args: ["--no-file-locks"] });
    const nodeid = makeFile(fs, "file");
    const { fh } = ok(fs.open(nodeid, Open.RDONLY));
    expect(fs.flush(nodeid, fh).error).toBe("ENOSYS");
  });

  test("IOCTL of what no file system knows is ENOTTY, also without a word in the log", async () => {
    const fs = await mount({ backend });
    const nodeid = makeFile(fs, "file");
    const { fh } = ok(fs.open(nodeid, Open.RDONLY));
    const body = new Body().u64(fh).u32(0, 0x5401).u64(0).u32(0, 60).bytes;
    expect(fs.request(Opcode.IOCTL, nodeid, body, OUT_HEADER_BYTES + 76).error).toBe("ENOTTY");
    expect(fs.gateway.stderr()).not.toContain("bug");
  });
});

test.each([
  [["--cache=never", "--allow-mmap"], InitFlag.DIRECT_IO_ALLOW_MMAP, true],
  [["--allow-mmap"], InitFlag.DIRECT_IO_ALLOW_MMAP, false],
  [["--no-readdirplus"], InitFlag.DO_READDIRPLUS, false],
  [[], InitFlag.DO_READDIRPLUS, true],
  [["--no-announce-submounts"], InitFlag.SUBMOUNTS, false],
  [[], InitFlag.SUBMOUNTS, true],
  [["--cache=metadata", "--writeback"], InitFlag.WRITEBACK_CACHE, false],
  [[], InitFlag.HANDLE_KILLPRIV_V2, false],
  [["--cache=metadata"], InitFlag.HANDLE_KILLPRIV_V2, true],
  [["--cache=never", "--no-killpriv-v2"], InitFlag.HANDLE_KILLPRIV_V2, false],
  [[], InitFlag.POSIX_ACL, false],
  [[], InitFlag.POSIX_LOCKS, true],
  [["--no-file-locks"], InitFlag.POSIX_LOCKS, false],
  [["--no-file-locks"], InitFlag.FLOCK_LOCKS, false],
] as const)("%o: INIT flag %s is %o", async (args, flag, is) => {
  const fs = await mount({ args, init: { flags: (1n << 64n) - 1n } });
  expect(((fs.initReply?.flags ?? 0n) & flag) !== 0n).toBe(is);
});

describe("--xattrmap", () => {
  const names = (fs: Client) => [...ok(fs.listxattr(ROOT)).names].sort();

  test("renames between guest and host, and implies --xattr", async () => {
    const sharedDir = mkdtempSync(join(tmpdir(), "gateway-xattrmap-"));
    onTestFinished(() => rmSync(sharedDir, { recursive: true }));
    const plain = await mount({ sharedDir, args: ["--xattr"] });
    const fs = await mount({ sharedDir, args: ["--xattrmap", ":map:trusted.:user.virtiofs.:"] });
    expect(fs.setxattr(ROOT, "trusted.a", "1").error).toBeNull();
    expect(fs.setxattr(ROOT, "user.b", "2").error).toBeNull();
    expect(fs.setxattr(ROOT, "user.virtiofs.trusted.a", "evil").error).toBe("EPERM");
    expect(names(fs)).toEqual(["trusted.a", "user.b"]);
    expect(names(plain)).toEqual(["user.b", "user.virtiofs.trusted.a"]);
    expect(ok(fs.getxattr(ROOT, "trusted.a")).value.toString()).toBe("1");
    expect(ok(plain.getxattr(ROOT, "user.virtiofs.trusted.a")).value.toString()).toBe("1");
    expect(ok(fs.getxattrSize(ROOT, "trusted.a")).size).toBe(1);
    expect(ok(fs.listxattrSize(ROOT)).size).toBe("trusted.a\0user.b\0".length);
  });

  test("file capabilities under another name go when the file is truncated", async () => {
    const fs = await mount({ backend: "memory", args: ["--xattrmap", ":map::user.virtiofs.:"] });
    const nodeid = makeFile(fs, "file", "content");
    ok(fs.setxattr(nodeid, "security.capability", "caps"));
    ok(fs.setattr(nodeid, { size: 3 }));
    expect(fs.getxattr(nodeid, "security.capability").error).toBe("ENODATA");
  });
});

/** What the host says to an unaligned write to a file opened with O_DIRECT, or undefined when it knows no O_DIRECT. */
function unalignedWrite(path: string): string | null | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_DIRECT);
  } catch {
    return undefined;
  }
  try {
    writeSync(fd, "unaligned", 1);
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  } finally {
    closeSync(fd);
  }
}

test.each([false, true])(
  "--allow-direct-io %o: whether the host's file is opened with O_DIRECT",
  async (allowed) => {
    const fs = await mount({ args: allowed ? ["--allow-direct-io"] : [] });
    writeFileSync(fs.hostPath("file"), "x".repeat(8192));
    const expected = allowed ? unalignedWrite(fs.hostPath("file")) : null;
    if (expected === undefined) return;
    const { nodeid } = ok(fs.lookup(ROOT, "file"));
    const { fh } = ok(fs.open(nodeid, Open.RDWR | Open.DIRECT));
    expect(fs.write(nodeid, fh, 1, "unaligned").error).toBe(expected);
  },
);
