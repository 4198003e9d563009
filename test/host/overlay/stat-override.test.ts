import { execFileSync } from "node:child_process";
import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { whyNoHostMounts } from "../mounted-share.js";
import { Layers } from "../overlay-layers.js";

function override(path: string, value: string): void {
  execFileSync("setfattr", ["-n", "user.containers.override_stat", "-v", value, path]);
}

/** Kind, mode, owner and device of everything. */
function describeFiles(directory: string): string[] {
  const lines = execFileSync("find", [".", "-printf", "%P %y %m %U:%G\\n"], {
    cwd: directory,
    encoding: "utf8",
  });
  return lines.trimEnd().split("\n").sort();
}

/** A layer as it is unpacked without privilege. */
function rootless(layers: Layers): void {
  const files = {
    plain: "0:0:0644",
    "usr/bin/su": "0:42:04755:file",
    "usr/null": "0:6:0666:char-1-3",
    "usr/disk": "0:6:0660:block-259-300",
    "usr/pipe": "3:4:0600:pipe",
    "usr/nonsense": "root:root:0600",
  };
  const [root] = layers.lowers as [string];
  for (const [path, value] of Object.entries(files)) {
    const file = layers.lower(0, path, path.startsWith("usr/bin") || path === "plain" ? path : "");
    chmodSync(file, 0o700);
    override(file, value);
  }
  override(root, "0:0:0755:dir");
  override(join(root, "usr"), "7:8:02755:dir");
  layers.lower(0, "usr/unmarked");
  chmodSync(join(root, "usr/unmarked"), 0o640);
}

const SHOWN = [
  " d 755 0:0",
  "plain f 644 0:0",
  "usr d 2755 7:8",
  "usr/bin d 755 0:0",
  "usr/bin/su f 4755 0:42",
  "usr/disk b 660 0:6",
  "usr/nonsense f 700 0:0",
  "usr/null c 666 0:6",
  "usr/pipe p 600 3:4",
  "usr/unmarked f 640 0:0",
];

describe.skipIf(whyNoHostMounts() !== undefined)("a layer that was unpacked without privilege", () => {
  test("shows owners, modes and kinds that it keeps in attributes", async () => {
    const layers = new Layers(1);
    rootless(layers);
    await layers.mounted((share) => {
      expect(describeFiles(share)).toEqual(SHOWN);
      // Another listing, and what it leads to when nothing is known of the names.
      execFileSync("sh", ["-c", "echo 2 > /proc/sys/vm/drop_caches"]);
      expect(lstatSync(join(share, "usr/null")).rdev).toBe(lstatSync("/dev/null").rdev);
      const kinds = readdirSync(join(share, "usr"), { withFileTypes: true });
      expect(kinds.find(({ name }) => name === "null")?.isFile()).toBe(false);
      const names = execFileSync("getfattr", ["-m", "-", "usr/bin/su"], { cwd: share, encoding: "utf8" });
      expect(names).not.toContain("override_stat");
      expect(readFileSync(join(share, "usr/bin/su"), "utf8")).toBe("usr/bin/su");
    });
  });

  test("is copied up as what it shows", async () => {
    const layers = new Layers(1);
    rootless(layers);
    await layers.mounted((share) => {
      execFileSync("sh", ["-c", "touch -c -h plain usr usr/* usr/bin/*"], { cwd: share });
      expect(describeFiles(share)).toEqual(SHOWN);
    });
    const copies = SHOWN.filter((line) => line !== " d 755 0:0");
    expect(describeFiles(layers.upper).slice(1)).toEqual(copies);
    expect(readFileSync(join(layers.upper, "usr/bin/su"), "utf8")).toBe("usr/bin/su");
    layers.mountedByKernel((share) => expect(describeFiles(share).slice(1)).toEqual(copies));
  });

  test("merges with others", async () => {
    const layers = new Layers(2);
    rootless(layers);
    writeFileSync(layers.lower(1, "usr/bin/other"), "");
    mkdirSync(join(layers.lowers[1] as string, "empty"));
    override(join(layers.lowers[1] as string, "usr/bin/other"), "5:5:0600");
    await layers.mounted((share) => {
      // Its root does not say that it keeps any.
      expect(describeFiles(share)).toEqual([...SHOWN, "empty d 755 0:0", "usr/bin/other f 644 0:0"].sort());
    });
  });
});
