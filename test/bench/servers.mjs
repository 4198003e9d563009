// @ts-check
// The servers that are measured: ours and the virtiofsds that are found.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const GATEWAY = join(ROOT, "bin/virtiofs-gateway");

/** Where distributions put a virtiofsd: Debian and Fedora, Arch, Debian 12 (the C one), cargo install. */
const USUAL_PLACES = [
  "/usr/libexec/virtiofsd",
  "/usr/lib/virtiofsd",
  "/usr/lib/qemu/virtiofsd",
  "/usr/local/bin/virtiofsd",
];
const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 5000;

/**
 * @typedef {object} Server
 * @property {string} name
 * @property {string} program
 * @property {(directory: string) => readonly string[]} args What serves `directory`.
 * @property {readonly string[]} withoutCache What keeps the guest from caching.
 */

/** Ours, over a directory of the host. @type {Server} */
export const PASSTHROUGH = {
  name: "virtiofs-gateway",
  program: GATEWAY,
  args: (directory) => ["--shared-dir", directory, "--xattr", "--log-level", "warn"],
  withoutCache: ["--cache", "never"],
};

/** Ours, with files in memory. @type {Server} */
export const MEMORY = {
  name: "virtiofs-gateway (memory)",
  program: GATEWAY,
  args: () => ["--backend", "memory", "--size", "4GiB", "--inodes", "2000000", "--log-level", "warn"],
  withoutCache: ["--cache", "never"],
};

/**
 * The virtiofsds of these paths, or those in the usual places, each with the options it is fastest with.
 *
 * @param {readonly string[]} paths
 * @returns {Server[]}
 * @throws {Error} When one of `paths` is no virtiofsd.
 */
export function findPeers(paths) {
  const programs = paths.length > 0 ? paths : USUAL_PLACES.filter((path) => existsSync(path));
  return programs.map((program) => {
    const { stdout, error } = spawnSync(program, ["--version"], { encoding: "utf8" });
    const [, old, version] = /^virtiofsd (version )?([\d.]+)/.exec(stdout ?? "") ?? [];
    if (version === undefined) {
      throw new Error(`--peer: expected a virtiofsd, got ${program}${error ? `: ${error.message}` : ""}`);
    }
    return old === undefined ? rust(program, version) : c(program, version);
  });
}

/** @param {string} program @param {string} version @returns {Server} */
function rust(program, version) {
  const fastest = ["--sandbox=none", "--seccomp=none", "--inode-file-handles=never", "--thread-pool-size=0"];
  return {
    name: `virtiofsd ${version} (Rust)`,
    program,
    args: (directory) => ["--shared-dir", directory, "--xattr", ...fastest],
    withoutCache: ["--cache=never"],
  };
}

/** @param {string} program @param {string} version @returns {Server} */
function c(program, version) {
  const fastest = ["-o", "sandbox=chroot", "--thread-pool-size=0"];
  return {
    name: `virtiofsd ${version} (C)`,
    program,
    args: (directory) => ["-o", `source=${directory}`, "-o", "xattr", ...fastest],
    withoutCache: ["-o", "cache=none"],
  };
}

/**
 * Starts a server and waits for its socket.
 *
 * @param {Server} server
 * @param {string} directory What to serve.
 * @param {string} socketPath
 * @throws {Error} When it does not listen.
 */
export async function startServer(server, directory, socketPath) {
  const args = [...server.args(directory), `--socket-path=${socketPath}`];
  const child = spawn(server.program, args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text) => {
    said = `${said}${text}`.slice(-2000);
  });
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!existsSync(socketPath)) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill();
      throw new Error(`${server.program} does not listen: ${said.trim()}`);
    }
    await delay(10);
  }
  return child;
}

/**
 * Waits for a server to end by itself, as it does when its front-end has gone, and helps it if it does not.
 *
 * @param {import("node:child_process").ChildProcess} child
 */
export async function stopServer(child) {
  const ended = child.exitCode !== null || child.signalCode !== null;
  if (!ended) {
    const exit = once(child, "exit");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await exit;
    clearTimeout(timer);
  }
}
