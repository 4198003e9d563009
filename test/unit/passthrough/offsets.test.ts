import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { directory, ROOT_CALLER, TestShare } from "./share.js";

/** A directory on an overlay, or undefined where that cannot be mounted. */
function overlay(): string | undefined {
  const base = mkdtempSync("/dev/shm/overlay-");
  onTestFinished(() => rmSync(base, { recursive: true, force: true }));
  for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(join(base, name));
  const merged = join(base, "merged");
  const layers = `lowerdir=${base}/lower,upperdir=${base}/upper,workdir=${base}/work`;
  if (spawnSync("mount", ["-t", "overlay", "overlay", "-o", layers, merged]).status !== 0) return undefined;
  onTestFinished(() => {
    execFileSync("umount", ["-l", merged]);
  });
  return merged;
}

const PLACES: [string, () => string | undefined][] = [
  ["tmpfs", () => "/dev/shm"],
  ["the disk", () => tmpdir()],
  ["an overlay", overlay],
];

describe.each(PLACES)("directory offsets on %s", (_name, place) => {
  it.each([true, false])("show what stays exactly once while others come and go, plus %s", (plus) => {
    const below = place();
    if (below === undefined) return;
    const share = new TestShare({}, below);
    const stays = Array.from({ length: 600 }, (_, i) => `stays-${i}`);
    for (const name of stays) writeFileSync(share.path(name), "");
    for (let i = 0; i < 600; i++) writeFileSync(share.path(`goes-${i}`), "");
    const handle = directory(share.backend.opendir(ROOT_CALLER, share.root));
    const seen: string[] = [];
    let turn = 0;
    for (let offset = 0n; ; turn++) {
      const batch = share.listFrom(handle, plus, offset, 3000);
      if (batch.length === 0) break;
      seen.push(...batch.map((entry) => entry.name));
      offset = batch[batch.length - 1]?.offset ?? 0n;
      for (let i = 0; i < 10; i++) {
        rmSync(share.path(`goes-${turn * 10 + i}`), { force: true });
        writeFileSync(share.path(`comes-${turn}-${i}`), "");
      }
      if (turn > 2) unlinkSync(share.path(`comes-${turn - 2}-0`));
      // Another listing in between must not disturb this one.
      share.list(share.root, plus, 2000);
    }
    expect(turn).toBeGreaterThan(5);
    expect(seen.filter((name) => name.startsWith("stays-")).sort()).toEqual(stays.sort());
    expect(new Set(seen).size).toBe(seen.length);
    const fresh = share.list(share.root, plus).map((entry) => entry.name);
    expect(fresh.filter((name) => !name.startsWith(".")).sort()).toEqual(readdirSync(share.directory).sort());
    share.backend.releasedir(handle);
    share.backend.stop();
  });

  it("can be gone back to", () => {
    const below = place();
    if (below === undefined) return;
    const share = new TestShare({}, below);
    for (let i = 0; i < 300; i++) writeFileSync(share.path(`f${i}`), "");
    const handle = directory(share.backend.opendir(ROOT_CALLER, share.root));
    const whole = share.list(share.root, false).filter((entry) => !entry.name.startsWith("."));
    for (const at of [250, 3, 100, 297, 0, 101]) {
      const offset = whole[at]?.offset ?? 0n;
      const next = share.listFrom(handle, false, offset, 600)[0]?.name;
      expect(next).toBe(whole[at + 1]?.name);
      unlinkSync(share.path(whole[at + 1]?.name ?? ""));
      expect(share.listFrom(handle, false, offset, 600)[0]?.name).toSatisfy(
        // An overlay caches a listing for as long as it is open.
        (name) => name === whole[at + 2]?.name || name === next,
      );
      writeFileSync(share.path(next ?? ""), "");
    }
    share.backend.releasedir(handle);
    share.backend.stop();
  });
});
