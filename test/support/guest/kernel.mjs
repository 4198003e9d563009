// @ts-check
import { existsSync } from "node:fs";
import * as fs from "node:fs/promises";
import path from "node:path";
import { CommandError, runCommand } from "./commands.mjs";
import { buildInPlace } from "./work-directory.mjs";

const KERNEL_PACKAGE = "linux-image-cloud-amd64";
const ARCHIVE_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const MODULES = ["virtio_pci", "virtiofs", "overlay"];

/**
 * A kernel ready to boot.
 *
 * @typedef {object} Kernel
 * @property {string} version For example `6.1.0-56-cloud-amd64`.
 * @property {string} imagePath The compressed kernel.
 * @property {string} modulesDirectory The modules a guest needs, numbered in the order to load them.
 */

/**
 * Which of Debian's kernels: the one of this machine's own release, or the newer one of its backports
 * suite (from 6.10 on, virtiofs spreads requests over several request queues).
 *
 * @typedef {'stable' | 'backports'} KernelFlavor
 */

/**
 * Returns the kernel, which is downloaded once and kept in `cacheDirectory`. Works without root and
 * leaves the machine's own apt state alone.
 *
 * @param {KernelFlavor} flavor
 * @param {string} cacheDirectory
 * @returns {Promise<Kernel>}
 */
export async function ensureKernel(flavor, cacheDirectory) {
  const directory = path.join(cacheDirectory, `kernel-${flavor}`);
  if (!existsSync(directory)) {
    await buildInPlace(directory, (workDirectory) => buildKernel(flavor, workDirectory));
  }
  const version = (await fs.readFile(path.join(directory, "version"), "utf8")).trim();
  return {
    version,
    imagePath: path.join(directory, "vmlinuz"),
    modulesDirectory: path.join(directory, "modules"),
  };
}

/**
 * @param {KernelFlavor} flavor
 * @param {string} workDirectory
 * @returns {Promise<string>}
 */
async function buildKernel(flavor, workDirectory) {
  const release = await debianRelease();
  const suite = flavor === "stable" ? release : `${release}-backports`;
  const tree = await downloadKernel(release, suite, workDirectory);
  const result = path.join(workDirectory, "result");
  await extractKernel(tree, result);
  return result;
}

/** @returns {Promise<string>} The code name of this machine's Debian release. */
async function debianRelease() {
  const osRelease = await fs.readFile("/etc/os-release", "utf8");
  const codename = /^VERSION_CODENAME=(\S+)$/m.exec(osRelease)?.[1];
  if (!/^ID=debian$/m.test(osRelease) || codename === undefined) {
    throw new Error("the test guest needs a Debian machine: its kernel comes from apt");
  }
  return codename;
}

/**
 * @param {string} release The suite whose mirror is used.
 * @param {string} suite The suite that has the kernel.
 * @param {string} workDirectory
 * @returns {Promise<string>} The directory with the unpacked package.
 */
async function downloadKernel(release, suite, workDirectory) {
  const tree = path.join(workDirectory, "tree");
  try {
    const options = await createAptState(release, suite, workDirectory);
    await runCommand("apt-get", [...options, "-qq", "--error-on=any", "update"]);
    const dependencies = await runCommand("apt-cache", [...options, "depends", KERNEL_PACKAGE]);
    const image = /Depends: (linux-image-\S+)/.exec(dependencies.toString())?.[1];
    if (image === undefined) throw new Error(`${KERNEL_PACKAGE} depends on no kernel`);
    await runCommand("apt-get", [...options, "-qq", "download", image], { cwd: workDirectory });
  } catch (error) {
    const reason = error instanceof CommandError ? error.message : String(error);
    throw new Error(`cannot fetch a guest kernel from Debian's suite ${suite}: ${reason}`, {
      cause: error,
    });
  }
  const deb = (await fs.readdir(workDirectory)).find((name) => name.endsWith(".deb"));
  await runCommand("dpkg", ["-x", path.join(workDirectory, deb ?? ""), tree]);
  return tree;
}

/**
 * Private lists and cache: the machine may have no lists, other suites or no root.
 *
 * @param {string} release
 * @param {string} suite
 * @param {string} workDirectory
 * @returns {Promise<string[]>} The options that make apt use them.
 */
async function createAptState(release, suite, workDirectory) {
  const lists = path.join(workDirectory, "lists");
  const cache = path.join(workDirectory, "cache");
  const sources = path.join(workDirectory, "sources.list");
  await fs.mkdir(path.join(lists, "partial"), { recursive: true });
  await fs.mkdir(path.join(cache, "archives/partial"), { recursive: true });
  const mirror = await findMirror(release, lists);
  await fs.writeFile(sources, `deb [signed-by=${ARCHIVE_KEYRING}] ${mirror} ${suite} main\n`);
  const settings = {
    "Dir::Etc::sourcelist": sources,
    "Dir::Etc::sourceparts": "-",
    "Dir::State::lists": lists,
    "Dir::Cache": cache,
    "APT::Sandbox::User": "root",
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";\n`);
  const configuration = path.join(workDirectory, "apt.conf");
  await fs.writeFile(configuration, lines.join(""));
  return ["-c", configuration];
}

/**
 * @param {string} release
 * @param {string} lists An empty directory, so that apt answers from its sources alone.
 * @returns {Promise<string>} The address of the mirror that the machine itself uses.
 */
async function findMirror(release, lists) {
  const targets = await runCommand("apt-get", [
    ...["-o", `Dir::State::lists=${lists}`],
    ...["indextargets", "--no-release-info"],
    ...["--format", "$(CREATED_BY) $(COMPONENT) $(RELEASE) $(REPO_URI)"],
  ]);
  const prefix = `Packages main ${release} `;
  const line = targets
    .toString()
    .split("\n")
    .find((candidate) => candidate.startsWith(prefix));
  if (line === undefined) throw new Error(`apt's sources do not contain ${release} main`);
  return line.slice(prefix.length);
}

/**
 * @param {string} tree An unpacked kernel package.
 * @param {string} result The directory to create, see {@link Kernel}.
 */
async function extractKernel(tree, result) {
  const moduleRoot = existsSync(path.join(tree, "lib/modules")) ? tree : path.join(tree, "usr");
  const [version] = await fs.readdir(path.join(moduleRoot, "lib/modules"));
  if (version === undefined) throw new Error("the kernel package contains no modules");
  await runCommand("depmod", ["-b", moduleRoot, version]);
  const list = await runCommand("modprobe", [
    ...["--show-depends", "--dirname", moduleRoot, "--set-version", version],
    ...["--all", ...MODULES],
  ]);
  const files = new Set([...list.toString().matchAll(/^insmod (\S+)/gm)].map(([, file]) => file));

  await fs.mkdir(path.join(result, "modules"), { recursive: true });
  let position = 10;
  for (const file of files) {
    if (file === undefined) continue;
    const name = path.basename(file).replace(/\.xz$/, "");
    const content = file.endsWith(".xz")
      ? await runCommand("busybox", ["xzcat", file])
      : await fs.readFile(file);
    await fs.writeFile(path.join(result, "modules", `${position++}-${name}`), content);
  }
  await fs.copyFile(path.join(tree, "boot", `vmlinuz-${version}`), path.join(result, "vmlinuz"));
  await fs.writeFile(path.join(result, "version"), `${version}\n`);
}
