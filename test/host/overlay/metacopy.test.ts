import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { whyNoHostMounts } from "../mounted-share.js";
import { describeTree, Layers } from "../overlay-layers.js";

const KERNEL = ",metacopy=on";
const LARGE = Buffer.alloc(1 << 20, "some data\n");

/** The overlay's own attributes of a file of a layer. */
function marks(path: string): string {
  return execFileSync("getfattr", ["-m", "^trusted.overlay.", "-d", "--absolute-names", path], {
    encoding: "utf8",
  });
}

/** Names and contents of all files. */
function contents(directory: string): string {
  return execFileSync("sh", ["-c", "find . -type f | sort | xargs sha256sum"], {
    cwd: directory,
    encoding: "utf8",
  });
}

function attributesOnly(layers: Layers, path: string): boolean {
  return marks(join(layers.upper, path)).includes("trusted.overlay.metacopy");
}

describe.skipIf(whyNoHostMounts() !== undefined)("copies of attributes only", () => {
  test("that the kernel made have the data of the lower file, under other names too", async () => {
    const layers = new Layers();
    for (const name of ["file", "renamed", "moved", "inside/moved", "exchanged"])
      layers.lower(1, `a/${name}`);
    layers.lower(0, "a/top");
    layers.mountedByKernel((share) => {
      for (const name of ["file", "renamed", "moved", "inside/moved", "top"]) {
        chmodSync(join(share, "a", name), 0o640);
      }
      mkdirSync(join(share, "b"));
      renameSync(join(share, "a/renamed"), join(share, "a/new-name"));
      renameSync(join(share, "a/moved"), join(share, "b/moved"));
      renameSync(join(share, "b/moved"), join(share, "b/again"));
      renameSync(join(share, "a/inside"), join(share, "b/inside"));
    }, KERNEL);
    const kernels = layers.mountedByKernel((share) => [describeTree(share), contents(share)], KERNEL);
    expect(await layers.mounted((share) => [describeTree(share), contents(share)])).toEqual(kernels);
    await layers.mounted((share) => {
      // Without --metacopy: what is there is followed, and moves on.
      renameSync(join(share, "b/again"), join(share, "c"));
      renameSync(join(share, "a/new-name"), join(share, "b/new-name"));
      appendFileSync(join(share, "b/inside/moved"), " and more");
      truncateSync(join(share, "a/file"), 3);
    });
    const after = layers.mountedByKernel((share) => {
      expect(readFileSync(join(share, "c"), "utf8")).toBe("a/moved");
      expect(readFileSync(join(share, "b/new-name"), "utf8")).toBe("a/renamed");
      expect(readFileSync(join(share, "b/inside/moved"), "utf8")).toBe("a/inside/moved and more");
      expect(readFileSync(join(share, "a/file"), "utf8")).toBe("a/f");
      return [describeTree(share), contents(share)];
    }, KERNEL);
    expect(await layers.mounted((share) => [describeTree(share), contents(share)])).toEqual(after);
  });

  test.each([
    [" or when they are opened for it", []],
    ["", ["--no-open-requests"]],
  ])("are made by changes of attributes, and get their data at the first write%s", async (when, args) => {
    const layers = new Layers();
    const lower = layers.lower(1, "file");
    writeFileSync(lower, LARGE);
    execFileSync("setfattr", ["-n", "user.comment", "-v", "x", lower]);
    for (const name of ["written", "shortened", "emptied", "linked"])
      writeFileSync(join(lower, "..", name), LARGE);
    const all = ["file", "written", "shortened", "emptied", "linked"];
    await layers.mounted(
      (share) => {
        const reader = openSync(join(share, "written"), "r");
        for (const name of all) {
          utimesSync(join(share, name), 1000, 2000);
          chmodSync(join(share, name), 0o4711);
          expect(attributesOnly(layers, name)).toBe(true);
          expect(statSync(join(layers.upper, name)).blocks).toBeLessThan(16);
          expect(readFileSync(join(share, name)).equals(LARGE)).toBe(true);
        }
        expect(statSync(join(share, "file")).mode & 0o7777).toBe(0o4711);
        expect(statSync(join(share, "file")).mtimeMs).toBe(2000_000);
        // Nothing was written, so this alone changes nothing but where the data is.
        closeSync(openSync(join(share, "file"), "r+"));
        const { mode, mtimeMs } = statSync(join(share, "file"));
        expect([mode & 0o7777, mtimeMs]).toEqual([0o4711, 2000_000]);
        appendFileSync(join(share, "written"), "end");
        const buffer = Buffer.alloc(8);
        expect(buffer.toString("utf8", 0, readSync(reader, buffer, 0, 8, LARGE.length))).toBe("end");
        closeSync(reader);
        truncateSync(join(share, "shortened"), 5);
        writeFileSync(join(share, "emptied"), "");
        linkSync(join(share, "linked"), join(share, "link"));
        for (const name of [...all, "link"]) {
          expect(attributesOnly(layers, name), name).toBe(name === "file" && when === "");
        }
      },
      layers.args("--metacopy", "on", ...args),
    );
    layers.mountedByKernel((share) => {
      expect(readFileSync(join(share, "file")).equals(LARGE)).toBe(true);
      expect(readFileSync(join(share, "written")).equals(Buffer.concat([LARGE, Buffer.from("end")]))).toBe(
        true,
      );
      expect(readFileSync(join(share, "shortened"), "utf8")).toBe("some ");
      expect(readFileSync(join(share, "emptied"), "utf8")).toBe("");
      expect(readFileSync(join(share, "link")).equals(LARGE)).toBe(true);
    }, KERNEL);
  });

  test("are the same to the kernel", async () => {
    const layers = new Layers();
    for (const path of ["a/file", "a/renamed", "a/moved", "a/x", "a/dir/file", "only"]) layers.lower(1, path);
    const ours = await layers.mounted(
      (share) => {
        for (const path of ["a/file", "a/renamed", "a/x", "a/dir/file"]) chmodSync(join(share, path), 0o600);
        mkdirSync(join(share, "b"));
        renameSync(join(share, "a/renamed"), join(share, "a/new-name"));
        renameSync(join(share, "a/new-name"), join(share, "b/new-name"));
        renameSync(join(share, "a/moved"), join(share, "b/moved"));
        renameSync(join(share, "a/dir"), join(share, "b/dir"));
        execFileSync("setfattr", ["-n", "user.x", "-v", "1", join(share, "only")]);
        return [describeTree(share), contents(share)];
      },
      layers.args("--metacopy", "on"),
    );
    const kernels = layers.mountedByKernel((share) => [describeTree(share), contents(share)], KERNEL);
    expect(await layers.mounted((share) => [describeTree(share), contents(share)])).toEqual(kernels);
    expect(kernels).toEqual(ours);
    expect(attributesOnly(layers, "only")).toBe(true);
  });

  test("in a lower layer are followed, through several layers", async () => {
    const below = new Layers(1);
    below.lower(0, "file", "data");
    below.lower(0, "moved", "other data");
    below.mountedByKernel((share) => {
      chmodSync(join(share, "file"), 0o600);
      chmodSync(join(share, "moved"), 0o600);
      renameSync(join(share, "moved"), join(share, "name"));
    }, KERNEL);
    const upper = join(below.directory, "second");
    mkdirSync(upper);
    const lowers = ["--lower", below.upper, "--lower", below.lowers[0] as string];
    const args = ["--backend", "overlay", ...lowers, "--upper", upper];
    await below.mounted(
      (share) => {
        expect(readFileSync(join(share, "file"), "utf8")).toBe("data");
        chmodSync(join(share, "file"), 0o644);
        chmodSync(join(share, "name"), 0o644);
        expect(readFileSync(join(share, "name"), "utf8")).toBe("other data");
      },
      [...args, "--metacopy", "on"],
    );
    await below.mounted((share) => {
      expect(readFileSync(join(share, "name"), "utf8")).toBe("other data");
      appendFileSync(join(share, "file"), "!");
      appendFileSync(join(share, "name"), "!");
      expect(readFileSync(join(share, "file"), "utf8")).toBe("data!");
      expect(readFileSync(join(share, "name"), "utf8")).toBe("other data!");
    }, args);
  });

  test("without their data cannot be opened", async () => {
    const layers = new Layers(1);
    const lower = layers.lower(0, "file", "data");
    layers.lower(0, "replaced", "data");
    await layers.mounted(
      (share) => {
        for (const name of ["file", "replaced"]) chmodSync(join(share, name), 0o600);
      },
      layers.args("--metacopy", "on"),
    );
    rmSync(lower);
    const replaced = join(layers.lowers[0] as string, "replaced");
    writeFileSync(`${replaced}.new`, "evil");
    renameSync(`${replaced}.new`, replaced);
    await layers.mounted((share) => {
      expect(() => readFileSync(join(share, "file"))).toThrow("EIO");
      expect(() => appendFileSync(join(share, "file"), "x")).toThrow("EIO");
      // Node has no name for ESTALE.
      expect(() => readFileSync(join(share, "replaced"))).toThrow("error -116");
      unlinkSync(join(share, "file"));
    });
  });

  test("are not followed where users can make them, nor made there", async () => {
    const layers = new Layers(1);
    layers.lower(0, "secret", "secret");
    const copy = join(layers.upper, "public");
    writeFileSync(copy, "");
    truncateSync(copy, 6);
    execFileSync("setfattr", ["-n", "user.overlay.metacopy", copy]);
    execFileSync("setfattr", ["-n", "user.overlay.redirect", "-v", "secret", copy]);
    const args = layers.args("--overlay-xattr", "user");
    await layers.mounted((share) => {
      expect(() => readFileSync(join(share, "public"))).toThrow("EIO");
    }, args);
    await expect(layers.mounted(() => {}, [...args, "--metacopy", "on"])).rejects.toThrow("--metacopy on");
    const fixed = layers.args("--metacopy", "on", "--redirect-dir", "off");
    await expect(layers.mounted(() => {}, fixed)).rejects.toThrow("--metacopy on");
  });
});
