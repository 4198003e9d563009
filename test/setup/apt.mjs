// @ts-check
import { spawnSync } from "node:child_process";
import { report, runLogged, SetupError } from "./steps.mjs";

/** What Debian 12 must have installed, by purpose. */
const PACKAGE_SETS = {
  build: ["g++", "make", "openssl", "python3"],
  guest: ["qemu-system-x86", "busybox-static", "cpio", "g++", "kmod"],
  host: ["fio", "g++", "git", "make", "skopeo", "umoci"],
  soak: ["fio", "g++", "stress-ng"],
  s3: ["mmdebstrap", "rclone", "s3fs"],
  conformance: ["e2fsprogs", "g++", "make", "mount"],
};

/** @typedef {keyof typeof PACKAGE_SETS} PackageSet */

/**
 * @param {string} name
 * @returns {name is PackageSet}
 */
export function isPackageSet(name) {
  return Object.hasOwn(PACKAGE_SETS, name);
}

/**
 * Installs what is missing as root; without root says how.
 *
 * @param {readonly PackageSet[]} sets
 * @throws {SetupError}
 */
export function ensureAptPackages(sets) {
  const wanted = [...new Set(sets.flatMap((set) => PACKAGE_SETS[set]))];
  const missing = findMissing(wanted);
  if (missing.length === 0) return;

  const install = ["install", "-y", "--no-install-recommends", ...missing];
  if (process.getuid?.() !== 0) {
    throw new SetupError(`packages are missing; install them with: sudo apt-get ${install.join(" ")}`);
  }
  const step = {
    unreachable: "Debian's package mirror cannot be reached or lacks a package",
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  };
  runLogged("apt-get", ["update"], { ...step, purpose: "reading the package lists" });
  runLogged("apt-get", install, { ...step, purpose: `installing ${missing.join(" ")}` });
  report("packages installed");
}

/**
 * @param {readonly string[]} packages
 * @returns {string[]}
 */
function findMissing(packages) {
  const query = spawnSync(
    "dpkg-query",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: these are dpkg-query's fields
    ["--show", "--showformat", "${Package} ${db:Status-Status}\n", ...packages],
    { encoding: "utf8" },
  );
  if (query.error !== undefined) {
    throw new SetupError(`dpkg-query is missing: these packages are needed: ${packages.join(" ")}`);
  }
  const installed = new Set(query.stdout.split("\n"));
  return packages.filter((name) => !installed.has(`${name} installed`));
}
