import {
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { describe, expect, it } from "vitest";
import { Attr } from "../../../src/vfs/attributes.js";
import { ENOENT, ESTALE } from "../../../src/vfs/errno.js";
import { node, openDescriptors, ROOT_CALLER, TestShare } from "./share.js";

const TMPFS_MAGIC = 0x01021994;

function lazy(share: TestShare, name: string) {
  const entry = share.list(share.root, true).find((listed) => listed.name === name);
  return node(entry?.node ?? -1);
}

/** Deletes `from` and creates files until one gets its inode number; false when the file system does not. */
function reuseNumber(share: TestShare, from: string, to: string): boolean {
  const { ino } = statSync(share.path(from));
  unlinkSync(share.path(from));
  // A birth in the same tick of the kernel's clock would be the same identity.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  for (let i = 0; i < 50; i++) {
    writeFileSync(share.path(to), "other");
    if (statSync(share.path(to)).ino === ino) return true;
    renameSync(share.path(to), share.path(`${to}-${i}`));
  }
  return false;
}

describe("one node per file", () => {
  it("finds the same node under every name and after every kind of listing", () => {
    const share = new TestShare();
    writeFileSync(share.path("a"), "x");
    linkSync(share.path("a"), share.path("b"));
    const a = share.lookup("a");
    expect(share.lookup("b")).toBe(a);
    expect(lazy(share, "b")).toBe(a);
    expect(a.path).toBeGreaterThanOrEqual(0);
    expect(share.attr[Attr.NLINK]).toBe(2);
  });

  it("answers ENOENT without a node", () => {
    const share = new TestShare();
    expect(share.backend.lookup(ROOT_CALLER, share.root, "none", share.attr)).toBe(-ENOENT);
  });

  it("refuses names that are no component, should one ever arrive", () => {
    const share = new TestShare();
    for (const name of ["", ".", "..", "a/b", "../x", "a\0b", "x".repeat(256)]) {
      expect(share.backend.lookup(ROOT_CALLER, share.root, name, share.attr)).toBeLessThan(0);
      expect(share.backend.mkdir(ROOT_CALLER, share.root, name, 0o755, share.attr)).toBeLessThan(0);
      expect(share.unlink(name)).toBeLessThan(0);
      expect(share.rename(name, "x")).toBeLessThan(0);
    }
  });

  it("closes the descriptor with forget and makes a new node afterwards", () => {
    const share = new TestShare();
    writeFileSync(share.path("a"), "x");
    const before = openDescriptors();
    const a = share.lookup("a");
    expect(openDescriptors()).toBe(before + 1);
    share.backend.forget(a);
    expect(openDescriptors()).toBe(before);
    expect(share.lookup("a")).not.toBe(a);
  });

  it("keeps the node while a handle is open", () => {
    const share = new TestShare();
    const handle = share.create("a");
    share.backend.forget(handle.node);
    expect(share.lookup("a")).toBe(handle.node);
    share.backend.forget(handle.node);
    share.release(handle);
    expect(share.lookup("a")).not.toBe(handle.node);
  });
});

describe("lazy nodes", () => {
  it("open nothing until they are used", () => {
    const share = new TestShare();
    for (let i = 0; i < 100; i++) writeFileSync(share.path(`f${i}`), "x");
    const before = openDescriptors();
    const nodes = share.list(share.root, true).flatMap((entry) => entry.node ?? []);
    expect(nodes).toHaveLength(100);
    expect(openDescriptors()).toBe(before);
    for (const each of nodes) expect(share.getattr(each)).toBe(0);
    expect(openDescriptors()).toBe(before);
    const found = share.lookup("f7");
    expect(nodes).toContain(found);
    expect(found.path).toBe(-1);
    share.release(share.backend.open(ROOT_CALLER, found, 0) as never);
    expect(found.path).toBeGreaterThanOrEqual(0);
  });

  it("follow the guest's rename, exchange and links", () => {
    const share = new TestShare();
    writeFileSync(share.path("a"), "aa");
    writeFileSync(share.path("b"), "b");
    mkdirSync(share.path("d"));
    const a = lazy(share, "a");
    const b = lazy(share, "b");
    const d = lazy(share, "d");
    expect(share.rename("a", "b", 2)).toBe(0);
    expect([share.getattr(a), share.attr[Attr.SIZE]]).toEqual([0, 2]);
    expect([share.getattr(b), share.attr[Attr.SIZE]]).toEqual([0, 1]);
    expect(share.rename("b", "c", 0, share.root, d)).toBe(0);
    expect([share.getattr(a), share.attr[Attr.SIZE]]).toEqual([0, 2]);
    expect(share.lookup("c", d)).toBe(a);
    expect(share.backend.link(ROOT_CALLER, b, d, "second", share.attr)).toBe(b);
    expect(share.attr[Attr.NLINK]).toBe(2);
  });

  it("survive that their name is replaced while a handle is open", () => {
    const share = new TestShare();
    const handle = share.create("a");
    share.release(share.create("b"));
    expect(share.rename("b", "a")).toBe(0);
    expect([share.getattr(handle.node), share.attr[Attr.NLINK]]).toEqual([0, 0]);
    expect(share.lookup("a")).not.toBe(handle.node);
    share.release(handle);
    expect([share.getattr(handle.node), share.attr[Attr.NLINK]]).toEqual([0, 0]);
  });

  it("survive the removal of one of two names", () => {
    const share = new TestShare();
    writeFileSync(share.path("a"), "x");
    linkSync(share.path("a"), share.path("b"));
    const a = lazy(share, "a");
    expect(share.unlink("a")).toBe(0);
    expect(share.unlink("b")).toBe(0);
    expect([share.getattr(a), share.attr[Attr.NLINK]]).toEqual([0, 0]);
  });

  it("of a directory survive rmdir", () => {
    const share = new TestShare();
    const directory = share.mkdir("d");
    expect(share.backend.rmdir(ROOT_CALLER, share.root, "d")).toBe(0);
    expect(share.getattr(directory)).toBe(0);
  });

  it("are dropped with their last name when nobody can use them", () => {
    const share = new TestShare();
    writeFileSync(share.path("a"), "");
    const before = openDescriptors();
    const a = lazy(share, "a");
    expect(share.unlink("a")).toBe(0);
    expect(openDescriptors()).toBe(before);
    expect(share.getattr(a)).toBe(-ESTALE);
    share.backend.forget(a);
  });

  it("of a file with data on a disk keep a descriptor, which is closed some time after", async ({ skip }) => {
    const share = new TestShare();
    if (statfsSync(share.directory).type === TMPFS_MAGIC) skip();
    writeFileSync(share.path("a"), "x".repeat(1 << 20));
    const before = openDescriptors();
    const a = lazy(share, "a");
    expect(share.unlink("a")).toBe(0);
    expect([share.getattr(a), share.attr[Attr.NLINK]]).toEqual([0, 0]);
    share.backend.forget(a);
    await expect.poll(openDescriptors).toBe(before);
    expect(share.getattr(a)).toBe(-ESTALE);
  });

  it("stay usable when unlink fails", () => {
    const share = new TestShare();
    mkdirSync(share.path("d"));
    writeFileSync(share.path("d/x"), "x");
    const directory = lazy(share, "d");
    expect(share.unlink("d")).toBeLessThan(0);
    expect(share.backend.rmdir(ROOT_CALLER, share.root, "d")).toBeLessThan(0);
    expect(share.getattr(directory)).toBe(0);
    expect(share.lookup("d")).toBe(directory);
  });

  it("keep their directory's descriptor, and give it back", () => {
    const share = new TestShare();
    mkdirSync(share.path("d"));
    writeFileSync(share.path("d/x"), "x");
    const before = openDescriptors();
    const directory = share.lookup("d");
    const x = node(share.list(directory, true).find((entry) => entry.name === "x")?.node ?? -1);
    share.backend.forget(directory);
    expect(share.getattr(x)).toBe(0);
    expect(share.lookup("d")).toBe(directory);
    share.backend.forget(directory);
    share.backend.forget(x);
    expect(openDescriptors()).toBe(before);
  });
});

describe("what the host changes", () => {
  it("a lazy file that was moved away is stale until it is looked up again", () => {
    const share = new TestShare();
    writeFileSync(share.path("a"), "x");
    const a = lazy(share, "a");
    renameSync(share.path("a"), share.path("b"));
    expect(share.getattr(a)).toBe(-ESTALE);
    expect(share.backend.open(ROOT_CALLER, a, 0)).toBe(-ESTALE);
    expect(share.lookup("b")).toBe(a);
    expect(share.getattr(a)).toBe(0);
  });

  it("a lazy file that was replaced is never taken for its successor", () => {
    const share = new TestShare();
    writeFileSync(share.path("a"), "old");
    const a = lazy(share, "a");
    writeFileSync(share.path("new"), "newer");
    renameSync(share.path("new"), share.path("a"));
    expect(share.backend.open(ROOT_CALLER, a, 0)).toBe(-ESTALE);
    expect(share.lookup("a")).not.toBe(a);
    expect(share.unlink("a")).toBe(0);
  });

  it("a reused inode number is another file", () => {
    const share = new TestShare();
    writeFileSync(share.path("a"), "old");
    const a = lazy(share, "a");
    if (!reuseNumber(share, "a", "b")) return;
    expect(share.lookup("b")).not.toBe(a);
    expect(share.getattr(a)).toBe(-ESTALE);
    share.backend.forget(a);
    expect(share.lookup("b").path).toBeGreaterThanOrEqual(0);
  });

  it("a pinned file stays itself when it is moved or deleted", () => {
    const share = new TestShare();
    writeFileSync(share.path("a"), "x");
    const a = share.lookup("a");
    renameSync(share.path("a"), share.path("b"));
    expect(share.getattr(a)).toBe(0);
    rmSync(share.path("b"));
    expect([share.getattr(a), share.attr[Attr.NLINK]]).toEqual([0, 0]);
  });
});
