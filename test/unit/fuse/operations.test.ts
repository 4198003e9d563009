import { afterAll, describe, expect, test } from "vitest";
import { InitFlag, Opcode } from "../../../src/fuse/protocol.js";
import { LaneResult } from "../../../src/native/lane.js";
import { Attr, Change, setWords64 } from "../../../src/vfs/attributes.js";
import { XattrFlag } from "../../../src/vfs/backend.js";
import { EBADF, EFBIG, EINVAL, ENOENT, ENOSYS, ENOTTY, ESTALE } from "../../../src/vfs/errno.js";
import { type DriverOptions, lane, longs, SessionDriver, text, words } from "./session-driver.js";

const FS_IOC_GETFLAGS = 0x8008_6601;
const FS_IOC_SETFLAGS = 0x4008_6602;
const FS_IOC_FSGETXATTR = 0x801c_581f;
const FS_IOC_FSSETXATTR = 0x401c_5820;
const O_APPEND = 0o2000;
const O_TMPFILE = 0o20200000;

afterAll(() => lane.close());

function start(options: DriverOptions = {}): SessionDriver {
  const driver = new SessionDriver(options);
  expect(driver.init().status).toBe(64);
  return driver;
}

describe("TMPFILE", () => {
  test("answers with entry and handle; the name means nothing", () => {
    const driver = start();
    const body = Buffer.concat([words(O_TMPFILE | 2, 0o100600, 0o22, 0), text("/")]);
    expect(driver.request(Opcode.TMPFILE, 1n, body)).toBe(128 + 16);
    expect(driver.backend.last).toMatchObject({ operation: "tmpfile", args: [O_TMPFILE | 2, 0o100600] });
    const handle = driver.reply().readBigUInt64LE(128);
    const id = driver.reply().readBigUInt64LE(0);
    expect(driver.request(Opcode.RELEASE, id, longs(handle, 0, 0))).toBe(0);
  });

  test("gives an entry that does not expire, as its name cannot be looked up", () => {
    const driver = start({ cachePolicy: { entryTimeoutSec: 0, attrTimeoutSec: 0 } });
    const body = Buffer.concat([words(O_TMPFILE | 2, 0o100600, 0o22, 0), text("/")]);
    expect(driver.request(Opcode.TMPFILE, 1n, body)).toBe(128 + 16);
    expect(driver.reply().readBigUInt64LE(16)).toBe(0xffff_ffffn);
    expect(driver.reply().readBigUInt64LE(24)).toBe(0n);
  });

  test("needs its arguments and a directory that is known", () => {
    const driver = start();
    expect(driver.request(Opcode.TMPFILE, 1n, words(2, 0, 0))).toBe(-EINVAL);
    expect(driver.request(Opcode.TMPFILE, 9n, words(2, 0, 0, 0))).toBe(-ESTALE);
  });
});

describe("STATX", () => {
  test("has all attributes, the birth time and the device's number", () => {
    const driver = start({ cachePolicy: { attrTimeoutSec: 2.5 } });
    const { attr } = driver.backend;
    setWords64(attr, Attr.SIZE, 2 ** 33 + 5);
    setWords64(attr, Attr.BLOCKS, 8);
    setWords64(attr, Attr.ATIME, 1001);
    setWords64(attr, Attr.MTIME, -2);
    setWords64(attr, Attr.CTIME, 1003);
    setWords64(attr, Attr.BTIME, 1004);
    attr[Attr.BTIME_NSEC] = 44;
    attr[Attr.MTIME_NSEC] = 22;
    attr[Attr.NLINK] = 3;
    attr[Attr.UID] = 10;
    attr[Attr.GID] = 20;
    attr[Attr.BLKSIZE] = 4096;
    attr[Attr.RDEV] = (0x12 & 0xff) | (0x345 << 8) | ((0x67812 & ~0xff) << 12);
    expect(driver.request(Opcode.STATX, 1n, words(0, 0, 0, 0, 0, 0xfff))).toBe(288);
    const reply = Buffer.from(driver.reply());
    expect(reply.readBigUInt64LE(0)).toBe(2n);
    expect(reply.readUInt32LE(8)).toBe(500_000_000);
    const statx = reply.subarray(32);
    expect(statx.readUInt32LE(0), "mask").toBe(0xfff);
    expect(statx.readUInt32LE(4), "blksize").toBe(4096);
    expect([16, 20, 24].map((at) => statx.readUInt32LE(at))).toEqual([3, 10, 20]);
    expect(statx.readUInt16LE(28), "mode").toBe(0o100644);
    expect(statx.readUInt16LE(30)).toBe(0);
    expect([32, 40, 48].map((at) => statx.readBigUInt64LE(at))).toEqual([77n, 2n ** 33n + 5n, 8n]);
    expect([64, 80, 96, 112].map((at) => statx.readBigInt64LE(at))).toEqual([1001n, 1004n, 1003n, -2n]);
    expect([72, 88, 104, 120].map((at) => statx.readUInt32LE(at))).toEqual([0, 44, 0, 22]);
    expect([128, 132].map((at) => statx.readUInt32LE(at))).toEqual([0x345, 0x67812]);
    expect(statx.subarray(136, 256).every((byte) => byte === 0)).toBe(true);
  });

  test("does not claim a birth time that nobody knows", () => {
    const driver = start();
    expect(driver.request(Opcode.STATX, 1n, words(0, 0, 0, 0, 0, 0xfff))).toBe(288);
    expect(driver.reply().readUInt32LE(32)).toBe(0x7ff);
  });

  test("is turned off where there are no birth times", () => {
    const driver = start({ capabilities: { birthTimes: false } });
    expect(driver.request(Opcode.STATX, 1n, words(0, 0, 0, 0, 0, 0xfff))).toBe(-ENOSYS);
  });

  test("asks through the handle", () => {
    const driver = start();
    const node = driver.lookup("file");
    const handle = driver.open(node);
    driver.request(Opcode.STATX, node, Buffer.concat([words(1, 0), longs(handle), words(0, 0)]));
    expect(driver.backend.last).toMatchObject({ operation: "getattr", args: ["file", true] });
    expect(driver.request(Opcode.STATX, 1n, words(0, 0, 0, 0, 0))).toBe(-EINVAL);
    expect(driver.request(Opcode.STATX, 99n, words(0, 0, 0, 0, 0, 0))).toBe(-ESTALE);
  });
});

test("GETATTR and SETATTR through the handle of a directory are those of its node", () => {
  const driver = start();
  const handle = driver.open(1n, Opcode.OPENDIR);
  expect(driver.request(Opcode.GETATTR, 1n, Buffer.concat([words(1, 0), longs(handle)]))).toBe(104);
  expect(driver.backend.last).toMatchObject({ operation: "getattr", args: ["", false] });
});

describe("IOCTL", () => {
  function ioctl(command: number, input: Buffer, outSize: number, flags = 0, opcode: number = Opcode.OPEN) {
    const driver = start();
    const node = driver.lookup("file");
    const handle = driver.open(node, opcode);
    const head = Buffer.concat([
      longs(handle),
      words(flags, command),
      longs(0),
      words(input.length, outSize),
    ]);
    const status = driver.request(Opcode.IOCTL, node, Buffer.concat([head, input]));
    return { driver, status };
  }

  test.each([
    ["FS_IOC_GETFLAGS", FS_IOC_GETFLAGS, 0, 4],
    ["FS_IOC_SETFLAGS", FS_IOC_SETFLAGS, 4, 0],
    ["FS_IOC_FSGETXATTR", FS_IOC_FSGETXATTR, 0, 28],
    ["FS_IOC_FSSETXATTR", FS_IOC_FSSETXATTR, 28, 0],
  ])("%s moves what Linux sends", (_name, command, inBytes, outBytes) => {
    const input = Buffer.alloc(inBytes, 7);
    const { driver, status } = ioctl(command, input, outBytes);
    expect(status).toBe(16 + outBytes);
    expect(driver.backend.last.args).toEqual([command, input.toString("hex"), outBytes]);
    expect(driver.reply().subarray(0, 16)).toEqual(Buffer.alloc(16));
    expect(driver.reply().subarray(16, 16 + outBytes)).toEqual(Buffer.alloc(outBytes, 0xab));
  });

  test("the reply is as long as the guest said", () => {
    const { driver, status } = ioctl(FS_IOC_GETFLAGS, Buffer.alloc(8), 8);
    expect(status).toBe(24);
    expect(driver.backend.last.args).toEqual([FS_IOC_GETFLAGS, "", 4]);
    expect(driver.reply().subarray(16, 24).toString("hex")).toBe("abababab00000000");
  });

  test("works on directories", () => {
    expect(ioctl(FS_IOC_GETFLAGS, Buffer.alloc(0), 4, 1 << 4, Opcode.OPENDIR).status).toBe(20);
    expect(ioctl(FS_IOC_GETFLAGS, Buffer.alloc(0), 4, 0, Opcode.OPENDIR).status).toBe(-EBADF);
  });

  test.each([
    ["another command", 0x5401, 0, 4, 0, -ENOTTY],
    ["the unrestricted form", FS_IOC_GETFLAGS, 0, 4, 1 << 1, -ENOTTY],
    ["too little room", FS_IOC_FSGETXATTR, 0, 27, 0, -EINVAL],
    ["too short an input", FS_IOC_SETFLAGS, 3, 0, 0, -EINVAL],
    ["a reply beyond all measure", FS_IOC_GETFLAGS, 0, 0xffff_ffff, 0, -EINVAL],
  ])("refuses %s", (_what, command, inBytes, outBytes, flags, result) => {
    expect(ioctl(command, Buffer.alloc(inBytes), outBytes, flags).status).toBe(result);
  });

  test("may wait", () => {
    const driver = start();
    const node = driver.lookup("file");
    const handle = driver.open(node);
    driver.backend.waits = true;
    const body = Buffer.concat([longs(handle), words(0, FS_IOC_GETFLAGS), longs(0), words(0, 4)]);
    expect(driver.request(Opcode.IOCTL, node, body)).toBe(LaneResult.PENDING);
  });
});

describe("LOOKUP of . and ..", () => {
  test("finds a node by its id, and its parent", () => {
    const driver = start({ capabilities: { parents: true } });
    const id = driver.lookup("directory");
    expect(driver.request(Opcode.LOOKUP, id, text("."))).toBe(128);
    expect(driver.reply().readBigUInt64LE(0)).toBe(id);
    expect(driver.reply().readUInt32LE(40 + Attr.MODE * 4)).toBe(0o100644);
    expect(driver.request(Opcode.LOOKUP, id, text(".."))).toBe(128);
    expect(driver.reply().readBigUInt64LE(0)).toBe(1n);
    expect(driver.request(Opcode.LOOKUP, 1n, text(".."))).toBe(128);
    expect(driver.reply().readBigUInt64LE(0)).toBe(1n);
    expect(driver.request(Opcode.LOOKUP, 99n, text("."))).toBe(-ESTALE);
    expect(driver.request(Opcode.LOOKUP, id, text("a/b"))).toBe(-EINVAL);
  });

  test("counts a reference each", () => {
    const driver = start({ capabilities: { parents: true } });
    const id = driver.lookup("directory");
    driver.request(Opcode.LOOKUP, id, text("."));
    driver.request(Opcode.FORGET, id, longs(1));
    expect(driver.request(Opcode.GETATTR, id, words(0, 0, 0, 0))).toBe(104);
    driver.request(Opcode.FORGET, id, longs(1));
    expect(driver.request(Opcode.GETATTR, id, words(0, 0, 0, 0))).toBe(-ESTALE);
  });

  test("is refused where the backend cannot find parents", () => {
    const driver = start();
    expect(driver.request(Opcode.LOOKUP, 1n, text("."))).toBe(-EINVAL);
    expect(driver.request(Opcode.LOOKUP, 1n, text(".."))).toBe(-EINVAL);
  });
});

describe("negative entries", () => {
  test.each([false, true])("are cached as long as the policy says (waiting: %o)", async (waits) => {
    const driver = start({ cachePolicy: { negativeTimeoutSec: 3.25 } });
    driver.backend.waits = waits;
    const status = driver.request(Opcode.LOOKUP, 1n, text("absent"));
    await new Promise((resolve) => setImmediate(resolve));
    expect(status).toBe(waits ? LaneResult.PENDING : 128);
    const reply = driver.reply();
    expect(reply.readBigUInt64LE(0)).toBe(0n);
    expect(reply.readBigUInt64LE(16)).toBe(3n);
    expect(reply.readUInt32LE(32)).toBe(250_000_000);
    expect(driver.session.inodes.size).toBe(1);
  });

  test("are a plain ENOENT otherwise", () => {
    expect(start().request(Opcode.LOOKUP, 1n, text("absent"))).toBe(-ENOENT);
  });
});

describe("privileges", () => {
  test.each([false, true])("OPEN, CREATE, TMPFILE and SETATTR say whether they clear them: %o", (clears) => {
    const driver = start();
    const node = driver.lookup("file");
    const flag = clears ? 1 : 0;
    driver.request(Opcode.OPEN, node, words(2, flag));
    driver.request(Opcode.CREATE, 1n, Buffer.concat([words(2, 0o644, 0, flag), text("new")]));
    driver.request(Opcode.TMPFILE, 1n, Buffer.concat([words(2, 0o644, 0, flag), text("/")]));
    const setattr = Buffer.alloc(88);
    setattr.writeUInt32LE(clears ? Change.SIZE | Change.KILL_SUIDGID : Change.SIZE, 0);
    driver.request(Opcode.SETATTR, node, setattr);
    const calls = driver.backend.calls.slice(1);
    expect(calls.map(({ operation }) => operation)).toEqual(["open", "create", "tmpfile", "setattr"]);
    expect(calls.map(({ caller }) => caller.clearsPrivileges)).toEqual(new Array(4).fill(clears));
  });

  test("a WRITE that clears them goes to the backend, whoever serves the others", () => {
    const driver = start();
    const node = driver.lookup("file");
    const handle = driver.open(node);
    const write = (flags: number, offset: number | bigint = 5) =>
      driver.request(
        Opcode.WRITE,
        node,
        Buffer.concat([longs(handle, offset), words(3, flags), longs(0, 0), Buffer.from("abc")]),
      );
    expect(write(4)).toBe(8);
    expect(driver.backend.last).toMatchObject({ caller: { clearsPrivileges: true }, args: [5, "abc"] });
    expect(write(0)).toBe(8);
    expect(driver.backend.last.caller.clearsPrivileges).toBe(false);
    expect(write(4, 1n << 63n)).toBe(-EINVAL);
    expect(write(4, 1n << 60n)).toBe(-EFBIG);
    const opened = driver.session.handles.get(Number(handle & 0xffff_ffffn), Number(handle >> 32n), "file");
    Object.assign(opened as object, { boundFile: { kind: "descriptor", fd: -1 } });
    expect(write(0)).toBe(-EBADF);
    expect(write(4)).toBe(8);
  });

  test.each([
    [true, 1000, true],
    [true, 0, false],
    [false, 1000, false],
  ])("fallocate and copies, with the server in charge %o, by user %i: %o", (killPrivileges, uid, clears) => {
    const driver = start({ features: { killPrivileges } });
    const node = driver.lookup("file");
    const handle = driver.open(node);
    driver.request(Opcode.FALLOCATE, node, longs(handle, 0, 10, 0), uid);
    expect(driver.backend.last.caller.clearsPrivileges).toBe(clears);
    driver.request(Opcode.COPY_FILE_RANGE, node, longs(handle, 0, node, handle, 50, 10, 0), uid);
    expect(driver.backend.last.caller.clearsPrivileges).toBe(clears);
  });
});

test("COPY_FILE_RANGE counts in 32 bits, COPY_FILE_RANGE_64 in 64", () => {
  const driver = start();
  const node = driver.lookup("file");
  const handle = driver.open(node);
  const body = longs(handle, 7, node, handle, 2n ** 40n, 2n ** 35n + 3n, 0);
  expect(driver.request(Opcode.COPY_FILE_RANGE, node, body)).toBe(8);
  expect(driver.reply().readBigUInt64LE(0)).toBe(0x7fff_f000n);
  expect(driver.request(Opcode.COPY_FILE_RANGE_64, node, body)).toBe(8);
  expect(driver.backend.last.args).toEqual([7n, 2n ** 40n, 2n ** 35n + 3n]);
  expect(driver.reply().readBigUInt64LE(0)).toBe(2n ** 35n + 3n);
  expect(driver.request(Opcode.COPY_FILE_RANGE_64, node, longs(handle, 0, node, handle, 0, 1, 1))).toBe(
    -EINVAL,
  );
});

describe("with ACLs", () => {
  const acl: DriverOptions = { capabilities: { posixAcl: true }, features: { posixAcl: "auto" } };

  test("the umask is the backend's to apply", () => {
    const driver = start(acl);
    driver.request(Opcode.MKNOD, 1n, Buffer.concat([words(0o100666, 0, 0o27, 0), text("a")]));
    driver.request(Opcode.MKDIR, 1n, Buffer.concat([words(0o777, 0o27), text("b")]));
    driver.request(Opcode.CREATE, 1n, Buffer.concat([words(2, 0o666, 0o27, 0), text("c")]));
    driver.request(Opcode.TMPFILE, 1n, Buffer.concat([words(2, 0o666, 0o27, 0), text("/")]));
    expect(driver.backend.calls.map(({ caller }) => caller.umask)).toEqual([0o27, 0o27, 0o27, 0o27]);
  });

  test("otherwise the guest has done it", () => {
    const driver = start();
    driver.request(Opcode.MKDIR, 1n, Buffer.concat([words(0o750, 0o27), text("b")]));
    expect(driver.backend.last.caller.umask).toBe(0);
  });

  test("SETXATTR has its long form and may clear setgid", () => {
    const driver = start(acl);
    const body = (flags: number) =>
      Buffer.concat([words(3, 1, flags, 0), text("system.posix_acl_access"), Buffer.from("acl")]);
    expect(driver.request(Opcode.SETXATTR, 1n, body(0))).toBe(0);
    expect(driver.backend.last.args).toEqual(["system.posix_acl_access", "acl", XattrFlag.CREATE]);
    expect(driver.request(Opcode.SETXATTR, 1n, body(1))).toBe(0);
    expect(driver.backend.last.args[2]).toBe(XattrFlag.CREATE | XattrFlag.ACL_KILL_SGID);
  });

  test("without, the short one", () => {
    const driver = start();
    const body = Buffer.concat([words(1, 0), text("user.a"), Buffer.from("b")]);
    expect(driver.request(Opcode.SETXATTR, 1n, body)).toBe(0);
    expect(driver.backend.last.args).toEqual(["user.a", "b", 0]);
  });
});

describe("writeback", () => {
  test("files are opened for reading, too, and never for appending", () => {
    const driver = start({ features: { writeback: true } });
    const node = driver.lookup("file");
    driver.request(Opcode.OPEN, node, words(1 | O_APPEND, 0));
    expect(driver.backend.last.args).toEqual([2]);
    driver.request(Opcode.OPEN, node, words(O_APPEND, 0));
    expect(driver.backend.last.args).toEqual([0]);
    driver.request(Opcode.CREATE, 1n, Buffer.concat([words(1, 0o600, 0, 0), text("new")]));
    expect(driver.backend.last.args).toEqual(["new", 2, 0o600]);
  });

  test("not for a guest that does not do it", () => {
    const driver = new SessionDriver({ features: { writeback: true } });
    driver.init(~InitFlag.WRITEBACK_CACHE);
    driver.request(Opcode.OPEN, driver.lookup("file"), words(1 | O_APPEND, 0));
    expect(driver.backend.last.args).toEqual([1 | O_APPEND]);
  });
});
