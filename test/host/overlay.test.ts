import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { manifest } from "../support/manifest.js";
import { whyNoHostMounts } from "./mounted-share.js";
import { describeTree, Layers } from "./overlay-layers.js";

const O_CREAT_FLAGS = "wx";

function attributes(path: string): string {
  return execFileSync("getfattr", ["-h", "-d", "-m", "-", "--absolute-names", path], { encoding: "utf8" });
}

function whiteout(path: string): void {
  execFileSync("mknod", [path, "c", "0", "0"]);
}

function isWhiteout(path: string): boolean {
  const { rdev, mode } = lstatSync(path);
  return rdev === 0 && (mode & 0o170000) === 0o020000;
}

const names = (path: string) => readdirSync(path).sort();

describe.skipIf(whyNoHostMounts() !== undefined)("an overlay of host directories", () => {
  test("shows the topmost of each name and merges directories", async () => {
    const layers = new Layers();
    layers.lower(0, "both/file", "top");
    layers.lower(1, "both/file", "bottom");
    layers.lower(1, "both/only-bottom");
    layers.lower(0, "file-over-directory");
    layers.lower(1, "file-over-directory/hidden");
    await layers.mounted((share) => {
      expect(names(share)).toEqual(["both", "file-over-directory"]);
      expect(names(join(share, "both"))).toEqual(["file", "only-bottom"]);
      expect(readFileSync(join(share, "both/file"), "utf8")).toBe("top");
      expect(statSync(join(share, "file-over-directory")).isFile()).toBe(true);
    });
  });

  test("understands whiteouts and opaque directories of every kind in lower layers", async () => {
    const layers = new Layers();
    const bottom = ["device", "marker", "opaque/x", "opaque-marker/x", "opaque-fuse/x", "form/x", "form/y"];
    for (const path of bottom) layers.lower(1, path);
    const top = layers.lowers[0] as string;
    whiteout(join(top, "device"));
    layers.lower(0, ".wh.marker");
    layers.lower(0, "opaque/own");
    execFileSync("setfattr", ["-n", "trusted.overlay.opaque", "-v", "y", join(top, "opaque")]);
    layers.lower(0, "opaque-marker/own");
    layers.lower(0, "opaque-marker/.wh..wh..opq");
    layers.lower(0, "opaque-fuse/own");
    execFileSync("setfattr", ["-n", "user.fuseoverlayfs.opaque", "-v", "y", join(top, "opaque-fuse")]);
    execFileSync("setfattr", ["-n", "trusted.overlay.whiteout", layers.lower(0, "form/x", "")]);
    execFileSync("setfattr", ["-n", "trusted.overlay.opaque", "-v", "x", join(top, "form")]);
    await layers.mounted((share) => {
      expect(names(share)).toEqual(["form", "opaque", "opaque-fuse", "opaque-marker"]);
      for (const directory of ["opaque", "opaque-fuse", "opaque-marker"]) {
        expect(names(join(share, directory)), directory).toEqual(["own"]);
        expect(existsSync(join(share, directory, "x")), directory).toBe(false);
      }
      expect(names(join(share, "form"))).toEqual(["y"]);
      expect(existsSync(join(share, "form/x"))).toBe(false);
      expect(existsSync(join(share, ".wh.marker"))).toBe(false);
    });
  });

  test("lists a device of the upper layer, which can be used afterwards", async () => {
    const layers = new Layers(1);
    mkdirSync(join(layers.upper, "new"));
    execFileSync("mknod", [join(layers.upper, "new/device"), "c", "1", "3"]);
    await layers.mounted(
      (share) => {
        // Looks at what it listed through descriptors: the kernel does not look the names up again on ESTALE.
        expect(manifest(share, { times: () => true })).toEqual(manifest(layers.upper, { times: () => true }));
      },
      layers.args("--index", "off"),
    );
  });

  test("copies a file up with everything that belongs to it, at its first change", async () => {
    const layers = new Layers(1);
    const lower = layers.lower(0, "deep/er/file", "data");
    execFileSync("truncate", ["-s", "64M", lower]);
    chownSync(lower, 12, 34);
    chmodSync(lower, 0o4751);
    execFileSync("setfattr", ["-n", "user.comment", "-v", "kept", lower]);
    chmodSync(join(layers.lowers[0] as string, "deep"), 0o2770);
    utimesSync(lower, 1000.25, 2000.5);
    await layers.mounted((share) => {
      closeSync(openSync(join(share, "deep/er/file"), "r"));
      expect(existsSync(join(layers.upper, "deep"))).toBe(false);
      chmodSync(join(share, "deep/er/file"), 0o4750);
    });
    const copy = join(layers.upper, "deep/er/file");
    const { uid, gid, mode, size, blocks, mtimeMs, atimeMs } = statSync(copy);
    expect({ uid, gid, mode, size }).toEqual({ uid: 12, gid: 34, mode: 0o104750, size: 64 << 20 });
    expect(blocks).toBeLessThan(1024);
    expect([atimeMs, mtimeMs]).toEqual([1000250, 2000500]);
    expect(attributes(copy)).toContain('user.comment="kept"');
    expect(readFileSync(copy).subarray(0, 4).toString()).toBe("data");
    expect(statSync(join(layers.upper, "deep")).mode & 0o7777).toBe(0o2770);
    expect(statSync(lower).mode & 0o7777).toBe(0o4751);
  });

  test("hides what is deleted, and shows what takes its place", async () => {
    const layers = new Layers();
    for (const path of ["file", "directory/a", "directory/b", "again", "again-directory/old"])
      layers.lower(1, path);
    await layers.mounted((share) => {
      unlinkSync(join(share, "file"));
      expect(() => rmdirSync(join(share, "directory"))).toThrow("ENOTEMPTY");
      rmSync(join(share, "directory"), { recursive: true });
      unlinkSync(join(share, "again"));
      writeFileSync(join(share, "again"), "new", { flag: O_CREAT_FLAGS });
      rmSync(join(share, "again-directory"), { recursive: true });
      mkdirSync(join(share, "again-directory"));
      expect(names(share)).toEqual(["again", "again-directory"]);
      expect(names(join(share, "again-directory"))).toEqual([]);
    });
    expect(isWhiteout(join(layers.upper, "file"))).toBe(true);
    expect(isWhiteout(join(layers.upper, "directory"))).toBe(true);
    expect(attributes(join(layers.upper, "again-directory"))).toContain('trusted.overlay.opaque="y"');
    expect(names(join(layers.work, "work"))).toEqual([]);
  });

  test("removes a directory of which whiteouts are left in the upper layer only", async () => {
    const layers = new Layers();
    layers.lower(1, "directory/a");
    layers.lower(1, "target/b");
    await layers.mounted((share) => {
      unlinkSync(join(share, "directory/a"));
      unlinkSync(join(share, "target/b"));
      mkdirSync(join(share, "source"));
      writeFileSync(join(share, "source/c"), "c");
      renameSync(join(share, "source"), join(share, "target"));
      rmdirSync(join(share, "directory"));
      expect(names(share)).toEqual(["target"]);
      expect(names(join(share, "target"))).toEqual(["c"]);
    });
    await layers.mounted((share) => expect(names(join(share, "target"))).toEqual(["c"]));
  });

  test("renames directories of lower layers, and EXDEV where that is switched off", async () => {
    const layers = new Layers();
    layers.lower(1, "a/b/c/file", "data");
    layers.lower(0, "a/b/top");
    await layers.mounted((share) => {
      mkdirSync(join(share, "new"));
      renameSync(join(share, "a/b"), join(share, "new/bb"));
      renameSync(join(share, "new"), join(share, "newer"));
      renameSync(join(share, "newer/bb/c"), join(share, "newer/bb/cc"));
    });
    await layers.mounted((share) => {
      expect(names(join(share, "a"))).toEqual([]);
      expect(names(join(share, "newer/bb"))).toEqual(["cc", "top"]);
      expect(readFileSync(join(share, "newer/bb/cc/file"), "utf8")).toBe("data");
    });
    const rename = (share: string) => () => renameSync(join(share, "a"), join(share, "aa"));
    const args = layers.args("--redirect-dir", "off");
    await layers.mounted((share) => expect(rename(share)).toThrow("EXDEV"), args);
  });

  test("keeps hard links of lower files linked", async () => {
    const layers = new Layers(1);
    const first = layers.lower(0, "first", "data");
    linkSync(first, join(layers.lowers[0] as string, "second"));
    linkSync(first, join(layers.lowers[0] as string, "third"));
    await layers.mounted((share) => {
      writeFileSync(join(share, "second"), " and more", { flag: "a" });
      for (const name of ["first", "second", "third"]) {
        expect(readFileSync(join(share, name), "utf8"), name).toBe("data and more");
        expect(statSync(join(share, name)).nlink).toBe(3);
      }
      unlinkSync(join(share, "second"));
      expect(statSync(join(share, "third")).nlink).toBe(2);
    });
    await layers.mounted((share) => {
      expect(readFileSync(join(share, "third"), "utf8")).toBe("data and more");
      expect(statSync(join(share, "first")).nlink).toBe(2);
      unlinkSync(join(share, "first"));
      unlinkSync(join(share, "third"));
    });
    expect(names(join(layers.work, "index"))).toEqual([]);
  });

  test("keeps inode numbers through copy-up and restart, and they are those that listings show", async () => {
    const layers = new Layers();
    for (const path of ["file", "directory/x"]) layers.lower(1, path);
    symlinkSync("file", join(layers.lowers[0] as string, "link"));
    const numbers = (share: string) =>
      ["file", "directory", "link"].map((name) => lstatSync(join(share, name)).ino);
    const listed = (share: string) => execFileSync("ls", ["-i", share], { encoding: "utf8" });
    const [before, list] = await layers.mounted((share) => [numbers(share), listed(share)] as const);
    await layers.mounted((share) => {
      chmodSync(join(share, "file"), 0o600);
      writeFileSync(join(share, "directory/new"), "");
      execFileSync("chown", ["-h", "1:1", join(share, "link")]);
      expect(numbers(share)).toEqual(before);
    });
    await layers.mounted((share) => {
      expect(numbers(share)).toEqual(before);
      expect(listed(share)).toBe(list);
    });
  });

  test("shows new data through files that were open before", async () => {
    const layers = new Layers(1);
    layers.lower(0, "file", "old");
    await layers.mounted((share) => {
      const fd = openSync(join(share, "file"), "r");
      writeFileSync(join(share, "file"), "new!", { flag: "r+" });
      const buffer = Buffer.alloc(8);
      expect(buffer.toString("utf8", 0, readSync(fd, buffer, 0, 8, 0))).toBe("new!");
      unlinkSync(join(share, "file"));
      expect(buffer.toString("utf8", 0, readSync(fd, buffer, 0, 8, 0))).toBe("new!");
      closeSync(fd);
    });
  });

  test("has nothing to change without an upper layer", async () => {
    const layers = new Layers();
    layers.lower(1, "file");
    const args = layers.args().slice(0, -2);
    await layers.mounted((share) => {
      expect(readFileSync(join(share, "file"), "utf8")).toBe("file");
      expect(() => writeFileSync(join(share, "new"), "")).toThrow("EROFS");
      expect(() => chmodSync(join(share, "file"), 0o600)).toThrow("EROFS");
      expect(() => unlinkSync(join(share, "file"))).toThrow("EROFS");
    }, args);
  });

  test("hides its own attributes, and keeps those of an overlay in the guest apart", async () => {
    const layers = new Layers();
    layers.lower(1, "directory/x");
    await layers.mounted((share) => {
      const directory = join(share, "directory");
      chmodSync(directory, 0o700);
      execFileSync("setfattr", ["-n", "trusted.overlay.opaque", "-v", "y", directory]);
      expect(attributes(directory)).toContain('trusted.overlay.opaque="y"');
      expect(attributes(directory)).not.toContain("origin");
      expect(names(directory)).toEqual(["x"]);
    });
    await layers.mounted((share) => expect(names(join(share, "directory"))).toEqual(["x"]));
  });

  test.each(["auto", "never"])(
    "can be the upper layer of an overlay in the guest (--cache %s)",
    async (cache) => {
      const layers = new Layers(1);
      layers.lower(0, "file");
      const nested = join(layers.directory, "nested");
      const below = join(layers.directory, "below");
      for (const path of [nested, below, join(below, "directory")]) mkdirSync(path);
      for (const path of ["deleted", "renamed", "directory/x"]) writeFileSync(join(below, path), path);
      const mountNested = (share: string, use: () => void) => {
        const [upper, work] = [join(share, "upper"), join(share, "work")];
        for (const path of [upper, work]) mkdirSync(path, { recursive: true });
        const options = `lowerdir=${below},upperdir=${upper},workdir=${work}`;
        execFileSync("mount", ["-t", "overlay", "-o", options, "overlay", nested]);
        try {
          use();
        } finally {
          execFileSync("umount", [nested]);
        }
      };
      const args = layers.args("--cache", cache);
      await layers.mounted((share) => {
        mountNested(share, () => {
          unlinkSync(join(nested, "deleted"));
          renameSync(join(nested, "renamed"), join(nested, "new-name"));
          rmSync(join(nested, "directory"), { recursive: true });
          mkdirSync(join(nested, "directory"));
          expect(names(nested)).toEqual(["directory", "new-name"]);
        });
        expect(isWhiteout(join(share, "upper/deleted"))).toBe(true);
      }, args);
      await layers.mounted((share) => {
        expect(names(join(share, "upper"))).toEqual(["deleted", "directory", "new-name", "renamed"]);
        expect(isWhiteout(join(share, "upper/renamed"))).toBe(true);
        mountNested(share, () => {
          expect(names(nested)).toEqual(["directory", "new-name"]);
          expect(names(join(nested, "directory"))).toEqual([]);
        });
      }, args);
    },
  );

  test.each(["gateway", "kernel"])(
    "belongs to the lower layer that it was first used with by the %s",
    async (first) => {
      const layers = new Layers();
      if (first === "gateway") await layers.mounted(() => {});
      else layers.mountedByKernel(() => {});
      await layers.mounted(() => {});
      layers.mountedByKernel(() => {});
      const [top, bottom] = layers.lowers as [string, string];
      const swapped = ["--backend", "overlay", "--lower", bottom, "--lower", top, "--upper", layers.upper];
      await expect(layers.mounted(() => {}, swapped)).rejects.toThrow("another layer on top");
      const options = `lowerdir=${bottom}:${top},upperdir=${layers.upper},workdir=${layers.work},index=on`;
      expect(() =>
        execFileSync("mount", ["-t", "overlay", "-o", options, "overlay", layers.directory], {
          stdio: "pipe",
        }),
      ).toThrow(/stale/i);
      await layers.mounted(() => {}, [...swapped, "--index", "off"]);
    },
  );

  test("is the same to the kernel, and the kernel's to us", async () => {
    const layers = new Layers();
    const first = layers.lower(1, "links/first");
    linkSync(first, join(layers.lowers[1] as string, "links/second"));
    for (const path of ["a/b/c", "a/d", "gone", "gone-directory/x", "opaque/x"]) layers.lower(1, path);
    layers.lower(0, "a/top");
    const change = (share: string) => {
      chmodSync(join(share, "links/first"), 0o640);
      renameSync(join(share, "a/b"), join(share, "moved"));
      rmSync(join(share, "gone"));
      rmSync(join(share, "gone-directory"), { recursive: true });
      rmSync(join(share, "opaque"), { recursive: true });
      mkdirSync(join(share, "opaque"));
      linkSync(join(share, "a/d"), join(share, "opaque/d"));
      writeFileSync(join(share, "a/top"), "changed");
    };
    const ours = await layers.mounted((share) => {
      change(share);
      return describeTree(share);
    });
    expect(layers.mountedByKernel(describeTree)).toBe(ours);
    layers.mountedByKernel((share) => {
      renameSync(join(share, "moved"), join(share, "opaque/moved"));
      unlinkSync(join(share, "links/second"));
      writeFileSync(join(share, "opaque/moved/c"), "by the kernel");
    });
    const kernels = layers.mountedByKernel(describeTree);
    expect(await layers.mounted(describeTree)).toBe(kernels);
  });
});
