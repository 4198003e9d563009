// @ts-check
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync, utimesSync } from "node:fs";
import path from "node:path";
import { REPOSITORY, runLogged, SetupError } from "./steps.mjs";

const ADDON = path.join(REPOSITORY, "build/Release/virtiofs_gateway.node");
const PROGRAM = path.join(REPOSITORY, "dist/src/cli/main.js");
const ADDON_SOURCES = ["binding.gyp", "native"];
const PROGRAM_SOURCES = ["rolldown.config.js", "tsconfig.json", "src", "backends"];
/** Parts of native/ that are programs of their own and not in the addon. */
const NOT_IN_ADDON = new Set(["native/test", "native/fuzz"]);

/**
 * Installs the npm packages unless they are those of package-lock.json, and builds the addon and the
 * program unless they are newer than their sources.
 */
export function ensurePackages() {
  if (!packagesAreCurrent()) {
    runNpm(["ci"], "installing the npm packages and building the addon");
  }
  const stale = [
    ...(isNewer(ADDON, ADDON_SOURCES) ? [] : [ADDON]),
    ...(isNewer(PROGRAM, PROGRAM_SOURCES) ? [] : [PROGRAM]),
  ];
  if (stale.length === 0) return;
  buildAll();
  const now = new Date();
  for (const file of stale) {
    if (!existsSync(file)) {
      throw new SetupError(`the build made no ${path.relative(REPOSITORY, file)}`);
    }
    // A source that does not change the result would make it look stale for ever.
    utimesSync(file, now, now);
  }
}

function buildAll() {
  if (existsSync(path.join(REPOSITORY, "build/Makefile"))) {
    runNpm(["run", "build"], "building the addon and the program");
  } else {
    runNpm(["run", "install"], "building the addon");
    runNpm(["run", "prepare"], "building the program");
  }
}

/**
 * npm leaves a lock file of what it has installed; compare that with ours.
 *
 * @returns {boolean}
 */
function packagesAreCurrent() {
  const wanted = readLockedVersions("package-lock.json");
  const installed = readLockedVersions("node_modules/.package-lock.json");
  return [...wanted].every(
    ([name, { version, optional }]) =>
      installed.get(name)?.version === version || (optional === true && !installed.has(name)),
  );
}

/**
 * @param {string} file
 * @returns {Map<string, {version: string, optional?: boolean}>} By folder; without the root package.
 */
function readLockedVersions(file) {
  const lockPath = path.join(REPOSITORY, file);
  if (!existsSync(lockPath)) return new Map();
  const { packages } = JSON.parse(readFileSync(lockPath, "utf8"));
  return new Map(Object.entries(packages).filter(([folder]) => folder !== ""));
}

/**
 * @param {string} file
 * @param {readonly string[]} sources Relative to the repository; a folder means all files below it.
 * @returns {boolean}
 */
function isNewer(file, sources) {
  if (!existsSync(file)) return false;
  const builtAtMs = statSync(file).mtimeMs;
  return sources.every((source) => newestMtimeMs(source) <= builtAtMs);
}

/**
 * @param {string} source
 * @returns {number}
 */
function newestMtimeMs(source) {
  const absolute = path.join(REPOSITORY, source);
  if (NOT_IN_ADDON.has(source) || !existsSync(absolute)) return 0;
  const { mtimeMs } = statSync(absolute);
  if (!statSync(absolute).isDirectory()) return mtimeMs;
  return readdirSync(absolute)
    .map((name) => newestMtimeMs(path.join(source, name)))
    .reduce((newest, time) => Math.max(newest, time), 0);
}

/**
 * @param {readonly string[]} args
 * @param {string} purpose
 */
function runNpm(args, purpose) {
  if (spawnSync("npm", ["--version"], { stdio: "ignore" }).status !== 0) {
    throw new SetupError("npm is missing: install Node.js 20.20 or newer together with npm");
  }
  const { npm_config_nodedir: nodedir = localNodeDirectory(), ...environment } = process.env;
  runLogged("npm", [...args, "--no-audit", "--no-fund"], {
    purpose,
    unreachable: "the npm registry cannot be reached",
    env: nodedir === undefined ? environment : { ...environment, npm_config_nodedir: nodedir },
  });
}

/**
 * node-gyp downloads Node's headers unless it is told where they are.
 *
 * @returns {string | undefined}
 */
function localNodeDirectory() {
  const prefix = path.resolve(path.dirname(process.execPath), "..");
  return existsSync(path.join(prefix, "include/node/node.h")) ? prefix : undefined;
}
