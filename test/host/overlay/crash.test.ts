import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MountedShare, whyNoHostMounts } from "../mounted-share.js";
import { type Layers, scratchFileSystem, writableLayer } from "./mounts.js";

/** How often the server is killed; OVERLAY_KILLS=200 is what `npm run soak:overlay` does. */
const KILLS = Number(process.env.OVERLAY_KILLS ?? 6);
const FILES = 120;
/** Every fourth file takes long enough to copy that a kill meets it. */
const LARGE_BYTES = 2 << 20;
const SMALL_BYTES = 5000;
/** The longest that changes go on before the kill. */
const LONGEST_MS = 250;

function contentsOf(file: number): Buffer {
  return Buffer.alloc(file % 4 === 0 ? LARGE_BYTES : SMALL_BYTES, `contents of ${file}\n`);
}

/** Copies each file up by changing its mode and appending to it, renames it, and renames directories of the lower layer. */
const CHANGES = `cd "$0" && for i in $(seq 0 ${FILES - 1}); do
  [ -e f$i ] && chmod 600 f$i && printf 'added\\n' >>f$i && mv f$i g$i
  [ -e d$i ] && mv d$i e$i
done`;

function makeLower(lower: string): void {
  for (let file = 0; file < FILES; file++) {
    writeFileSync(join(lower, `f${file}`), contentsOf(file));
    mkdirSync(join(lower, `d${file}`));
    writeFileSync(join(lower, `d${file}`, "inside"), `${file}`);
  }
}

/** Insists that every file is there once and complete; how many changes were not done yet. */
function checkTree(root: string): number {
  const names = readdirSync(root);
  expect(names).toHaveLength(2 * FILES);
  let unchanged = 0;
  for (let file = 0; file < FILES; file++) {
    const name = names.includes(`g${file}`) ? `g${file}` : `f${file}`;
    const directory = names.includes(`e${file}`) ? `e${file}` : `d${file}`;
    const contents = readFileSync(join(root, name));
    const before = contentsOf(file);
    const isBefore = contents.equals(before);
    unchanged += isBefore ? 1 : 0;
    // A name changes only after what was appended, more than once if a kill came in between.
    const added = contents.toString("latin1", before.length);
    const isWhole = contents.subarray(0, before.length).equals(before) && /^(added\n)*$/.test(added);
    expect(isWhole && (added !== "" || name.startsWith("f")), `${name}: ${contents.length} bytes`).toBe(true);
    expect(readFileSync(join(root, directory, "inside"), "latin1")).toBe(`${file}`);
  }
  return unchanged;
}

function open(
  lower: string,
  { upper, work }: Pick<Layers, "upper" | "work">,
  metacopy: string,
): Promise<MountedShare> {
  const layers = ["--lower", lower, "--upper", upper, "--work", work];
  return MountedShare.open(["--backend", "overlay", ...layers, "--metacopy", metacopy]);
}

/** Makes changes for some time; whether they still go on. The kill will end them. */
async function change(root: string): Promise<boolean> {
  const changes = spawn("sh", ["-c", CHANGES, root], { stdio: "ignore" });
  await sleep(Math.random() * LONGEST_MS);
  return changes.exitCode === null;
}

describe.skipIf(whyNoHostMounts() !== undefined)("an overlay whose server is killed", () => {
  let scratch: ReturnType<typeof scratchFileSystem>;
  beforeEach(() => {
    scratch = scratchFileSystem();
  });
  afterEach(() => scratch.remove());

  test(`${KILLS} times during copy-up and rename has every file whole`, {
    timeout: 60_000 + KILLS * 10_000,
  }, async () => {
    const lower = join(scratch.path, "lower");
    mkdirSync(lower);
    makeLower(lower);
    let layer = writableLayer(scratch.path, "0");
    let interrupted = 0;
    for (let kills = 0; kills < KILLS; kills++) {
      const share = await open(lower, layer, kills % 2 === 0 ? "on" : "off");
      let unchanged: number;
      try {
        expect(readdirSync(join(layer.work, "work"))).toEqual([]);
        unchanged = checkTree(share.path);
        interrupted += (await change(share.path)) ? 1 : 0;
      } finally {
        await share.kill();
      }
      if (unchanged < FILES / 2) {
        layer = writableLayer(scratch.path, String(kills + 1));
      }
    }
    expect(interrupted).toBeGreaterThan(KILLS / 2);
    // The lower layer is as it was.
    for (let file = 0; file < FILES; file++) {
      expect(readFileSync(join(lower, `f${file}`)).equals(contentsOf(file))).toBe(true);
    }
  });
});
