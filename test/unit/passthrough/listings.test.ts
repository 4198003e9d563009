import {
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { directory, ROOT_CALLER, TestShare } from "./share.js";

/** Waits until a listing of the directory may be kept: its last change is long enough ago. */
async function settle(path: string): Promise<void> {
  while (Date.now() - statSync(path).ctimeMs < 120) {
    await delay(20);
  }
}

function names(share: TestShare, plus: boolean, capacity?: number): string[] {
  return share.list(share.root, plus, capacity).map((entry) => entry.name);
}

function hostNames(share: TestShare): string[] {
  return [".", "..", ...readdirSync(share.directory)].sort();
}

describe.each(["/dev/shm", "/tmp"])("listings that are kept, below %s", (below) => {
  it("are as good as the first, whole and in pieces", async () => {
    const share = new TestShare({}, below);
    for (let i = 0; i < 300; i++) writeFileSync(share.path(`a file with number ${i}`), "");
    await settle(share.directory);
    const first = share.list(share.root, false);
    expect(first.map((entry) => entry.name).sort()).toEqual(hostNames(share));
    for (const capacity of [200, 4096, 1 << 16]) {
      expect(share.list(share.root, false, capacity)).toEqual(first);
      expect(names(share, true, capacity)).toEqual(first.map((entry) => entry.name));
    }
  });

  it("follow every change, by the guest and on the host", async () => {
    const share = new TestShare({}, below);
    const { directory } = share;
    const changes = [
      () => writeFileSync(share.path("a"), ""),
      () => renameSync(share.path("a"), share.path("b")),
      () => symlinkSync("b", share.path("c")),
      () => share.mkdir("d"),
      () => share.rename("b", "e"),
      () => share.rename("c", "e", 2),
      () => unlinkSync(share.path("c")),
      () => rmdirSync(share.path("d")),
      () => share.unlink("e"),
    ];
    for (const change of changes) {
      change();
      expect(names(share, false).sort()).toEqual(hostNames(share));
      await settle(directory);
      expect(names(share, false).sort()).toEqual(hostNames(share));
      expect(names(share, false).sort()).toEqual(hostNames(share));
    }
  });

  it("go on where they were left, whatever changes meanwhile", async () => {
    const share = new TestShare({}, below);
    for (let i = 0; i < 200; i++) writeFileSync(share.path(`file-${i}`), "");
    await settle(share.directory);
    names(share, false);
    const handle = directory(share.backend.opendir(ROOT_CALLER, share.root));
    const begun = share.listFrom(handle, false, 0n, 2000);
    unlinkSync(share.path(begun.at(-1)?.name ?? ""));
    writeFileSync(share.path("a new one"), "");
    const seen = begun.map((entry) => entry.name);
    for (let batch = begun; batch.length > 0; ) {
      batch = share.listFrom(handle, false, batch.at(-1)?.offset ?? 0n, 2000);
      seen.push(...batch.map((entry) => entry.name));
    }
    share.backend.releasedir(handle);
    expect(new Set(seen).size).toBe(seen.length);
    for (const name of readdirSync(share.directory)) {
      if (name !== "a new one") expect(seen).toContain(name);
    }
  });

  it("end with the directory", async () => {
    const share = new TestShare({}, below);
    mkdirSync(share.path("d"));
    const node = share.lookup("d");
    await settle(share.path("d"));
    expect(share.list(node, false)).toHaveLength(2);
    rmdirSync(share.path("d"));
    expect(() => share.list(node, false)).toThrow("readdir: -2");
  });
});
