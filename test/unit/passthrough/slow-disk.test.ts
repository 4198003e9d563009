import { linkSync, mkdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { Attr } from "../../../src/vfs/attributes.js";
import { ENOENT } from "../../../src/vfs/errno.js";
import { file, node, openDescriptors, ROOT_CALLER, TestShare } from "./share.js";

/** A share on a disk of which every lookup says that it is slow. */
async function slowShare(): Promise<TestShare> {
  const share = new TestShare({ patienceMs: -1 });
  await share.backend.lookup(ROOT_CALLER, share.root, "nothing", share.attr);
  return share;
}

async function lookup(share: TestShare, name: string, parent = share.root) {
  return node(await share.backend.lookup(ROOT_CALLER, parent, name, share.attr));
}

it("names on a slow disk lead to the same nodes, first and later, by every name", async () => {
  const share = await slowShare();
  writeFileSync(share.path("a"), "abc");
  linkSync(share.path("a"), share.path("b"));
  mkdirSync(share.path("d"));
  symlinkSync("a", share.path("l"));
  const a = await lookup(share, "a");
  expect(share.attr[Attr.SIZE]).toBe(3);
  expect(share.attr[Attr.INO]).toBe(statSync(share.path("a")).ino);
  for (const name of ["a", "b", "a"]) expect(await lookup(share, name)).toBe(a);
  renameSync(share.path("b"), share.path("d/c"));
  expect(await lookup(share, "c", await lookup(share, "d"))).toBe(a);
  expect((await lookup(share, "l")).isSymlink).toBe(true);
  const opened = file(await share.backend.open(ROOT_CALLER, a, 0));
  expect(readFileSync(opened.fd, "latin1")).toBe("abc");
  share.release(opened);
});

it("names that do not exist on a slow disk are ENOENT, and no descriptor is left", async () => {
  const share = await slowShare();
  const before = openDescriptors();
  for (let i = 0; i < 50; i++) {
    expect(await share.backend.lookup(ROOT_CALLER, share.root, `no ${i % 30}`, share.attr)).toBe(-ENOENT);
  }
  const names = Array.from({ length: 20 }, (_, i) => `f${i}`);
  for (const name of names) writeFileSync(share.path(name), "");
  // All at once, and each twice: one of both comes late.
  const both = [...names, ...names].map((name) =>
    share.backend.lookup(ROOT_CALLER, share.root, name, new Uint32Array(share.attr.length)),
  );
  const nodes = (await Promise.all(both)).map(node);
  expect(new Set(nodes).size).toBe(20);
  for (const each of nodes) share.backend.forget(each);
  expect(openDescriptors()).toBe(before);
});
