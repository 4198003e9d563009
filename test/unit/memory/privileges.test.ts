import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Change } from "../../../src/vfs/attributes.js";
import {
  EEXIST,
  EINVAL,
  EMLINK,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTTY,
  EOPNOTSUPP,
  EPERM,
} from "../../../src/vfs/errno.js";
import type { Caller, VfsHandle, VfsNode } from "../../../src/vfs/node.js";
import { MemoryShare, O_APPEND, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, ROOT, USER } from "./memory-share.js";

const CLEARING: Caller = { ...USER, clearsPrivileges: true };
const CAPABILITY = "security.capability";

let share: MemoryShare;
beforeEach(() => {
  share = new MemoryShare();
});
afterEach(() => {
  share.stop();
});

const permissions = (node: VfsNode) => (share.stat(node).mode & 0o7777).toString(8);

function hasCapability(node: VfsNode): boolean {
  return share.backend.getxattr(ROOT, node, CAPABILITY, new Uint8Array(0)) >= 0;
}

describe("setuid, setgid and capabilities", () => {
  const changes: [string, (caller: Caller, node: VfsNode, handle: VfsHandle) => unknown][] = [
    ["write", (caller, _node, handle) => share.backend.write(caller, handle, 0, Buffer.from("x"))],
    ["open with O_TRUNC", (caller, node) => share.backend.open(caller, node, O_RDWR | O_TRUNC)],
    ["truncate", (caller, node) => share.setattr(node, { valid: Change.SIZE, size: 3n }, caller)],
    ["fallocate", (caller, _node, handle) => share.backend.fallocate(caller, handle, 0, 0n, 100n)],
    [
      "copy_file_range",
      (caller, _node, handle) => {
        const from = share.create("from");
        share.write(from, 0, "data");
        return share.backend.copyFileRange(caller, from, 0n, handle, 0n, 4n);
      },
    ],
  ];

  it.each(changes)("%s clears", (_name, change) => {
    const node = share.mknod("f", share.root, 0o106755);
    const plainGroup = share.mknod("g", share.root, 0o106745);
    for (const file of [node, plainGroup]) {
      share.backend.setxattr(ROOT, file, CAPABILITY, Buffer.from("c"), 0);
      change(CLEARING, file, share.open(file));
    }
    expect(permissions(node)).toBe("755");
    // setgid without group execution means mandatory locking, not a privilege.
    expect(permissions(plainGroup)).toBe("2745");
    expect([hasCapability(node), hasCapability(plainGroup)]).toEqual([false, false]);
  });

  it.each(changes)("%s by the privileged clears capabilities alone", (_name, change) => {
    const node = share.mknod("f", share.root, 0o106755);
    share.backend.setxattr(ROOT, node, CAPABILITY, Buffer.from("c"), 0);
    change(ROOT, node, share.open(node));
    expect(permissions(node)).toBe("6755");
    expect(hasCapability(node)).toBe(false);
  });

  it("a file with capabilities is not written by native code", () => {
    const node = share.mknod("f");
    share.write(share.open(node), 0, "x");
    share.backend.setxattr(ROOT, node, CAPABILITY, Buffer.from("c"), 0);
    expect(share.open(node).boundFile).toBeUndefined();
    expect(share.open(node, O_RDONLY).boundFile).toBeDefined();
  });

  it("chown clears, also by root, but not of a directory", () => {
    const node = share.mknod("f", share.root, 0o106755);
    share.setattr(node, { valid: Change.UID, uid: 5 });
    expect(permissions(node)).toBe("755");
    const directory = share.mkdir("d", share.root, 0o6755);
    share.setattr(directory, { valid: Change.UID | Change.KILL_SUIDGID, uid: 5 });
    expect(permissions(directory)).toBe("6755");
  });
});

describe("a file without a name", () => {
  function tmpfile(flags = O_RDWR, parent = share.root): VfsHandle {
    const handle = share.backend.tmpfile(ROOT, parent, flags, 0o600, share.out);
    if (typeof handle === "number") {
      throw new Error(`errno ${-handle}`);
    }
    share.inodes.reference(handle.node);
    share.inodes.pin(handle.node);
    return handle;
  }

  it("has no link, is written and goes with its handle", () => {
    const before = share.backend.statfs();
    const handle = tmpfile();
    expect(share.stat(handle.node)).toMatchObject({ nlink: 0, mode: 0o100600, size: 0 });
    expect(share.write(handle, 0, "hello")).toBe(5);
    expect(share.names(share.root)).toEqual([".", ".."]);
    expect(share.backend.statfs().filesFree).toBe(before.filesFree - 1);
    share.release(handle);
    share.forget(handle.node);
    expect(share.backend.statfs()).toEqual(before);
  });

  it("gets a name by link, which is counted once", () => {
    const before = share.backend.statfs().filesFree;
    const handle = tmpfile();
    share.write(handle, 0, "hello");
    expect(share.backend.link(ROOT, handle.node, share.root, "named", share.out)).toBe(handle.node);
    expect(share.stat(handle.node).nlink).toBe(1);
    share.release(handle);
    share.forget(handle.node);
    expect(share.read(share.open(share.lookup("named")))).toBe("hello");
    share.backend.unlink(ROOT, share.root, "named");
    expect(share.backend.statfs().filesFree).toBe(before - 1);
  });

  it("gets none with O_EXCL, nor after its name is gone again", () => {
    const handle = tmpfile(O_RDWR | O_EXCL);
    expect(share.backend.link(ROOT, handle.node, share.root, "x", share.out)).toBe(-ENOENT);
    const other = tmpfile();
    share.backend.link(ROOT, other.node, share.root, "x", share.out);
    share.backend.unlink(ROOT, share.root, "x");
    expect(share.backend.link(ROOT, other.node, share.root, "x", share.out)).toBe(-ENOENT);
  });

  it("is refused read-only, in what is no directory, and without room", () => {
    const make = (parent: VfsNode, flags: number) => share.backend.tmpfile(ROOT, parent, flags, 0, share.out);
    expect(make(share.root, O_RDONLY)).toBe(-EINVAL);
    expect(make(share.mknod("f"), O_RDWR)).toBe(-ENOTDIR);
    const removed = share.mkdir("d");
    share.backend.rmdir(ROOT, share.root, "d");
    expect(make(removed, O_RDWR)).toBe(-ENOENT);
    const full = new MemoryShare({ inodeLimit: 1 });
    expect(full.backend.tmpfile(ROOT, full.root, O_RDWR, 0, full.out)).toBe(-ENOSPC);
    full.stop();
  });
});

describe("links", () => {
  it("end at what st_nlink can say", () => {
    const node = share.mknod("f");
    (node as VfsNode & { nlink: number }).nlink = 0xffff_fffe;
    expect(share.backend.link(ROOT, node, share.root, "a", share.out)).toBe(node);
    expect(share.stat(node).nlink).toBe(0xffff_ffff);
    expect(share.backend.link(ROOT, node, share.root, "b", share.out)).toBe(-EMLINK);
  });

  it("the parent of a directory is found, the root being its own", () => {
    const [a, f] = [share.mkdir("a"), share.mknod("f")];
    const b = share.mkdir("b", a);
    const parentOf = (node: VfsNode) => share.backend.parentOf(ROOT, node, share.out);
    expect([parentOf(b), parentOf(a), parentOf(share.root)]).toEqual([a, share.root, share.root]);
    expect(parentOf(f)).toBe(-ENOTDIR);
    share.rename("b", "b", 0, a, share.root);
    expect(parentOf(b)).toBe(share.root);
  });
});

describe("chattr", () => {
  const [GETFLAGS, SETFLAGS, FSGETXATTR, FSSETXATTR] = [0x8008_6601, 0x4008_6602, 0x801c_581f, 0x401c_5820];
  const [IMMUTABLE, APPEND, NODUMP] = [0x10, 0x20, 0x40];

  function ioctl(node: VfsNode, command: number, value: number, caller = ROOT): number {
    const handle = share.backend.opendir(ROOT, node);
    const opened = typeof handle === "number" ? share.open(node, O_RDONLY) : handle;
    const [input, into] = [Buffer.alloc(28), Buffer.alloc(28)];
    input.writeUInt32LE(value, 0);
    const count = share.backend.ioctl(caller, opened, command, input, into);
    return count > 0 ? into.readUInt32LE(0) : count;
  }

  it("sets and shows i, a and d, both ways", () => {
    const node = share.mknod("f");
    expect(ioctl(node, GETFLAGS, 0)).toBe(0);
    expect(ioctl(node, SETFLAGS, APPEND | NODUMP)).toBe(0);
    expect(ioctl(node, GETFLAGS, 0)).toBe(APPEND | NODUMP);
    expect(ioctl(node, FSGETXATTR, 0)).toBe(0x90);
    expect(ioctl(node, FSSETXATTR, 0x80)).toBe(0);
    expect(ioctl(node, GETFLAGS, 0)).toBe(NODUMP);
    expect(ioctl(node, SETFLAGS, 0x4000)).toBe(-EOPNOTSUPP);
    expect(ioctl(node, FSSETXATTR, 1)).toBe(-EOPNOTSUPP);
    expect(ioctl(node, SETFLAGS, 0, USER)).toBe(-EPERM);
    expect(ioctl(node, 0x5401, 0)).toBe(-ENOTTY);
  });

  it("immutable: nothing changes", () => {
    const [node, directory] = [share.mknod("f"), share.mkdir("d")];
    share.mknod("in", directory);
    ioctl(node, SETFLAGS, IMMUTABLE);
    ioctl(directory, SETFLAGS, IMMUTABLE);
    const { backend, root, out } = share;
    expect(backend.open(ROOT, node, O_RDWR)).toBe(-EPERM);
    expect(share.setattr(node, { valid: Change.MODE, mode: 0 })).toBe(-EPERM);
    expect(share.setattr(node, { valid: Change.MTIME | Change.MTIME_NOW })).toBe(-EPERM);
    expect(backend.setxattr(ROOT, node, "user.a", Buffer.from("x"), 0)).toBe(-EPERM);
    expect(backend.link(ROOT, node, root, "g", out)).toBe(-EPERM);
    expect(backend.unlink(ROOT, root, "f")).toBe(-EPERM);
    expect(share.rename("f", "g")).toBe(-EPERM);
    expect(backend.mkdir(ROOT, directory, "x", 0, out)).toBe(-EPERM);
    expect(backend.mkdir(ROOT, directory, "in", 0, out)).toBe(-EEXIST);
    expect(backend.unlink(ROOT, directory, "in")).toBe(-EPERM);
    ioctl(node, SETFLAGS, 0);
    expect(backend.unlink(ROOT, root, "f")).toBe(0);
  });

  it("append-only: files grow and directories take names", () => {
    const [node, directory] = [share.mknod("f"), share.mkdir("d")];
    ioctl(node, SETFLAGS, APPEND);
    ioctl(directory, SETFLAGS, APPEND);
    expect(share.backend.open(ROOT, node, O_RDWR)).toBe(-EPERM);
    expect(share.backend.open(ROOT, node, O_RDWR | O_APPEND | O_TRUNC)).toBe(-EPERM);
    expect(share.write(share.open(node, O_RDWR | O_APPEND), 0, "x")).toBe(1);
    expect(share.setattr(node, { valid: Change.SIZE, size: 0n })).toBe(-EPERM);
    expect(share.setattr(node, { valid: Change.MTIME | Change.MTIME_NOW })).toBe(0);
    share.mknod("x", directory);
    expect(share.backend.unlink(ROOT, directory, "x")).toBe(-EPERM);
  });
});
