import { mkdirSync, readdirSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { DirectoryHandle } from "../../../backends/passthrough/node.js";
import { S_IFDIR, S_IFLNK, S_IFREG } from "../../../src/vfs/attributes.js";
import { ENOENT, ENOTDIR } from "../../../src/vfs/errno.js";
import { directory, node, ROOT_CALLER, TestShare } from "./share.js";

function filled(count: number): TestShare {
  const share = new TestShare();
  for (let i = 0; i < count; i++) writeFileSync(share.path(`file-${i}${"x".repeat(i % 200)}`), "");
  return share;
}

function opendir(share: TestShare): DirectoryHandle {
  return directory(share.backend.opendir(ROOT_CALLER, share.root));
}

describe.each([
  { plus: false, capacity: 600 },
  { plus: false, capacity: 4096 },
  { plus: true, capacity: 600 },
  { plus: true, capacity: 4096 },
  { plus: true, capacity: 1 << 20 },
])("a listing, plus $plus, $capacity bytes at a time", ({ plus, capacity }) => {
  it("has every entry once", () => {
    const share = filled(700);
    const names = share.list(share.root, plus, capacity).map((entry) => entry.name);
    expect(names.sort()).toEqual([".", "..", ...readdirSync(share.directory)].sort());
  });

  it("goes on at any offset that was given out, with other listings in between", () => {
    const share = filled(300);
    const whole = share.list(share.root, plus, capacity);
    const first = opendir(share);
    const second = opendir(share);
    for (const at of [0, 299, 5, 150, 151, 6, 298]) {
      const offset = whole[at]?.offset ?? 0n;
      const expected = whole[at + 1]?.name;
      expect(share.listFrom(first, plus, offset, capacity)[0]?.name).toBe(expected);
      expect(share.listFrom(second, plus, offset, capacity)[0]?.name).toBe(expected);
    }
    expect(share.listFrom(first, plus, whole[whole.length - 1]?.offset ?? 0n, capacity)).toEqual([]);
    expect(share.listFrom(first, plus, 0n, capacity)[0]?.name).toBe(whole[0]?.name);
    share.backend.releasedir(first);
    share.backend.releasedir(second);
  });
});

describe("entries", () => {
  it("carry nodes, attributes and types; dot and dot-dot carry none", () => {
    const share = new TestShare();
    writeFileSync(share.path("file"), "x");
    mkdirSync(share.path("directory"));
    symlinkSync("/nowhere", share.path("link"));
    writeFileSync(Buffer.concat([Buffer.from(`${share.directory}/`), Buffer.from([0xff, 0x41])]), "");
    const entries = new Map(share.list(share.root, true).map((entry) => [entry.name, entry]));
    expect(entries.get(".")?.node).toBeUndefined();
    expect(entries.get("..")?.node).toBeUndefined();
    for (const [name, type] of [
      ["file", S_IFREG],
      ["directory", S_IFDIR],
      ["link", S_IFLNK],
    ] as const) {
      const entry = entries.get(name);
      expect(entry?.type).toBe(type >> 12);
      expect((entry?.mode ?? 0) & 0o170000).toBe(type);
      expect(entry?.node).toBe(share.lookup(name));
    }
    expect(entries.get("\xffA")?.node).toBe(share.lookup("\xffA"));
    expect(entries.get("file")?.ino).toBe(statSync(share.path("file")).ino);
  });

  it("that are gone meanwhile are left out, and rewinding shows the present", () => {
    const share = filled(60);
    const handle = opendir(share);
    const begun = share.listFrom(handle, true, 0n, 1000);
    const gone = readdirSync(share.directory).filter((name) => !begun.some((entry) => entry.name === name));
    for (const name of gone) unlinkSync(share.path(name));
    const rest = share.listFrom(handle, true, begun[begun.length - 1]?.offset ?? 0n, 1 << 20);
    expect(rest.filter((entry) => !entry.name.startsWith("."))).toEqual([]);
    writeFileSync(share.path("fresh"), "");
    const names = share.listFrom(handle, true, 0n, 1 << 20).map((entry) => entry.name);
    expect(names.sort()).toEqual([".", "..", ...readdirSync(share.directory)].sort());
    share.backend.releasedir(handle);
  });

  it("of a removed directory are ENOENT as on the host, and a file is no directory", () => {
    const share = new TestShare();
    mkdirSync(share.path("d"));
    const directory = share.lookup("d");
    rmSync(share.path("d"), { recursive: true });
    expect(() => share.list(directory, true)).toThrow(`readdir: ${-ENOENT}`);
    const file = share.create("f");
    expect(share.backend.opendir(ROOT_CALLER, file.node)).toBe(-ENOTDIR);
    share.release(file);
  });

  it("refuse a reply without room for one", () => {
    const share = filled(3);
    const handle = opendir(share);
    expect(() => share.listFrom(handle, true, 0n, 100)).toThrow("-22");
    share.backend.releasedir(handle);
  });

  it("sync to disk", async () => {
    const share = new TestShare();
    const handle = opendir(share);
    expect(await share.backend.fsyncdir(ROOT_CALLER, handle, true)).toBe(0);
    share.backend.releasedir(handle);
    expect(node(share.root)).toBe(share.root);
  });
});
