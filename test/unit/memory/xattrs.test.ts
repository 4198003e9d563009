import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Change } from "../../../src/vfs/attributes.js";
import { E2BIG, EEXIST, EINVAL, ENODATA, ENOSPC, EOPNOTSUPP, EPERM, ERANGE } from "../../../src/vfs/errno.js";
import type { VfsNode } from "../../../src/vfs/node.js";
import { MemoryShare, ROOT, USER } from "./memory-share.js";

let share: MemoryShare;
beforeEach(() => {
  share = new MemoryShare();
});
afterEach(() => {
  share.stop();
});

function set(node: VfsNode, name: string, value: string | Uint8Array, flags = 0, caller = ROOT): number {
  return share.backend.setxattr(caller, node, name, Buffer.from(value), flags);
}

function get(node: VfsNode, name: string, caller = ROOT, length = 100): string | number {
  const into = Buffer.alloc(length);
  const count = share.backend.getxattr(caller, node, name, into);
  return count < 0 ? count : into.toString("latin1", 0, count);
}

describe("extended attributes", () => {
  it("are set, read, listed and removed", () => {
    const node = share.mknod("f");
    expect(set(node, "user.a", "1")).toBe(0);
    expect(set(node, "user.b", "")).toBe(0);
    expect(set(node, "user.a", "22", 1)).toBe(-EEXIST);
    expect(set(node, "user.a", "22", 2)).toBe(0);
    expect(set(node, "user.c", "22", 2)).toBe(-ENODATA);
    expect(get(node, "user.a")).toBe("22");
    expect(get(node, "user.b")).toBe("");
    expect(get(node, "user.c")).toBe(-ENODATA);
    expect(get(node, "user.a", ROOT, 1)).toBe(-ERANGE);
    expect(share.backend.getxattr(ROOT, node, "user.a", new Uint8Array(0))).toBe(2);
    expect(share.backend.listxattr(ROOT, node, new Uint8Array(0))).toBe(14);
    expect(share.backend.listxattr(ROOT, node, new Uint8Array(13))).toBe(-ERANGE);
    const into = Buffer.alloc(14);
    expect(share.backend.listxattr(ROOT, node, into)).toBe(14);
    expect(into.toString()).toBe("user.a\0user.b\0");
    expect(share.backend.removexattr(ROOT, node, "user.a")).toBe(0);
    expect(share.backend.removexattr(ROOT, node, "user.a")).toBe(-ENODATA);
  });

  it("keep a value of their own", () => {
    const node = share.mknod("f");
    const value = Buffer.from("before");
    share.backend.setxattr(ROOT, node, "user.a", value, 0);
    value.fill(0);
    expect(get(node, "user.a")).toBe("before");
  });

  it("have the namespaces and limits of Linux", () => {
    const node = share.mknod("f");
    expect(set(node, "system.posix_acl_access", "x")).toBe(-EOPNOTSUPP);
    expect(set(node, "other.a", "x")).toBe(-EOPNOTSUPP);
    expect(set(node, "user.", "x")).toBe(-EINVAL);
    expect(set(node, `user.${"n".repeat(251)}`, "x")).toBe(-ERANGE);
    expect(set(node, `user.${"n".repeat(250)}`, "x")).toBe(0);
    expect(set(node, "user.a", new Uint8Array(65_536))).toBe(0);
    expect(set(node, "user.b", new Uint8Array(65_537))).toBe(-E2BIG);
    expect(set(node, "user.a", "x", 4)).toBe(-EINVAL);
    const link = share.symlink("l", "t");
    expect(set(link, "user.a", "x")).toBe(-EPERM);
    expect(get(link, "user.a")).toBe(-ENODATA);
    expect(set(link, "trusted.a", "x")).toBe(0);
    expect(set(node, "trusted.a", "x", 0, USER)).toBe(-EPERM);
    expect(get(link, "trusted.a", USER)).toBe(-ENODATA);
    expect(share.backend.listxattr(USER, link, new Uint8Array(0))).toBe(0);
  });

  it("count against inodes and size, and give both back", () => {
    const before = share.backend.statfs();
    const node = share.mknod("f");
    expect(set(node, "user.a", new Uint8Array(50_000))).toBe(0);
    expect(share.backend.statfs().blocksFree).toBe(before.blocksFree - 13);
    expect(share.backend.statfs().filesFree).toBeLessThan(before.filesFree - 48);
    let last = 0;
    for (let i = 0; i < 30 && last === 0; i++) {
      last = set(node, `user.${i}`, new Uint8Array(60_000));
    }
    expect(last).toBe(-ENOSPC);
    share.forget(node);
    share.backend.unlink(ROOT, share.root, "f");
    expect(share.backend.statfs()).toEqual(before);
  });

  it("lose file capabilities when the owner or contents change", () => {
    const node = share.mknod("f");
    set(node, "security.capability", "caps");
    share.setattr(node, { valid: Change.MODE, mode: 0o700 });
    expect(get(node, "security.capability")).toBe("caps");
    share.setattr(node, { valid: Change.GID, gid: 3 });
    expect(get(node, "security.capability")).toBe(-ENODATA);
  });
});
