import { mkdirSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Attr } from "../../../src/vfs/attributes.js";
import { ENOENT, ENOTDIR, ESTALE } from "../../../src/vfs/errno.js";
import { file, node, ROOT_CALLER, TestShare } from "./share.js";

/** Contents read through a handle. */
async function contents(share: TestShare, handle: ReturnType<typeof file>): Promise<string> {
  const into = Buffer.alloc(100);
  const count = await share.backend.read(ROOT_CALLER, handle, 0, into);
  return into.latin1Slice(0, count);
}

describe("what the host does to a file that the guest uses", () => {
  it("truncating and writing shows at once", async () => {
    const share = new TestShare();
    writeFileSync(share.path("f"), "0123456789");
    const f = share.lookup("f");
    const handle = file(share.backend.open(ROOT_CALLER, f, 0));
    truncateSync(share.path("f"), 4);
    expect([share.getattr(f), share.attr[Attr.SIZE]]).toEqual([0, 4]);
    expect(await contents(share, handle)).toBe("0123");
    writeFileSync(share.path("f"), "fresh");
    expect([share.getattr(f, handle), share.attr[Attr.SIZE]]).toEqual([0, 5]);
    expect(await contents(share, handle)).toBe("fresh");
    share.release(handle);
  });

  it("replacing it leaves the old one to who has it and gives the new one to who asks", async () => {
    const share = new TestShare();
    writeFileSync(share.path("f"), "old");
    const old = share.lookup("f");
    const handle = file(share.backend.open(ROOT_CALLER, old, 0));
    writeFileSync(share.path("next"), "brand new");
    renameSync(share.path("next"), share.path("f"));
    const found = share.lookup("f");
    expect(found).not.toBe(old);
    expect(share.attr[Attr.SIZE]).toBe(9);
    expect(await contents(share, handle)).toBe("old");
    expect([share.getattr(old), share.attr[Attr.NLINK]]).toEqual([0, 0]);
    share.release(handle);
  });

  it("deleting a listed one makes it stale, and its name is free", () => {
    const share = new TestShare();
    writeFileSync(share.path("f"), "x");
    const listed = node(share.list(share.root, true).find((entry) => entry.name === "f")?.node ?? -1);
    rmSync(share.path("f"));
    expect(share.getattr(listed)).toBe(-ESTALE);
    expect(share.setattr(listed, { valid: 1, mode: 0o600 })).toBe(-ESTALE);
    expect(share.unlink("f")).toBe(-ENOENT);
    const made = share.create("f");
    expect(made.node).not.toBe(listed);
    share.release(made);
  });

  it("putting a file where a directory was never makes one look like the other", () => {
    const share = new TestShare();
    mkdirSync(share.path("d/sub"), { recursive: true });
    const listed = node(share.list(share.root, true).find((entry) => entry.name === "d")?.node ?? -1);
    rmSync(share.path("d"), { recursive: true });
    writeFileSync(share.path("d"), "x");
    expect(share.backend.lookup(ROOT_CALLER, listed, "sub", share.attr)).toBe(-ESTALE);
    expect(share.backend.opendir(ROOT_CALLER, listed)).toBe(-ESTALE);
    expect(share.backend.opendir(ROOT_CALLER, share.lookup("d"))).toBe(-ENOTDIR);
  });
});
