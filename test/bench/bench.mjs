// @ts-check
// `npm run bench`: drives both backends over real virtqueues, without a guest. With --peer PATH it measures
// that virtiofsd beside ours, alternating, and prints ratios.
//
//   npm run bench -- [--peer PATH] [--dir DIR] [driver option…]     e.g. --qd 32 --seconds 1 --ops getattr,read4k
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ensureSetupOrExit } from "../setup.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BENCH = join(ROOT, "native/bench");
const START_TIMEOUT_MS = 20_000;
/** The Rust virtiofsd at its fastest. */
const PEER_OPTIONS = ["--sandbox=none", "--seccomp=none", "--inode-file-handles=never", "--xattr"];

/**
 * Starts a server and waits for its socket.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {string} socketPath
 */
async function startServer(program, args, socketPath) {
  const server = spawn(program, [...args, "--socket-path", socketPath], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!existsSync(socketPath)) {
    if (server.exitCode !== null || Date.now() > deadline) {
      server.kill();
      throw new Error(`${program} does not listen`);
    }
    await delay(10);
  }
  return server;
}

/**
 * @param {string} title
 * @param {readonly string[]} ours Arguments of our server.
 * @param {{peer: string | undefined, shared: string, driver: readonly string[], work: string}} setting
 * @returns {Promise<boolean>} Whether every request was answered rightly.
 */
async function measure(title, ours, { peer, shared, driver, work }) {
  console.log(`\n${title}`);
  const socketPath = join(work, "ours.sock");
  const peerSocket = join(work, "peer.sock");
  const servers = [
    await startServer(join(ROOT, "bin/virtiofs-gateway"), [...ours, "--log-level", "warn"], socketPath),
  ];
  const args = [socketPath, ...driver];
  if (peer !== undefined) {
    servers.push(await startServer(peer, ["--shared-dir", shared, ...PEER_OPTIONS], peerSocket));
    args.push("--compare", peerSocket);
  }
  const run = spawnSync(join(BENCH, "build/vufs-bench"), args, { stdio: "inherit" });
  for (const server of servers) {
    if (server.exitCode === null) {
      await Promise.race([once(server, "exit"), delay(2000)]);
      server.kill();
    }
  }
  return run.status === 0;
}

/**
 * Takes an option and its value out of `args`.
 *
 * @param {string[]} args
 * @param {string} name
 * @returns {string | undefined}
 */
function takeOption(args, name) {
  const index = args.indexOf(name);
  return index < 0 ? undefined : args.splice(index, 2)[1];
}

async function main() {
  const driver = process.argv.slice(2);
  const peer = takeOption(driver, "--peer");
  const directory = takeOption(driver, "--dir") ?? tmpdir();
  ensureSetupOrExit({ apt: ["build"] });
  execFileSync("make", ["-s", "-C", BENCH], { stdio: "inherit" });
  const work = mkdtempSync(join(tmpdir(), "virtiofs-gateway-bench-"));
  const shared = mkdtempSync(join(directory, "virtiofs-gateway-bench-"));
  try {
    const setting = { peer, shared, driver, work };
    const passthrough = await measure(
      `passthrough on ${shared}`,
      ["--shared-dir", shared, "--xattr"],
      setting,
    );
    const memory = await measure("memory", ["--backend", "memory", "--size", "2GiB"], setting);
    process.exitCode = passthrough && memory ? 0 : 1;
  } finally {
    rmSync(work, { recursive: true });
    rmSync(shared, { recursive: true });
  }
}

await main();
