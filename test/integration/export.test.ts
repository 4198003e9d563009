import { linkSync, readdirSync, readlinkSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { describe, expect, test, vi } from "vitest";
import { type Client, Open, ok, ROOT } from "../support/frontend/index.js";
import { makeFile, mount, useClient } from "../support/frontend-testing.js";

/** Takes all lookups back, and waits until the server has done it. */
async function forget(fs: Client, ...ids: bigint[]): Promise<void> {
  for (const id of ids) fs.forget(id, 1000);
  await vi.waitFor(() => {
    for (const id of ids) expect(fs.getattr(id).error).toBe("ESTALE");
  });
}

describe.each(["passthrough", "memory"] as const)(
  "lookup by id of what the guest forgot, on %s",
  (backend) => {
    const shared = useClient({ backend, args: ["--xattr"] });

    test("finds the file under the id that it had, and its contents", async () => {
      const { fs } = shared;
      const id = makeFile(fs, "file", "contents");
      const { attr } = ok(fs.getattr(id));
      await forget(fs, id);
      const found = ok(fs.lookup(id, "."));
      expect(found.nodeid).toBe(id);
      expect(found.generation).toBe(id >> 32n);
      expect(found.attr).toEqual(attr);
      const { fh } = ok(fs.open(id, Open.RDONLY));
      expect(ok(fs.read(id, fh, 0, 100)).data.toString()).toBe("contents");
      ok(fs.release(id, fh));
      await forget(fs, id);
      expect(ok(fs.lookup(id, ".")).nodeid).toBe(id);
    });

    test("a lookup by name gives the same id", async () => {
      const { fs } = shared;
      const id = makeFile(fs, "by-name", "1");
      await forget(fs, id);
      expect(ok(fs.lookup(ROOT, "by-name")).nodeid).toBe(id);
      await forget(fs, id);
      ok(fs.link(ok(fs.lookup(id, ".")).nodeid, ROOT, "second-name"));
      await forget(fs, id);
      expect(ok(fs.lookup(ROOT, "second-name")).nodeid).toBe(id);
    });

    test("finds what was listed but never looked up", async () => {
      const { fs } = shared;
      const directory = ok(fs.mkdir(ROOT, "listed")).nodeid;
      const made = ["a", "b", "c"].map((name) => ok(fs.mkdir(directory, name)).nodeid);
      await forget(fs, ...made, directory);
      const again = ok(fs.lookup(directory, ".")).nodeid;
      const { fh } = ok(fs.opendir(again));
      const entries = ok(fs.readdirplus(again, fh)).entries.filter(({ name }) => /^[abc]$/.test(name));
      const ids = entries.map(({ entry }) => entry.nodeid);
      expect(ids.sort()).toEqual(made.sort());
      ok(fs.releasedir(again, fh));
      await forget(fs, ...ids, again);
      for (const id of ids) expect(ok(fs.lookup(id, ".")).nodeid).toBe(id);
    });

    test("'..' of a forgotten directory is the directory above it", async () => {
      const { fs } = shared;
      const outer = ok(fs.mkdir(ROOT, "outer")).nodeid;
      const inner = ok(fs.mkdir(outer, "inner")).nodeid;
      await forget(fs, inner, outer);
      expect(ok(fs.lookup(inner, "..")).nodeid).toBe(outer);
      // The directory itself is still forgotten.
      expect(fs.getattr(inner).error).toBe("ESTALE");
      expect(ok(fs.lookup(outer, "..")).nodeid).toBe(ROOT);
      expect(ok(fs.lookup(inner, ".")).nodeid).toBe(inner);
    });

    test("follows the file when it was renamed meanwhile", async () => {
      const { fs } = shared;
      const directory = ok(fs.mkdir(ROOT, "elsewhere")).nodeid;
      const id = makeFile(fs, "to-be-renamed", "moved");
      await forget(fs, id);
      ok(fs.rename(ROOT, "to-be-renamed", directory, "renamed"));
      expect(ok(fs.lookup(id, ".")).attr.size).toBe(5);
      expect(ok(fs.lookup(directory, "renamed")).nodeid).toBe(id);
    });

    test("is ESTALE when the file is gone, and never another file", async () => {
      const { fs } = shared;
      const unlinked = makeFile(fs, "unlinked", "old");
      const replaced = makeFile(fs, "replaced", "old");
      const directory = ok(fs.mkdir(ROOT, "removed")).nodeid;
      await forget(fs, unlinked, replaced, directory);
      ok(fs.unlink(ROOT, "unlinked"));
      ok(fs.rmdir(ROOT, "removed"));
      const others = Array.from({ length: 50 }, (_, i) => makeFile(fs, `other-${i}`, "new"));
      ok(fs.rename(ROOT, "other-0", ROOT, "replaced"));
      for (const id of [unlinked, replaced, directory]) {
        expect(fs.lookup(id, ".").error).toBe("ESTALE");
        expect(others).not.toContain(id);
      }
      expect(fs.lookup(directory, "..").error).toBe("ESTALE");
      const descriptors = `/proc/${fs.gateway.pid}/fd`;
      const open = readdirSync(descriptors).map((fd) => readlinkSync(`${descriptors}/${fd}`));
      expect(
        open.filter((path) => path.startsWith(fs.gateway.directory) && path.endsWith("(deleted)")),
      ).toEqual([]);
      expect(fs.lookup(unlinked + (1n << 32n), ".").error).toBe("ESTALE");
    });

    test("is ESTALE when the file was already unlinked when it was forgotten", async () => {
      const { fs } = shared;
      const { nodeid, fh } = ok(fs.create(ROOT, "temporary"));
      ok(fs.unlink(ROOT, "temporary"));
      ok(fs.release(nodeid, fh));
      await forget(fs, nodeid);
      expect(fs.lookup(nodeid, ".").error).toBe("ESTALE");
    });

    test("of any other operation and name is refused", async () => {
      const { fs } = shared;
      const directory = ok(fs.mkdir(ROOT, "forgotten")).nodeid;
      ok(fs.mkdir(directory, "inside"));
      await forget(fs, directory);
      expect(fs.lookup(directory, "inside").error).toBe("ESTALE");
      expect(fs.open(directory, Open.RDONLY).error).toBe("ESTALE");
      expect(fs.mkdir(directory, "new").error).toBe("ESTALE");
      expect(ok(fs.lookup(directory, ".")).nodeid).toBe(directory);
      ok(fs.lookup(directory, "inside"));
    });
  },
);

describe("lookup by id of what the host changed after the guest forgot it", () => {
  const shared = useClient({ backend: "passthrough" });

  test("finds a file that moved, also one that was only listed", async () => {
    const { fs } = shared;
    for (const name of ["seen", "listed"]) writeFileSync(fs.hostPath(name), name);
    const seen = ok(fs.lookup(ROOT, "seen")).nodeid;
    const { fh } = ok(fs.opendir(ROOT));
    const entries = ok(fs.readdirplus(ROOT, fh)).entries;
    const listed = entries.find(({ name }) => name === "listed")?.entry.nodeid ?? 0n;
    ok(fs.releasedir(ROOT, fh));
    await forget(fs, seen, listed);
    for (const name of ["seen", "listed"]) renameSync(fs.hostPath(name), fs.hostPath(`${name}-moved`));
    expect(ok(fs.lookup(seen, ".")).attr.size).toBe(4);
    expect(ok(fs.lookup(listed, ".")).attr.size).toBe(6);
  });

  test("is ESTALE for what another file has replaced", async () => {
    const { fs } = shared;
    const path = fs.hostPath("victim");
    writeFileSync(path, "victim");
    const id = ok(fs.lookup(ROOT, "victim")).nodeid;
    await forget(fs, id);
    rmSync(path);
    // The file system likes to give the same inode number again.
    for (let i = 0; i < 20; i++) writeFileSync(fs.hostPath(`new-${i}`), "");
    writeFileSync(path, "another");
    expect(fs.lookup(id, ".").error).toBe("ESTALE");
    expect(ok(fs.lookup(ROOT, "victim")).nodeid).not.toBe(id);
  });

  test("finds a file that lost one of its names", async () => {
    const { fs } = shared;
    writeFileSync(fs.hostPath("one"), "linked");
    linkSync(fs.hostPath("one"), fs.hostPath("two"));
    const id = ok(fs.lookup(ROOT, "one")).nodeid;
    await forget(fs, id);
    unlinkSync(fs.hostPath("one"));
    expect(ok(fs.lookup(id, ".")).attr).toMatchObject({ size: 6, nlink: 1 });
  });
});

test("without file handles what was forgotten is ESTALE, and found by name", async () => {
  const fs = await mount({ backend: "passthrough", args: ["--inode-file-handles=never"] });
  const id = makeFile(fs, "file", "contents");
  await forget(fs, id);
  expect(fs.lookup(id, ".").error).toBe("ESTALE");
  expect(ok(fs.lookup(ROOT, "file")).attr.size).toBe(8);
});
