import { constants, mkdirSync, renameSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { PassthroughNode } from "../../../backends/passthrough/node.js";
import type { FileHandleUse } from "../../../backends/passthrough/passthrough-backend.js";
import { Attr } from "../../../src/vfs/attributes.js";
import { ESTALE } from "../../../src/vfs/errno.js";
import { file, openDescriptors, ROOT_CALLER, TestShare } from "./share.js";

const { O_RDWR, O_TRUNC } = constants;
const LIMIT = 100;
/** Descriptors above the limit: those in use, mounts, and a margin. */
const SLACK = 20;

interface Case {
  inodeFileHandles: FileHandleUse;
  below: string;
}
const CASES: Case[] = [
  { inodeFileHandles: "prefer", below: "/dev/shm" },
  { inodeFileHandles: "prefer", below: "/tmp" },
  { inodeFileHandles: "never", below: "/dev/shm" },
  { inodeFileHandles: "never", below: "/tmp" },
];

function share({ inodeFileHandles, below }: Case): TestShare {
  return new TestShare({ inodeFileHandles, descriptorLimit: LIMIT }, below);
}

/** Makes and looks up files of one byte more each. */
function held(on: TestShare, count: number, parent = on.root, path = ""): PassthroughNode[] {
  return Array.from({ length: count }, (_, i) => {
    writeFileSync(on.path(join(path, `f${i}`)), "x".repeat(i % 50));
    return on.lookup(`f${i}`, parent);
  });
}

describe.each(CASES)("descriptors, file handles $inodeFileHandles, below $below", (options) => {
  it("are bounded while the guest holds 5,000 files, all of them usable", () => {
    const on = share(options);
    const before = openDescriptors();
    const nodes = held(on, 5000);
    expect(openDescriptors() - before).toBeLessThan(LIMIT + SLACK);
    for (const [i, each] of nodes.entries()) {
      expect([on.getattr(each), on.attr[Attr.SIZE]]).toEqual([0, i % 50]);
    }
    for (const [i, each] of nodes.entries()) {
      const handle = file(on.backend.open(ROOT_CALLER, each, 0));
      on.release(handle);
      expect(on.lookup(`f${i}`)).toBe(each);
    }
    expect(openDescriptors() - before).toBeLessThan(LIMIT + SLACK);
    for (const each of nodes) on.backend.forget(each);
    expect(openDescriptors() - before).toBeLessThan(3);
    expect(on.logged).toEqual([]);
  });

  it("of directories are given up and come back", () => {
    const on = share(options);
    const before = openDescriptors();
    const nodes = Array.from({ length: 400 }, (_, i) => {
      mkdirSync(on.path(`d${i}`));
      return on.lookup(`d${i}`);
    });
    expect(openDescriptors() - before).toBeLessThan(LIMIT + SLACK);
    for (const [i, each] of nodes.entries()) {
      writeFileSync(on.path(`d${i}/x`), "x");
      const x = on.lookup("x", each);
      expect(on.lookup(`d${i}`)).toBe(each);
      expect(on.backend.parentOf(ROOT_CALLER, each, on.attr)).toBe(on.root);
      expect(on.rename("x", "y", 0, each, each)).toBe(0);
      expect(on.getattr(x)).toBe(0);
      on.backend.forget(x);
    }
    expect(openDescriptors() - before).toBeLessThan(LIMIT + SLACK);
  });

  it("of open files stay, and what the guest unlinks can be used as long as it is open", () => {
    const on = share(options);
    const nodes = held(on, 50);
    const handles = nodes.map((each) => file(on.backend.open(ROOT_CALLER, each, 0)));
    const others = held(on, 500, on.mkdir("d"), "d");
    for (let i = 0; i < 50; i++) expect(on.unlink(`f${i}`)).toBe(0);
    for (const [i, each] of nodes.entries()) {
      expect([on.getattr(each), on.attr[Attr.NLINK], on.attr[Attr.SIZE]]).toEqual([0, 0, i]);
    }
    for (const handle of handles) on.release(handle);
    for (const each of others) expect(on.getattr(each)).toBe(0);
  });

  it("are not needed to open a file again, which can be unlinked then and used as before", () => {
    const on = share(options);
    const nodes = held(on, 500);
    for (const each of nodes) on.release(file(on.backend.open(ROOT_CALLER, each, 0)));
    const node = nodes.find((each) => each.path < 0) as PassthroughNode;
    const i = nodes.indexOf(node);
    const handle = file(on.backend.open(ROOT_CALLER, node, 0));
    // Without file handles it takes one.
    expect(node.path < 0).toBe(options.inodeFileHandles === "prefer");
    expect(on.unlink(`f${i}`)).toBe(0);
    expect([on.getattr(node), on.attr[Attr.NLINK], on.attr[Attr.SIZE]]).toEqual([0, 0, i % 50]);
    on.release(handle);
  });

  it("a directory whose descriptor was given up can be removed and still be asked about", () => {
    const on = share(options);
    const directory = on.mkdir("d");
    expect(on.lookup("d")).toBe(directory);
    expect(on.backend.statfs(directory)).toBeTypeOf("object");
    held(on, 500);
    expect(directory.path).toBe(-1);
    expect(on.backend.rmdir(ROOT_CALLER, on.root, "d")).toBe(0);
    expect([on.getattr(directory), on.attr[Attr.NLINK]]).toEqual([0, 0]);
  });

  it("a file whose descriptor was given up is stale when the host replaced it, never another", () => {
    const on = share(options);
    const nodes = held(on, 400);
    const old = nodes.filter((each) => each.path < 0).slice(0, 50);
    expect(old).toHaveLength(50);
    for (const each of old) {
      const name = `f${nodes.indexOf(each)}`;
      const { ino } = statSync(on.path(name));
      unlinkSync(on.path(name));
      writeFileSync(on.path(name), "another file, and a longer one than any that was there before it");
      expect(on.getattr(each), `${name} ${ino}`).toBe(-ESTALE);
      expect(on.backend.open(ROOT_CALLER, each, O_TRUNC | O_RDWR)).toBe(-ESTALE);
      expect(on.backend.open(ROOT_CALLER, each, 0)).toBe(-ESTALE);
      expect(statSync(on.path(name)).size).toBeGreaterThan(0);
      const found = on.lookup(name);
      expect(found).not.toBe(each);
      expect(on.getattr(each)).toBe(-ESTALE);
      on.backend.forget(each);
      expect(on.lookup(name)).toBe(found);
      expect(on.getattr(found)).toBe(0);
    }
  });
});

describe("file handles", () => {
  it("find a file wherever the host has moved it", () => {
    const on = share({ inodeFileHandles: "mandatory", below: "/tmp" });
    const nodes = held(on, 300);
    const moved = nodes.findIndex((each) => each.path < 0);
    renameSync(on.path(`f${moved}`), on.path("elsewhere"));
    expect(on.getattr(nodes[moved] as PassthroughNode)).toBe(0);
    expect(on.lookup("elsewhere")).toBe(nodes[moved]);
  });

  it("that are mandatory must work", () => {
    // procfs has none.
    expect(() => new TestShare({ sharedDir: "/proc/self", inodeFileHandles: "mandatory" })).toThrow(
      "--inode-file-handles: expected prefer or never, got mandatory, and file handles do not work here: ENOTSUP",
    );
  });
});
