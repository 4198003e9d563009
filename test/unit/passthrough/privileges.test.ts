import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { FileHandle } from "../../../backends/passthrough/node.js";
import { Change } from "../../../src/vfs/attributes.js";
import { EBADF, EINVAL, ENOSYS, ENOTTY, EPERM } from "../../../src/vfs/errno.js";
import type { Caller } from "../../../src/vfs/node.js";
import { directory, file, ROOT_CALLER, TestShare } from "./share.js";

const describeAsRoot = describe.runIf(process.geteuid?.() === 0);
const CLEARING: Caller = { ...ROOT_CALLER, uid: 1234, gid: 2345, clearsPrivileges: true };
const O_RDWR = 2;
const O_TRUNC = 0o1000;
const O_SYNC = 0o4010000;

/** Mode of a setuid, setgid file of another group after an operation on it. */
async function modeAfter(act: (share: TestShare, handle: FileHandle) => unknown) {
  const share = new TestShare();
  writeFileSync(share.path("f"), "content");
  chownSync(share.path("f"), 77, 78);
  chmodSync(share.path("f"), 0o6777);
  const handle = file(share.backend.open(ROOT_CALLER, share.lookup("f"), O_RDWR));
  expect(await act(share, handle)).toSatisfy((result) => typeof result !== "number" || result >= 0);
  share.release(handle);
  return statSync(share.path("f")).mode & 0o7777;
}

describeAsRoot("setuid and setgid", () => {
  const acts: [string, (caller: Caller) => Parameters<typeof modeAfter>[0]][] = [
    ["write", (caller) => (share, h) => share.backend.write(caller, h, 3, Buffer.from("new"))],
    [
      "O_SYNC write",
      (caller) => async (share, h) => {
        const synced = file(share.backend.open(ROOT_CALLER, h.node, O_RDWR | O_SYNC));
        const count = await share.backend.write(caller, synced, 0, Buffer.from("new"));
        share.release(synced);
        return count;
      },
    ],
    ["fallocate", (caller) => (share, h) => share.backend.fallocate(caller, h, 0, 0n, 100n)],
    ["copy", (caller) => (share, h) => share.backend.copyFileRange(caller, h, 0n, h, 10n, 3n)],
    [
      "open with O_TRUNC",
      (caller) => (share, h) => {
        const opened = share.backend.open(caller, h.node, O_RDWR | O_TRUNC);
        if (opened instanceof FileHandle) share.release(opened);
        return opened;
      },
    ],
    [
      "create with O_TRUNC",
      (caller) => (share) => {
        const opened = share.backend.create(caller, share.root, "f", O_RDWR | O_TRUNC, 0o644, share.attr);
        if (typeof opened !== "number") share.release(opened);
        return opened;
      },
    ],
    [
      "truncate",
      (caller) => (share, h) =>
        share.setattr(h.node, {
          valid: Change.SIZE | (caller.clearsPrivileges ? Change.KILL_SUIDGID : 0),
          size: 1n,
        }),
    ],
  ];
  it.each(acts)("are cleared by %s when asked, and only then", async (_name, act) => {
    expect(await modeAfter(act(CLEARING))).toBe(0o777);
    expect(await modeAfter(act(ROOT_CALLER))).toBe(0o6777);
  });

  it("are cleared by chown as Linux does", async () => {
    const chown: Parameters<typeof modeAfter>[0] = (share, h) =>
      share.setattr(h.node, { valid: Change.UID, uid: 5 });
    expect(await modeAfter(chown)).toBe(0o777);
  });

  it("and security.capability go with a write", async () => {
    const share = new TestShare();
    const handle = share.create("f");
    const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
    const { backend } = share;
    expect(backend.setxattr(ROOT_CALLER, handle.node, "security.capability", capability, 0)).toBe(0);
    expect(backend.write(CLEARING, handle, 0, Buffer.from("x"))).toBe(1);
    expect(backend.getxattr(ROOT_CALLER, handle.node, "security.capability", Buffer.alloc(64))).toBe(-61);
    share.release(handle);
  });
});

describe("read and write", () => {
  it("work without native code, on memory and on disk", async () => {
    for (const below of ["/dev/shm", "/tmp"]) {
      const share = new TestShare({}, below);
      const handle = share.create("f");
      expect(await share.backend.write(ROOT_CALLER, handle, 5, Buffer.from("hello"))).toBe(5);
      const into = Buffer.alloc(20);
      expect(await share.backend.read(ROOT_CALLER, handle, 3, into)).toBe(7);
      expect(into.latin1Slice(0, 7)).toBe("\0\0hello");
      const reader = file(share.backend.open(ROOT_CALLER, handle.node, 0));
      expect(share.backend.write(ROOT_CALLER, reader, 0, into)).toBe(-EBADF);
      share.release(reader);
      share.release(handle);
    }
  });

  it("fsync waits for a disk only", () => {
    const results = ["/dev/shm", "/tmp"].map((below) => {
      const share = new TestShare({}, below);
      const handle = share.create("f");
      const result = share.backend.fsync(ROOT_CALLER, handle, false);
      share.release(handle);
      return result;
    });
    expect(results).toEqual([0, expect.any(Promise)]);
  });
});

/** u::rwx,u:1234:rwx,g::r-x,m::rwx,o::--- in the kernel's format. */
const ACL = Buffer.from(
  "0200000001000700ffffffff02000700d204000004000500ffffffff10000700ffffffff20000000ffffffff",
  "hex",
);

describeAsRoot("POSIX ACLs", () => {
  function withDefault(share: TestShare) {
    const directory = share.mkdir("d");
    const status = share.backend.setxattr(ROOT_CALLER, directory, "system.posix_acl_default", ACL, 0);
    expect(status).toBe(0);
    return directory;
  }

  it("count instead of the umask where there is a default one", () => {
    const share = new TestShare({ xattr: false, posixAcl: true });
    expect(share.backend.capabilities).toMatchObject({ posixAcl: true, xattrs: true });
    const caller = { ...ROOT_CALLER, umask: 0o077 };
    const directory = withDefault(share);
    share.release(share.create("in", { caller, parent: directory, mode: 0o666 }));
    share.release(share.create("out", { caller, mode: 0o666 }));
    share.mkdir("sub", directory, caller, 0o777);
    share.mkdir("plain", share.root, caller, 0o777);
    share.backend.mknod(caller, share.root, "fifo", 0o010666, 0, share.attr);
    share.release(file(share.backend.tmpfile({ ...caller }, share.root, O_RDWR, 0o666, share.attr)));
    const mode = (name: string) => statSync(share.path(name)).mode & 0o777;
    expect([mode("d/in"), mode("out"), mode("d/sub"), mode("plain"), mode("fifo")]).toEqual([
      0o660, 0o600, 0o770, 0o700, 0o600,
    ]);
    expect(share.attr[15]).toBe(0o100600);
    const inherited = Buffer.alloc(100);
    const sub = share.lookup("sub", directory);
    expect(share.backend.getxattr(ROOT_CALLER, sub, "system.posix_acl_default", inherited)).toBe(ACL.length);
  });

  it("clear setgid only when asked", () => {
    const share = new TestShare({ posixAcl: true });
    const handle = share.create("f", { mode: 0o2755 });
    const set = (caller: Caller) => {
      chmodSync(share.path("f"), 0o2755);
      const status = share.backend.setxattr(caller, handle.node, "system.posix_acl_access", ACL, 0);
      return [status, statSync(share.path("f")).mode & 0o7777];
    };
    expect(set(ROOT_CALLER)).toEqual([0, 0o2770]);
    expect(set(CLEARING)).toEqual([0, 0o770]);
    share.release(handle);
  });

  it("are off with xattrs", () => {
    const share = new TestShare({ xattr: false });
    const { backend, root } = share;
    expect(backend.setxattr(ROOT_CALLER, root, "system.posix_acl_default", ACL, 0)).toBe(-ENOSYS);
  });
});

describe("inode flags", () => {
  const GETFLAGS = 0x8008_6601;
  const SETFLAGS = 0x4008_6602;
  const FSGETXATTR = 0x801c_581f;
  const FSSETXATTR = 0x401c_5820;
  const NODUMP = 0x40;
  const IMMUTABLE = 0x10;
  const NONE = Buffer.alloc(0);

  function flags(value: number): Buffer {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  }

  it("of files and directories are read and changed, as the caller", () => {
    const share = new TestShare();
    const handle = share.create("f");
    const { backend } = share;
    const listing = directory(backend.opendir(ROOT_CALLER, share.root));
    const into = Buffer.alloc(28);
    for (const of of [handle, listing]) {
      expect(backend.ioctl(ROOT_CALLER, of, GETFLAGS, NONE, into)).toBe(4);
      const before = into.readUInt32LE();
      expect(backend.ioctl(ROOT_CALLER, of, SETFLAGS, flags(before | NODUMP), NONE)).toBe(0);
      expect(backend.ioctl(ROOT_CALLER, of, GETFLAGS, NONE, into)).toBe(4);
      expect(into.readUInt32LE() & NODUMP).toBe(NODUMP);
    }
    const listed = spawnSync("lsattr", [share.path("f")], { encoding: "latin1" });
    if (listed.status === 0) expect(listed.stdout.split(" ")[0]).toContain("d");
    expect(backend.ioctl(ROOT_CALLER, handle, FSGETXATTR, NONE, into)).toBe(28);
    expect(backend.ioctl(ROOT_CALLER, handle, FSSETXATTR, into, NONE)).toBe(0);
    backend.releasedir(listing);
    share.release(handle);
  });

  it("that need a capability are for callers who have it", ({ skip }) => {
    if (process.geteuid?.() !== 0) skip();
    const share = new TestShare();
    chmodSync(share.directory, 0o777);
    const user = { ...ROOT_CALLER, uid: 1234, gid: 1234 };
    const handle = share.create("f", { caller: user });
    const set = (caller: Caller, value: number) =>
      share.backend.ioctl(caller, handle, SETFLAGS, flags(value), NONE);
    expect(set(user, IMMUTABLE)).toBe(-EPERM);
    expect(set({ ...user, uid: 1235 }, NODUMP)).toSatisfy((error) => error === -EPERM || error === -13);
    expect(set(ROOT_CALLER, IMMUTABLE)).toBe(0);
    expect(set(ROOT_CALLER, 0)).toBe(0);
    share.release(handle);
  });

  it("are all there is: other commands and short buffers are refused", () => {
    const share = new TestShare();
    const handle = share.create("f");
    const { backend } = share;
    const into = Buffer.alloc(64);
    for (const command of [0, 0x5401, 0x0000_0001, 0xc020_660b, 0x1268]) {
      expect(backend.ioctl(ROOT_CALLER, handle, command, into, into)).toBe(-ENOTTY);
    }
    expect(backend.ioctl(ROOT_CALLER, handle, GETFLAGS, NONE, into.subarray(0, 3))).toBe(-EINVAL);
    expect(backend.ioctl(ROOT_CALLER, handle, SETFLAGS, into.subarray(0, 3), NONE)).toBe(-EINVAL);
    share.release(handle);
    expect(readFileSync(share.path("f"))).toHaveLength(0);
  });
});
