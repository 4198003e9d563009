import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openHostDirectory, openHostEntry } from "../../src/native/host-file.js";
import { posix } from "../../src/native/posix.js";
import { gatewayCommand } from "../support/gateway.js";
import { manifest } from "../support/manifest.js";
import { whyNoHostMounts } from "./mounted-share.js";

/** A tree with every kind of file, to be changed by {@link CHANGES}. */
const TREE = `
  mkdir -p a/b/c d/e/f keep && echo 1 >a/f1 && echo 2 >a/b/f2 && ln a/f1 a/h1 && ln -s ../x a/s
  mknod d/null c 1 3 && mkfifo d/pipe && echo 3 >d/e/f/deep && echo 4 >d/gone && echo 5 >keep/same
  chown 5:6 a/b && chmod 4755 a/b/f2 && truncate -s 10M keep/sparse && echo 6 >keep/moved && touch -d @1.000000001 keep/same`;
/** Deletes, replaces, renames and links in it. */
const CHANGES = `
  rm a/b/f2 && rm -r a/b/c && mkdir a/b/c && echo n >a/b/c/new && chmod 600 a/f1 && ln keep/sparse keep/link
  mv d/e d/moved && rm d/gone && mkdir d/e && echo e >d/e/other && rm d/moved/f/deep && echo d >d/moved/f/added
  mkdir new && mv d/moved new/again && mv keep/moved keep/here && rm a/s && mkdir a/s && chmod 1777 . && chown 7 keep/same`;

const isNoDirectory = ({ type }: { type: string }) => type !== "directory";
const SETTINGS = "redirect_dir=on,index=on,metacopy=on";

const hasImageTools = ["umoci", "skopeo"].every((tool) => spawnSync(tool, ["--version"]).status === 0);

describe.skipIf(whyNoHostMounts() !== undefined)("layers", () => {
  let folder: string;
  const mounts: string[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "gateway-layers-"));
    // What overlayfs needs of an upper is not to be had on every temporary directory.
    mount(["-t", "tmpfs", "none"], folder);
    for (const name of ["tree", "upper", "work", "merged"]) {
      mkdirSync(join(folder, name));
    }
  });
  afterEach(() => {
    for (const path of mounts.splice(0).reverse()) {
      execFileSync("umount", ["-l", path]);
    }
    rmSync(folder, { recursive: true });
  });

  function mount(args: readonly string[], path: string): void {
    execFileSync("mount", [...args, path]);
    mounts.push(path);
  }

  function mountOverlay(lowers: readonly string[], more: string): string {
    const path = join(folder, "merged");
    mount(["-t", "overlay", "none", "-o", `lowerdir=${lowers.join(":")}${more}`], path);
    return path;
  }

  function unmount(): void {
    execFileSync("umount", [mounts.pop() as string]);
  }

  function shell(script: string, directory: string): void {
    execFileSync("sh", ["-e", "-c", script], { cwd: directory, stdio: ["ignore", "inherit", "inherit"] });
  }

  function layer(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    const [program, ...first] = gatewayCommand();
    const { status, stdout, stderr } = spawnSync(program, [...first, "layer", ...args], { encoding: "utf8" });
    return { status, stdout, stderr };
  }

  function succeed(...args: string[]): string {
    const { status, stdout, stderr } = layer(...args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    return stdout;
  }

  /** The tree as the changes on it have left it, and their upper directory. */
  function changeTree(): string[] {
    const tree = join(folder, "tree");
    shell(TREE, tree);
    succeed("export", tree, "--output", join(folder, "base.tar"));
    const merged = mountOverlay([tree], `,upperdir=${folder}/upper,workdir=${folder}/work,${SETTINGS}`);
    shell(CHANGES, merged);
    setXattr(join(merged, "a/f1"), "trusted.overlay.opaque", "mine");
    const lines = manifest(merged, { times: isNoDirectory });
    unmount();
    return lines;
  }

  function setXattr(path: string, name: string, value: string): void {
    const directory = openHostDirectory(dirname(path));
    const file = openHostEntry(directory.fd, basename(path), path);
    expect(posix.setXattr(file.fd, name, Buffer.from(value), 0)).toBe(0);
    closeSync(file.fd);
    closeSync(directory.fd);
  }

  test("that are exported and imported again give the same tree", () => {
    posix.prepareThread();
    const expected = changeTree();
    expect(expected.length).toBeGreaterThan(20);
    const archive = join(folder, "changes.tar.gz");
    const paths = ["--lower", join(folder, "tree")];
    succeed("export", join(folder, "upper"), "--output", archive, ...paths);
    const lowers = succeed("import", join(folder, "base.tar"), archive, "--output", join(folder, "layers"));
    expect(lowers).toBe(`--lower ${folder}/layers/0002 --lower ${folder}/layers/0001\n`);
    const merged = mountOverlay([`${folder}/layers/0002`, `${folder}/layers/0001`], "");
    expect(manifest(merged, { times: isNoDirectory })).toEqual(expected);
  });

  test("are exported the same each time, each whiteout and opaque directory as images have them", () => {
    changeTree();
    const [first, second] = [join(folder, "1.tar"), join(folder, "2.tar")];
    const lower = ["--lower", join(folder, "tree")];
    succeed("export", join(folder, "upper"), "--output", first, ...lower);
    succeed("export", join(folder, "upper"), "--output", second, ...lower);
    expect(readFileSync(first).equals(readFileSync(second))).toBe(true);
    const names = execFileSync("tar", ["-tf", first], { encoding: "utf8" }).trim().split("\n");
    expect(names).toEqual([
      "./",
      ...[
        "a/",
        "a/b/",
        "a/b/c/",
        "a/b/c/.wh..wh..opq",
        "a/b/c/new",
        "a/b/.wh.f2",
        "a/f1",
        "a/s/",
        "a/s/.wh..wh..opq",
      ],
      ...["d/", "d/e/", "d/e/.wh..wh..opq", "d/e/other", "d/.wh.gone"],
      ...["keep/", "keep/here", "keep/link", "keep/.wh.moved", "keep/same", "keep/sparse"],
      ...[
        "new/",
        "new/.wh..wh..opq",
        "new/again/",
        "new/again/.wh..wh..opq",
        "new/again/f/",
        "new/again/f/added",
      ],
      // A name that only a lower layer has of a file that was changed under its other name.
      "a/h1",
    ]);
  });

  test.skipIf(!hasImageTools)("are what umoci and skopeo take and give", { timeout: 60_000 }, () => {
    posix.prepareThread();
    changeTree();
    const [base, changes] = [join(folder, "base.tar"), join(folder, "changes.tar")];
    succeed("export", join(folder, "upper"), "--output", changes, "--lower", join(folder, "tree"));
    const image = join(folder, "image");
    const umoci = (...args: string[]) => execFileSync("umoci", args, { stdio: ["ignore", "ignore", "pipe"] });
    umoci("init", "--layout", image);
    umoci("new", "--image", `${image}:made`);
    umoci("raw", "add-layer", "--image", `${image}:made`, base);
    umoci("raw", "add-layer", "--image", `${image}:made`, changes);
    umoci("unpack", "--image", `${image}:made`, join(folder, "bundle"));
    // An attribute that looks like overlayfs's own, which umoci leaves out.
    const xattrs = (name: string) => name !== "trusted.overlay.opaque";
    const files = (path: string) => manifest(path, { times: isNoDirectory, xattrs });
    const expected = files(join(folder, "bundle/rootfs"));
    expect(expected.length).toBeGreaterThan(20);

    const archive = join(folder, "archive.tar");
    execFileSync("skopeo", ["--insecure-policy", "copy", `oci:${image}:made`, `docker-archive:${archive}`], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    for (const [name, source] of [
      ["from-layout", image],
      ["from-archive", archive],
    ] as const) {
      succeed("import", source, "--output", join(folder, name));
      const merged = mountOverlay([join(folder, name, "0002"), join(folder, name, "0001")], "");
      expect(files(merged), name).toEqual(expected);
      unmount();
    }
  });

  test("are unpacked by a user without rights, with marks that overlayfs knows", () => {
    posix.prepareThread();
    const tree = join(folder, "tree");
    shell(
      "mkdir -p a/b d && echo 1 >a/gone && echo 2 >a/b/hidden && echo 3 >d/kept && mknod null c 1 3",
      tree,
    );
    succeed("export", tree, "--output", join(folder, "base.tar"));
    const merged = mountOverlay([tree], `,upperdir=${folder}/upper,workdir=${folder}/work,${SETTINGS}`);
    shell("rm a/gone && rm -r a/b && mkdir a/b && echo 4 >a/b/new && chown 7:8 d/kept", merged);
    unmount();
    succeed("export", join(folder, "upper"), "--output", join(folder, "changes.tar"), "--lower", tree);
    chmodSync(folder, 0o777);
    const [setpriv = "", ...as] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const archives = ["base.tar", "changes.tar"].map((name) => join(folder, name));
    for (const archive of archives) chmodSync(archive, 0o644);
    const { status, stderr } = spawnSync(
      setpriv,
      [...as, ...gatewayCommand(), "layer", "import", ...archives, "--output", join(folder, "layers")],
      { encoding: "utf8" },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringMatching(/owner/) });
    const lowers = ["0002", "0001"].map((name) => join(folder, "layers", name));
    const shown = mountOverlay(lowers, ",userxattr");
    expect(readdirSync(join(shown, "a"))).toEqual(["b"]);
    expect(readdirSync(join(shown, "a/b"))).toEqual(["new"]);
    expect(statSync(join(shown, "d/kept"))).toMatchObject({ uid: 65534, gid: 65534 });
    expect(existsSync(join(shown, "null"))).toBe(false);
  });

  test("cannot be exported without the lower layers that they refer to", () => {
    changeTree();
    const output = join(folder, "changes.tar");
    expect(layer("export", join(folder, "upper"), "--output", output)).toEqual({
      status: 1,
      stdout: "",
      stderr: expect.stringMatching(
        /^error: "a\/f1": has other names in a lower layer .* --lower, top first\n$/,
      ),
    });
    expect(() => readFileSync(output)).toThrow("ENOENT");
  });

  test("of another format of names cannot be exported", () => {
    shell("mkdir d && touch d/.wh.x", join(folder, "upper"));
    expect(layer("export", join(folder, "upper"), "--output", join(folder, "x.tar"))).toMatchObject({
      status: 1,
      stderr: 'error: "d/.wh.x": a layer cannot hold names that begin with .wh.\n',
    });
  });
});
