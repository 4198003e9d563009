// @ts-check
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import * as fs from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { runCommand } from "./commands.mjs";
import { ensureKernel } from "./kernel.mjs";
import { buildInPlace } from "./work-directory.mjs";

const REPOSITORY = fileURLToPath(new URL("../../../", import.meta.url));
const CACHE_DIRECTORY = path.join(REPOSITORY, ".cache/guest");
const PROGRAMS_DIRECTORY = path.join(REPOSITORY, "test/guest/programs");
const INIT_SCRIPT = fileURLToPath(new URL("init.sh", import.meta.url));
const BUSYBOX = "/bin/busybox";
const DIRECTORIES = ["bin", "dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp"];

/** Users for tests that act as somebody else than root. */
const PASSWD = `root:x:0:0:root:/root:/bin/sh
alice:x:1000:1000:alice:/tmp:/bin/sh
bob:x:1001:1001:bob:/tmp:/bin/sh
`;
const GROUP = "root:x:0:\nalice:x:1000:\nbob:x:1001:\nstaff:x:50:alice,bob\n";

/**
 * What a guest boots from.
 *
 * @typedef {object} GuestImage
 * @property {string} kernelVersion
 * @property {string} kernelPath
 * @property {string} initramfsPath
 */

/**
 * Returns a kernel and an initramfs with busybox, the modules for virtio-fs and the programs of
 * test/guest/programs. Both are built once and kept in the repository's `.cache/guest`.
 *
 * @param {import('./kernel.mjs').KernelFlavor} [flavor]
 * @returns {Promise<GuestImage>}
 */
export async function ensureGuestImage(flavor = "stable") {
  const kernel = await ensureKernel(flavor, CACHE_DIRECTORY);
  const hash = createHash("sha256").update(kernel.version);
  const programs = await listPrograms();
  for (const file of [fileURLToPath(import.meta.url), INIT_SCRIPT, BUSYBOX, ...programs]) {
    hash.update(await fs.readFile(file));
  }
  const name = `initramfs-${flavor}-${hash.digest("hex").slice(0, 16)}.cpio`;
  const initramfsPath = path.join(CACHE_DIRECTORY, name);
  if (!existsSync(initramfsPath)) {
    await buildInPlace(initramfsPath, (directory) => buildInitramfs(kernel, programs, directory));
  }
  return { kernelVersion: kernel.version, kernelPath: kernel.imagePath, initramfsPath };
}

/**
 * Returns an image whose guest finds copies of host files in its folder /fixture, in its own memory.
 *
 * @param {GuestImage} image
 * @param {readonly string[]} sources Files and directories of the host.
 * @param {string} workDirectory Where to put the new initramfs; the caller removes it.
 * @returns {Promise<GuestImage>}
 */
export async function addFixture(image, sources, workDirectory) {
  const root = path.join(workDirectory, "root");
  for (const source of sources) {
    const copy = path.join(root, "fixture", path.basename(source));
    await fs.cp(source, copy, { recursive: true });
  }
  // The kernel unpacks any number of archives that follow each other.
  const fixture = await packDirectory(root, path.join(workDirectory, "fixture.cpio"));
  const initramfsPath = path.join(workDirectory, "initramfs.cpio");
  await fs.copyFile(image.initramfsPath, initramfsPath);
  await fs.appendFile(initramfsPath, await fs.readFile(fixture));
  return { ...image, initramfsPath };
}

/**
 * Makes a tree that a guest can have as its root file system: busybox, and the programs of test/guest/programs.
 *
 * @param {string} root The directory to make.
 */
export async function buildRootTree(root) {
  await populateRoot(root);
  for (const source of await listPrograms()) await addProgram(source, path.join(root, "bin"));
}

/** @returns {Promise<string[]>} */
async function listPrograms() {
  const names = await fs.readdir(PROGRAMS_DIRECTORY);
  return names.sort().map((name) => path.join(PROGRAMS_DIRECTORY, name));
}

/**
 * Left uncompressed: the emulated processor would spend longer on unpacking than on reading.
 *
 * @param {import('./kernel.mjs').Kernel} kernel
 * @param {readonly string[]} programs
 * @param {string} workDirectory
 * @returns {Promise<string>}
 */
async function buildInitramfs(kernel, programs, workDirectory) {
  const root = path.join(workDirectory, "root");
  await populateRoot(root);
  await fs.cp(kernel.modulesDirectory, path.join(root, "modules"), { recursive: true });
  for (const source of programs) await addProgram(source, path.join(root, "bin"));
  return packDirectory(root, path.join(workDirectory, "archive"));
}

/**
 * @param {string} source A C source or a shell script.
 * @param {string} directory
 */
async function addProgram(source, directory) {
  const { name, ext } = path.parse(source);
  const program = path.join(directory, name);
  if (ext === ".c") {
    await runCommand("gcc", ["-O2", "-Wall", "-Werror", "-static", "-s", "-o", program, source]);
  } else {
    await fs.copyFile(source, program);
    await fs.chmod(program, 0o755);
  }
}

/**
 * @param {string} directory
 * @param {string} archive
 * @returns {Promise<string>} The path of the archive.
 */
async function packDirectory(directory, archive) {
  const pack = 'cd "$0" && find . | cpio --quiet -o -H newc -R 0:0 >"$1"';
  await runCommand("sh", ["-c", pack, directory, archive]);
  return archive;
}

/**
 * @param {string} root
 */
async function populateRoot(root) {
  for (const name of DIRECTORIES) await fs.mkdir(path.join(root, name), { recursive: true });
  await fs.copyFile(BUSYBOX, path.join(root, "bin/busybox"));
  const applets = (await runCommand(BUSYBOX, ["--list"])).toString().split("\n");
  for (const applet of applets) {
    if (applet !== "" && applet !== "busybox") {
      await fs.symlink("busybox", path.join(root, "bin", applet));
    }
  }
  await fs.copyFile(INIT_SCRIPT, path.join(root, "init"));
  await fs.chmod(path.join(root, "init"), 0o755);
  await fs.writeFile(path.join(root, "etc/passwd"), PASSWD);
  await fs.writeFile(path.join(root, "etc/group"), GROUP);
}
