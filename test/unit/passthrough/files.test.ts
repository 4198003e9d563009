import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { PassthroughBackend } from "../../../backends/passthrough/passthrough-backend.js";
import { posix } from "../../../src/native/posix.js";
import { Attr, Change, getWords64, S_IFCHR, S_IFIFO, S_IFSOCK } from "../../../src/vfs/attributes.js";
import { EEXIST, EINVAL, EISDIR, ELOOP, ENODATA, ENOSYS, ENXIO, ERANGE } from "../../../src/vfs/errno.js";
import { GatewayError } from "../../../src/vfs/gateway-error.js";
import { file, node, ROOT_CALLER, TestShare } from "./share.js";

const itAsRoot = it.runIf(process.geteuid?.() === 0);
const USER = { uid: 1234, gid: 2345, pid: 1, supplementaryGroup: -1, umask: 0, clearsPrivileges: false };
const O_WRONLY = 1;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;
const O_DIRECT = 0o40000;

describe("start", () => {
  it.each([
    ["/nonexistent/directory", "ENOENT"],
    ["/proc/version", "ENOTDIR"],
  ])("refuses %s in one line", (sharedDir, reason) => {
    const { backend } = new TestShare();
    const logger = { error() {}, warn() {}, info() {}, debug() {} };
    const broken = new PassthroughBackend({ sharedDir, xattr: false, allowDirectIo: false, logger });
    expect(() => broken.start()).toThrow(GatewayError);
    expect(() => broken.start()).toThrow(
      `--shared-dir: "${sharedDir}" is not a directory that can be opened: ${reason}`,
    );
    expect(backend.capabilities.hardLinks).toBe(true);
  });
});

describe("create", () => {
  itAsRoot("gives the file to its caller and reports its attributes", () => {
    const share = new TestShare();
    chmodSync(share.directory, 0o777);
    const handle = share.create("a", { caller: USER, mode: 0o640 });
    const stat = statSync(share.path("a"));
    expect([stat.uid, stat.gid, stat.mode & 0o7777]).toEqual([1234, 2345, 0o640]);
    expect([share.attr[Attr.UID], share.attr[Attr.GID]]).toEqual([1234, 2345]);
    expect(handle.boundFile).toEqual({ kind: "descriptor", fd: handle.fd });
    expect([process.geteuid?.(), process.getegid?.()]).toEqual([0, 0]);
    share.release(handle);
  });

  itAsRoot("inherits the group of a setgid directory", () => {
    const share = new TestShare();
    const directory = share.mkdir("d", share.root, ROOT_CALLER, 0o777);
    execFileSync("chown", ["0:777", share.path("d")]);
    chmodSync(share.path("d"), 0o2777);
    share.release(share.create("f", { caller: USER, parent: directory }));
    share.mkdir("sub", directory, USER);
    expect([statSync(share.path("d/f")).uid, statSync(share.path("d/f")).gid]).toEqual([1234, 777]);
    expect([statSync(share.path("d/sub")).gid, statSync(share.path("d/sub")).mode & 0o7777]).toEqual([
      777, 0o2755,
    ]);
  });

  itAsRoot("does not give setgid to a caller outside the directory's group", () => {
    const share = new TestShare();
    const directory = share.mkdir("d", share.root, ROOT_CALLER, 0o777);
    execFileSync("chown", ["0:777", share.path("d")]);
    chmodSync(share.path("d"), 0o2777);
    share.release(share.create("out", { caller: USER, parent: directory, mode: 0o2755 }));
    expect(statSync(share.path("d/out")).mode & 0o7777).toBe(0o755);
    const member = { ...USER, supplementaryGroup: 777 };
    share.release(share.create("in", { caller: member, parent: directory, mode: 0o2755 }));
    expect(statSync(share.path("d/in")).mode & 0o7777).toBe(0o2755);
  });

  itAsRoot("leaves the permission check to the guest, which knows all groups", () => {
    const share = new TestShare();
    const directory = share.mkdir("d", share.root, ROOT_CALLER, 0o770);
    share.release(share.create("f", { caller: USER, parent: directory }));
    expect(statSync(share.path("d/f")).uid).toBe(1234);
    share.release(share.create("r"));
    expect(statSync(share.path("r")).uid).toBe(0);
  });

  it("opens what exists unless O_EXCL, and nothing but regular files", () => {
    const share = new TestShare();
    writeFileSync(share.path("a"), "content");
    const handle = share.create("a", { flags: O_WRONLY | O_TRUNC });
    expect([handle.node, share.attr[Attr.SIZE]]).toEqual([share.lookup("a"), 0]);
    share.release(handle);
    const create = (name: string, flags: number) =>
      share.backend.create(ROOT_CALLER, share.root, name, flags, 0o644, share.attr);
    expect(create("a", O_EXCL)).toBe(-EEXIST);
    mkdirSync(share.path("d"));
    expect(create("d", 2)).toBe(-EISDIR);
    symlinkSync("/etc/passwd", share.path("l"));
    expect(create("l", 2)).toBe(-ELOOP);
    execFileSync("mkfifo", [share.path("p")]);
    expect(create("p", 2)).toBe(-ENXIO);
    expect(create("new", 3)).toBe(-EINVAL);
  });

  itAsRoot("makes fifos, sockets, devices and symbolic links, and opens none of them", () => {
    const share = new TestShare();
    const make = (name: string, mode: number, rdev = 0) =>
      node(share.backend.mknod(ROOT_CALLER, share.root, name, mode, rdev, share.attr));
    const nodes = [make("fifo", S_IFIFO | 0o600), make("socket", S_IFSOCK | 0o600)];
    nodes.push(make("null", S_IFCHR | 0o666, (1 << 8) | 3));
    expect(statSync(share.path("null")).rdev).toBe((1 << 8) | 3);
    expect(share.attr[Attr.RDEV]).toBe((1 << 8) | 3);
    const link = node(share.backend.symlink(USER, share.root, "link", "/etc/t\xe4st", share.attr));
    expect(share.backend.readlink(ROOT_CALLER, link)).toBe("/etc/t\xe4st");
    expect(share.attr[Attr.UID]).toBe(1234);
    for (const each of nodes) expect(share.backend.open(ROOT_CALLER, each, 0)).toBe(-ENXIO);
    expect(share.backend.open(ROOT_CALLER, link, 0)).toBe(-ELOOP);
    make("plain", 0o600);
    expect(statSync(share.path("plain")).isFile()).toBe(true);
  });
});

describe("open", () => {
  it("binds the descriptor and keeps O_DIRECT back unless it is allowed", () => {
    for (const allowDirectIo of [false, true]) {
      const share = new TestShare({ allowDirectIo });
      writeFileSync(share.path("a"), "x");
      const handle = file(share.backend.open(ROOT_CALLER, share.lookup("a"), O_DIRECT | O_APPEND | O_WRONLY));
      const flags =
        /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${handle.fd}`, "latin1"))?.[1] ?? "";
      expect((Number.parseInt(flags, 8) & O_DIRECT) !== 0).toBe(allowDirectIo);
      expect(Number.parseInt(flags, 8) & O_APPEND).toBe(O_APPEND);
      share.release(handle);
    }
  });
});

describe("setattr", () => {
  itAsRoot("changes mode, owner, size and times of an unlinked file", async () => {
    const share = new TestShare();
    const handle = share.create("a");
    expect(share.unlink("a")).toBe(0);
    const valid = Change.MODE | Change.UID | Change.GID | Change.SIZE | Change.ATIME | Change.MTIME;
    const change = {
      valid,
      mode: 0o600,
      uid: 5,
      gid: 6,
      size: 5_000_000_000n,
      atime: -5,
      atimeNsec: 1,
      mtime: 7,
    };
    expect(await share.setattr(handle.node, { ...change, mtimeNsec: 999_999_999 })).toBe(0);
    const { attr } = share;
    expect((attr[Attr.MODE] as number) & 0o7777).toBe(0o600);
    expect([attr[Attr.UID], attr[Attr.GID], getWords64(attr, Attr.SIZE)]).toEqual([5, 6, 5_000_000_000]);
    expect([attr[Attr.ATIME], attr[Attr.ATIME + 1], attr[Attr.ATIME_NSEC]]).toEqual([
      0xfffffffb, 0xffffffff, 1,
    ]);
    expect([attr[Attr.MTIME], attr[Attr.MTIME_NSEC]]).toEqual([7, 999_999_999]);
    // Shrinking by a lot goes to the pool.
    const shrunk = share.setattr(handle.node, { valid: Change.SIZE | Change.MTIME_NOW, size: 3n }, handle);
    expect(shrunk).toBeInstanceOf(Promise);
    expect([await shrunk, attr[Attr.SIZE]]).toEqual([0, 3]);
    expect(attr[Attr.MTIME]).toBeGreaterThan(1_600_000_000);
    share.release(handle);
  });

  itAsRoot("clears setuid on truncate only when asked", async () => {
    const share = new TestShare();
    share.release(share.create("a", { mode: 0o4755 }));
    const a = share.lookup("a");
    await share.setattr(a, { valid: Change.SIZE, size: 1n });
    expect((share.attr[Attr.MODE] as number) & 0o7777).toBe(0o4755);
    await share.setattr(a, { valid: Change.SIZE | Change.KILL_SUIDGID, size: 2n });
    expect((share.attr[Attr.MODE] as number) & 0o7777).toBe(0o755);
  });

  itAsRoot("does not resize what is no file, and changes links themselves", async () => {
    const share = new TestShare();
    expect(await share.setattr(share.mkdir("d"), { valid: Change.SIZE })).toBe(-EISDIR);
    writeFileSync(share.path("target"), "x");
    symlinkSync("target", share.path("l"));
    const link = share.lookup("l");
    expect(await share.setattr(link, { valid: Change.SIZE })).toBe(-EINVAL);
    expect(await share.setattr(link, { valid: Change.UID | Change.MTIME, uid: 9, mtime: 1 })).toBe(0);
    expect([share.attr[Attr.UID], share.attr[Attr.MTIME]]).toEqual([9, 1]);
    expect(statSync(share.path("target")).uid).toBe(0);
  });
});

describe("xattrs", () => {
  itAsRoot("of files, links and fifos, never opening them", () => {
    const share = new TestShare();
    writeFileSync(share.path("f"), "x");
    symlinkSync("/etc/passwd", share.path("l"));
    execFileSync("mkfifo", [share.path("p")]);
    const { backend } = share;
    const into = Buffer.alloc(64);
    for (const name of ["f", "l", "p"]) {
      const of = share.lookup(name);
      expect(backend.getxattr(ROOT_CALLER, of, "trusted.x", into)).toBe(-ENODATA);
      expect(backend.setxattr(ROOT_CALLER, of, "trusted.x", Buffer.from("value"), 0)).toBe(0);
      expect(backend.setxattr(ROOT_CALLER, of, "trusted.x", Buffer.from("value"), 1)).toBe(-EEXIST);
      expect(backend.getxattr(ROOT_CALLER, of, "trusted.x", into.subarray(0, 0))).toBe(5);
      expect(backend.getxattr(ROOT_CALLER, of, "trusted.x", into.subarray(0, 4))).toBe(-ERANGE);
      expect(backend.getxattr(ROOT_CALLER, of, "trusted.x", into)).toBe(5);
      expect(into.latin1Slice(0, 5)).toBe("value");
      expect(backend.listxattr(ROOT_CALLER, of, into)).toBe("trusted.x".length + 1);
      expect(into.latin1Slice(0, 10)).toBe("trusted.x\0");
      expect(backend.removexattr(ROOT_CALLER, of, "trusted.x")).toBe(0);
      expect(backend.listxattr(ROOT_CALLER, of, into)).toBe(0);
    }
  });

  it("are switched off for the whole mount", () => {
    const share = new TestShare({ xattr: false });
    expect(share.backend.getxattr(ROOT_CALLER, share.root, "user.x", Buffer.alloc(1))).toBe(-ENOSYS);
    expect(share.backend.capabilities.xattrs).toBe(false);
  });
});

describe("data operations", () => {
  it("allocate, seek, copy, sync and report the file system", async () => {
    const share = new TestShare();
    const a = share.create("a");
    const b = share.create("b");
    const { backend } = share;
    expect(await backend.fallocate(ROOT_CALLER, a, 0, 0n, 65536n)).toBe(0);
    expect(statSync(share.path("a")).size).toBe(65536);
    expect(await backend.fallocate(ROOT_CALLER, a, 3, 4096n, 4096n)).toBe(0);
    expect(await backend.fallocate(ROOT_CALLER, a, 0, -1n, 1n)).toBe(-EINVAL);
    expect(backend.lseek(ROOT_CALLER, a, 0n, 4)).toBe(0n);
    expect(backend.lseek(ROOT_CALLER, a, 65536n, 3)).toBe(-ENXIO);
    writeFileSync(share.path("a"), "hello, world");
    expect(await backend.copyFileRange(ROOT_CALLER, a, 7n, b, 1n, 100n)).toBe(5n);
    expect(readFileSync(share.path("b"), "latin1")).toBe("\0world");
    expect(await backend.fsync(ROOT_CALLER, a, false)).toBe(0);
    expect(await backend.fsync(ROOT_CALLER, a, true)).toBe(0);
    expect(await backend.syncfs(share.root)).toBe(0);
    const statistics = backend.statfs(share.root);
    expect(statistics).toMatchObject({ nameLength: 255, blockSize: expect.any(Number) });
    share.release(a);
    share.release(b);
  });

  it("in flight are not disturbed by a release", async () => {
    const share = new TestShare();
    const handle = share.create("a");
    const syncs = Array.from({ length: 50 }, () => share.backend.fsync(ROOT_CALLER, handle, false));
    const allocated = share.backend.fallocate(ROOT_CALLER, handle, 0, 0n, 4096n);
    share.release(handle);
    const other = posix.openRoot("/");
    expect(new Set(await Promise.all(syncs))).toEqual(new Set([0]));
    expect(await allocated).toBe(0);
    expect(statSync(share.path("a")).size).toBe(4096);
    posix.close(other);
  });
});
