import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { addFixture, ensureGuestImage } from "../support/guest/image.mjs";
import { GUEST_TEST_TIMEOUT_MS, GuestSession, SHARE_KINDS } from "./harness.js";

vi.setConfig({ testTimeout: GUEST_TEST_TIMEOUT_MS, hookTimeout: GUEST_TEST_TIMEOUT_MS });

const REPOSITORY = fileURLToPath(new URL("../../", import.meta.url));
const SOURCE_TREE = ["src", "backends", "native", "test", "docs", "package-lock.json"];
const DROP_CACHES = "sync && echo 3 >/proc/sys/vm/drop_caches";
const REMOUNT = "umount /share && mount -t virtiofs share /share";

// The tests of a share build on each other: a boot costs more than all of them together.
describe.each(SHARE_KINDS)("a guest on a $name share", (kind) => {
  let session: GuestSession;
  let fixtureDirectory: string;

  beforeAll(async () => {
    fixtureDirectory = await fs.mkdtemp(path.join(os.tmpdir(), "virtiofs-fixture-"));
    const sources = SOURCE_TREE.map((name) => path.join(REPOSITORY, name));
    const image = await addFixture(await ensureGuestImage(), sources, fixtureDirectory);
    session = await GuestSession.start({ kind, image });
    await session.run("mkdir -p /share && make-odd-files /fixture/odd");
  });

  afterAll(async () => {
    await session?.cleanUp();
    await fs.rm(fixtureDirectory, { recursive: true, force: true });
  });

  async function expectSameTree(actual: string, expected: string): Promise<void> {
    const wanted = (await session.run(`tree-manifest ${expected}`)).split("\n");
    const found = (await session.run(`tree-manifest ${actual}`)).split("\n");
    expect(wanted.length).toBeGreaterThan(100);
    expect(found).toEqual(wanted);
  }

  test("mounts", async () => {
    await session.run("mount -t virtiofs share /share");
    expect(await session.run("grep /share /proc/mounts")).toMatch(/^share \/share virtiofs rw/);
    expect(await session.run("ls -A /share")).toBe("");
  });

  test("takes a source tree from tar and gives it back", async () => {
    await session.run("tar -C /fixture -cf /tmp/in.tar . && mkdir /share/tree");
    await session.run("tar -C /share/tree -xf /tmp/in.tar");
    await expectSameTree("/share/tree", "/fixture");

    await session.run(`${DROP_CACHES} && tar -C /share/tree -cf /share/out.tar .`);
    await session.run("mkdir /tmp/out && tar -C /tmp/out -xf /share/out.tar");
    await expectSameTree("/tmp/out", "/fixture");
    await session.run("rm -r /tmp/out /tmp/in.tar /share/out.tar");
  });

  test("lists as many files as there are", async () => {
    const count = "find . -type f | wc -l; find . -type d | wc -l; find . -type l | wc -l";
    const wanted = await session.run(`cd /fixture && ${count}`);
    expect(await session.run(`cd /share/tree && ${count}`)).toBe(wanted);

    await session.run("mkdir /share/many && cd /share/many && seq 1 1000 | xargs touch");
    expect(await session.run("ls /share/many | sort -n | uniq | wc -l")).toBe("1000");
    await session.run("rm -r /share/many && [ ! -e /share/many ]");
  });

  test("reads and writes with O_DIRECT", async () => {
    await session.run("dd if=/dev/urandom of=/tmp/data bs=1M count=8 status=none");
    await session.run("dd if=/tmp/data of=/share/direct bs=64k oflag=direct status=none");
    await session.run("cmp /tmp/data /share/direct");
    await session.run("dd if=/share/direct of=/tmp/back bs=256k iflag=direct status=none");
    await session.run("cmp /tmp/data /tmp/back && rm /tmp/data /tmp/back");
    await session.run("direct-io-check /share/direct-pieces");
  });

  test("maps files to read and to write", async () => {
    const size = 3 * 1024 * 1024 + 77;
    await session.run(`mmap-check write /share/mapped ${size}`);
    await session.run(`${DROP_CACHES} && mmap-check read /share/mapped ${size}`);
  });

  test("preserves modes, owners and times with cp -a", async () => {
    await session.run("cp -a /share/tree /share/copy");
    await expectSameTree("/share/copy", "/share/tree");
    const times = 'find . -type d -print0 | sort -z | xargs -0 stat -c "%n %Y"';
    const wanted = await session.run(`cd /share/tree && ${times}`);
    expect(await session.run(`cd /share/copy && ${times}`)).toBe(wanted);
  });

  test("has files belong to the user who made them", async () => {
    await session.run("mkdir /share/public /share/of-root && chmod 1777 /share/public");
    await session.run('su alice -c "cd /share/public && umask 027 && mkdir d && echo 1 >d/file"');
    const owners = 'cd /share/public && stat -c "%n %u:%g %a" d d/file';
    expect(await session.run(owners)).toBe("d 1000:1000 750\nd/file 1000:1000 640");

    const denied = ["cat /share/public/d/file", "rm -r /share/public/d", "touch /share/of-root/new"];
    for (const command of denied) {
      const { status, output } = await session.guest.run(`su bob -c "${command}"`);
      expect(status, `${command}: ${output}`).not.toBe(0);
    }
  });

  test("renames, replaces and removes", async () => {
    await session.run("mkdir /share/names && cd /share/names && echo a >a && echo b >b");
    await session.run('cd /share/names && mv a b && [ ! -e a ] && [ "$(cat b)" = a ]');
    await session.run('cd /share/names && exec 3<b && rm b && [ "$(cat <&3)" = a ]');
    await session.run("cd /share && mkdir names/d && mv names/d names/e && rmdir names/e names");
  });

  test("finds files by handle, as for NFS, after the kernel has dropped its caches", async () => {
    const files =
      "for i in $(seq 300); do echo $i >file-$i; done; echo stays >kept; echo goes >gone; echo is >moved";
    await session.run(
      `mkdir -p /share/export/below/deep && cd /share/export && ${files}; echo new >below/other`,
    );
    const change = "cd /share/export && rm gone && mv moved below/renamed && mv below/other kept";
    const paths = ["file-7", "gone", "moved", "kept", "below/other", "below/deep"];
    const output = await session.run(
      `cd /share/export && handle-check /share "${change}" ${paths.join(" ")}`,
    );
    expect(output.split("\n")).toEqual([
      "file-7: file of 2 bytes",
      "gone: ESTALE",
      "moved: file of 3 bytes",
      "kept: ESTALE",
      "below/other: file of 4 bytes",
      "below/deep: directory",
    ]);
  });

  test("has everything after it was unmounted and mounted again", async () => {
    await session.run(REMOUNT);
    await expectSameTree("/share/tree", "/fixture");
    await session.run("direct-io-check /share/direct-pieces");
  });

  test.runIf(kind.onHost)("shows the host what the guest wrote", async () => {
    const file = path.join(session.hostDirectory, "tree/package-lock.json");
    const source = path.join(REPOSITORY, "package-lock.json");
    expect(await sha256(file)).toBe(await sha256(source));

    const odd = path.join(session.hostDirectory, "tree/odd");
    expect(await fs.lstat(path.join(odd, "alice"))).toMatchObject({ uid: 1000, gid: 1000 });
    expect((await fs.lstat(path.join(odd, "set-uid"))).mode & 0o7777).toBe(0o4755);
    expect((await fs.lstat(path.join(odd, "first-name"))).nlink).toBe(3);
    expect(await fs.readlink(path.join(odd, "dangling"))).toBe("no/such/file");
  });

  test.runIf(kind.onHost)("shows the guest what the host writes", async () => {
    const file = path.join(session.hostDirectory, "from-host");
    await fs.writeFile(file, "first");
    expect(await session.run("cat /share/from-host")).toBe("first");
    await fs.writeFile(file, "second, and longer");
    // The guest may trust what it knows of a file for a second.
    await session.run("sleep 1.5");
    expect(await session.run("cat /share/from-host")).toBe("second, and longer");
    await fs.rm(file);
    await session.run("sleep 1.5; [ ! -e /share/from-host ]");
  });

  test.runIf(kind.onHost)("mounts a bind mount of the host as a file system of its own", async () => {
    const [shown, bound] = ["shown", "bound"].map((name) => path.join(session.hostDirectory, name));
    await fs.mkdir(shown as string);
    await fs.mkdir(bound as string);
    await fs.writeFile(path.join(shown as string, "file"), "one file");
    execFileSync("mount", ["--bind", shown as string, bound as string]);
    try {
      // stat(2) of a submount alone does not mount it: like an automount it waits for somebody to go in.
      const devices = await session.run("cd /share && stat -c %d . shown shown/file bound/file bound");
      const [root, ...below] = devices.split("\n");
      const other = below[2];
      expect(other).not.toBe(root);
      expect(below).toEqual([root, root, other, other]);
      expect(await session.run("cd /share && ls -l bound >/dev/null && cat bound/file")).toBe("one file");
      await session.run("umount /share/bound");
    } finally {
      execFileSync("umount", ["-l", bound as string]);
    }
  });

  test("has everything after a reboot on the same connection", async () => {
    await session.run("cd /share/tree && tree-manifest . >/share/manifest && sync");
    await session.guest.reboot();
    await session.run("mkdir -p /share && mount -t virtiofs share /share");
    await session.run("tree-manifest /share/tree >/tmp/manifest");
    await session.run("cmp /share/manifest /tmp/manifest");
    await session.run("mmap-check read /share/mapped $(stat -c %s /share/mapped)");
    await session.run('echo again >/share/after-reboot && [ "$(cat /share/after-reboot)" = again ]');
  });

  test("ends with 0 when the guest is off", async () => {
    await session.powerOff();
  });
});

async function sha256(file: string): Promise<string> {
  return createHash("sha256")
    .update(await fs.readFile(file))
    .digest("hex");
}
