import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { whyNoHostMounts } from "../mounted-share.js";
import { Layers } from "../overlay-layers.js";

describe.skipIf(whyNoHostMounts() !== undefined)("an overlay", () => {
  test("lets nobody change what chattr protects in a lower layer, until it is allowed", async () => {
    const layers = new Layers(1);
    const files = [layers.lower(0, "immutable"), layers.lower(0, "append")] as const;
    layers.lower(0, "directory/file");
    const directory = join(layers.lowers[0] as string, "directory");
    const flags = (sign: "+" | "-") => {
      for (const path of [files[0], directory]) execFileSync("chattr", [`${sign}i`, path]);
      execFileSync("chattr", [`${sign}a`, files[1]]);
    };
    writeFileSync(layers.lower(0, "plain"), "plain");
    flags("+");
    try {
      const refused = (share: string) => {
        const at = (name: string) => join(share, name);
        for (const name of ["immutable", "append"]) {
          expect(() => chmodSync(at(name), 0o600)).toThrow("EPERM");
          expect(() => writeFileSync(at(name), "new")).toThrow("EPERM");
          expect(() => truncateSync(at(name), 1)).toThrow("EPERM");
          expect(() => renameSync(at(name), at("renamed"))).toThrow("EPERM");
          expect(() => renameSync(at("plain"), at(name))).toThrow("EPERM");
          expect(() => linkSync(at(name), at("link"))).toThrow("EPERM");
          expect(() => unlinkSync(at(name))).toThrow("EPERM");
          expect(readFileSync(at(name), "utf8")).toBe(name);
        }
        expect(() => writeFileSync(at("directory/new"), "")).toThrow("EPERM");
        expect(() => unlinkSync(at("directory/file"))).toThrow("EPERM");
        expect(() => rmdirSync(at("directory"))).toThrow(/EPERM|ENOTEMPTY/);
        chmodSync(at("directory/file"), 0o600);
      };
      layers.mountedByKernel(refused);
      rmSync(layers.upper, { recursive: true });
      rmSync(layers.work, { recursive: true });
      mkdirSync(layers.upper);
      await layers.mounted((share) => {
        refused(share);
        execFileSync("chattr", ["-i", join(share, "immutable")]);
        writeFileSync(join(share, "immutable"), "changed");
        expect(readFileSync(join(share, "immutable"), "utf8")).toBe("changed");
      });
      expect(readFileSync(files[0], "utf8")).toBe("immutable");
    } finally {
      flags("-");
    }
  });

  test("lets append-only files be appended to by guests that do not open them", async () => {
    const layers = new Layers(1);
    const file = layers.lower(0, "append", "one,");
    execFileSync("chattr", ["+a", file]);
    try {
      // Flags of the lower file, and then of its copy.
      for (const expected of ["one,two,", "one,two,two,"]) {
        await layers.mounted((share) => {
          const path = join(share, "append");
          appendFileSync(path, "two,");
          expect(() => writeFileSync(path, "three", { flag: "r+" })).toThrow("EPERM");
          expect(() => truncateSync(path, 1)).toThrow("EPERM");
          expect(readFileSync(path, "utf8")).toBe(expected);
        }, layers.args("--no-open-requests"));
      }
    } finally {
      execFileSync("chattr", ["-a", file]);
    }
  });

  test("keeps chattr's flags at copy-up as Linux does", async () => {
    const results: string[] = [];
    const run = (share: string) =>
      results.push(execFileSync("sh", ["-c", CHANGES], { cwd: share, encoding: "utf8" }));
    const look = (share: string) =>
      results.push(execFileSync("sh", ["-c", LOOK], { cwd: share, encoding: "utf8" }));
    const layers = [new Layers(1), new Layers(1)] as const;
    for (const { lowers } of layers) execFileSync("sh", ["-c", PREPARE], { cwd: lowers[0] as string });
    try {
      layers[0].mountedByKernel(run);
      await layers[1].mounted(run);
      for (const { upper } of layers)
        results.push(execFileSync("sh", ["-c", MARKS], { cwd: upper, encoding: "utf8" }));
      // Each one's upper layer in the hands of the other.
      await layers[0].mounted(look);
      layers[1].mountedByKernel(look);
    } finally {
      for (const { lowers } of layers) execFileSync("chattr", ["-R", "-f", "-ai", lowers[0] as string]);
    }
    const [byKernel, byUs, marksOfKernel, ourMarks, ours, kernels] = results;
    expect(byUs).toBe(byKernel);
    expect(ourMarks).toBe(marksOfKernel);
    expect(ourMarks).toContain("append protattr=a");
    expect(ours).toBe(kernels);
  });
});

/** A lower layer with files of all kinds of flags. */
const PREPARE = `
for f in append fixed both quiet sync plain other; do echo $f > $f; done
mkdir grow still; echo file > grow/file; echo file > still/file
chattr +a append grow; chattr +i fixed still; chattr +ai both; chattr +A quiet; chattr +S sync`;

/** Tries everything that the flags may forbid, and says what came of it. */
const CHANGES = `
try() { if sh -c "$1" 2>/dev/null; then echo "ok: $1"; else echo "refused: $1"; fi; }
exec 3>>append
for f in append fixed both quiet; do
  try "echo more >> $f"; try "echo new > $f"; try "chmod 600 $f"; try "chown 3 $f"; try "truncate -s 2 $f"
  try "touch -c $f"; try "touch -c -d @5 $f"; try "setfattr -n user.x -v 1 $f"; try "ln $f link-$f"
  try "mv $f moved"; try "mv moved $f"; try "mv plain $f"; try "mv $f plain"; try "rm -f $f"
  try "fallocate -l 100 $f"; try "fallocate -n -l 100 $f"
done
for d in grow still; do
  try "touch $d/new"; try "mkdir $d/directory"; try "mv other $d/"; try "mv $d/other ."; try "rm $d/new"
  try "echo more >> $d/file"; try "rm $d/file"; try "chmod 700 $d"; try "mv $d moved"; try "mv moved $d"
done
echo more >> sync
try "chattr -i fixed"; try "echo more > fixed"; try "chattr +a fixed"; try "echo more >> fixed"; try "echo more > fixed"
try "chattr +d append"; try "chattr +i sync"; try "chattr -R -a grow"; try "rm grow/new"; try "chattr +i grow/file"
try "chattr +a still/file"; try "setpriv --reuid 5 --clear-groups chattr -a append"
echo late >&3
for f in *; do echo "$f $(lsattr -d $f | cut -d' ' -f1 | tr -d 'e-') $(stat -c '%a %u %s %h' $f)"; done
cat append fixed both`;

/** What a layer keeps. */
const MARKS = `
for f in $(find . -mindepth 1 | sort | sed 's,^./,,'); do
  echo "$f protattr=$(getfattr --only-values -n trusted.overlay.protattr $f 2>/dev/null) $(lsattr -d $f 2>/dev/null | cut -d' ' -f1 | tr -d 'e-')"
done`;

/** What is allowed of files of an upper layer that was there before. */
const LOOK = `
for f in append sync fixed grow/file still/file; do
  lsattr -d $f | tr -d 'e-'
  for what in "echo x >> $f" "echo x > $f" "rm -f $f" "chmod 640 $f"; do
    if sh -c "$what" 2>/dev/null; then echo "ok: $what"; else echo "refused: $what"; fi
  done
done`;
