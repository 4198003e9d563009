// @ts-check
// `npm run bench -- s3-walk`: memory of our S3 share while somebody lists a flat directory of many keys, and when the
// host has forgotten them. Mounts the share on this host (root); the keys are the fake server's.
//
//   npm run bench -- s3-walk [--keys 1000000] [--attributes s3fs|none] [--stat]
//
// --stat looks at each entry as well, as `ls -l` does: a request for each with --attributes s3fs.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { lstatSync, mkdirSync, mkdtempSync, opendirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { TEST_CREDENTIALS } from "../support/s3/server.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BENCH = join(ROOT, "native/bench");
const BUCKET = "walk";
/** Longer than what the server waits before it gives memory back. */
const SETTLE_MS = 10_000;
const SAMPLE_EVERY = 5000;
/** Larger than the target of a symbolic link: a listing alone says that these are files. */
const SIZE = 8192;

const { values } = parseArgs({
  options: {
    keys: { type: "string", default: "1000000" },
    attributes: { type: "string", default: "s3fs" },
    stat: { type: "boolean", default: false },
  },
  allowPositionals: true,
});
const KEYS = Number(values.keys);

/** @param {import("node:child_process").ChildProcess} child @param {string} field */
function memoryMib({ pid }, field) {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 1024;
}

/** @param {string} work @param {string} endpoint */
async function mountShare(work, endpoint) {
  const [socket, mount] = [join(work, "socket"), join(work, "mount")];
  mkdirSync(mount);
  const gateway = spawn(
    process.execPath,
    [
      ...[join(ROOT, "bin/virtiofs-gateway"), "--socket-path", socket, "--log-level", "warn"],
      ...["--backend", "s3", "--bucket", BUCKET, "--endpoint", endpoint, "--path-style"],
      ...["--attributes", values.attributes, "--staging-dir", join(work, "staging")],
      ...["--cache-dir", join(work, "cache")],
    ],
    {
      stdio: "inherit",
      env: {
        ...process.env,
        AWS_ACCESS_KEY_ID: TEST_CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: TEST_CREDENTIALS.secretAccessKey,
      },
    },
  );
  const wait = `while [ ! -S ${socket} ]; do sleep 0.02; done; exec ${BENCH}/build/vufs-mount ${socket} ${mount}`;
  const mounter = spawn("sh", ["-c", wait], { stdio: "inherit" });
  while (!readFileSync("/proc/mounts", "latin1").includes(` ${mount} `)) await delay(50);
  return { gateway, mounter, mount };
}

/** @param {string} path @param {import("node:child_process").ChildProcess} gateway */
function walk(path, gateway) {
  const directory = opendirSync(path, { bufferSize: 1024 });
  let count = 0;
  let topMib = 0;
  for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
    if (values.stat) lstatSync(join(path, entry.name));
    if (++count % SAMPLE_EVERY === 0) topMib = Math.max(topMib, memoryMib(gateway, "VmRSS"));
  }
  directory.closeSync();
  if (count !== KEYS) throw new Error(`${count} entries instead of ${KEYS}`);
  return topMib;
}

async function main() {
  execFileSync("make", ["-s", "-C", BENCH], { stdio: "inherit" });
  const work = mkdtempSync(join(tmpdir(), "s3-walk-"));
  const server = spawn(process.execPath, [join(ROOT, "test/support/s3/main.mjs"), "--bucket", BUCKET], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [endpoint] = await once(createInterface({ input: server.stdout }), "line");
    const body = JSON.stringify({ bucket: BUCKET, prefix: "flat/", count: KEYS, size: SIZE });
    await fetch(`${endpoint}/_fake/synthetic`, { method: "POST", body });
    const { gateway, mounter, mount } = await mountShare(work, endpoint);
    const beforeMib = memoryMib(gateway, "VmRSS");
    const start = performance.now();
    const topMib = walk(join(mount, "flat"), gateway);
    const seconds = (performance.now() - start) / 1000;
    const walkedMib = memoryMib(gateway, "VmRSS");
    writeFileSync("/proc/sys/vm/drop_caches", "2");
    await delay(SETTLE_MS);
    const afterMib = memoryMib(gateway, "VmRSS");
    console.log(`${KEYS} keys, ${values.stat ? "looked at" : "names only"}: ${seconds.toFixed(1)} s`);
    const [before, top, walked, after] = [beforeMib, topMib, walkedMib, afterMib].map((mib) =>
      mib.toFixed(0),
    );
    console.log(
      `resident MiB: ${before} before, ${top} at most, ${walked} at the end, ${after} when forgotten`,
    );
    spawnSync("umount", ["-l", mount]);
    await Promise.all([gateway, mounter].map((child) => child.exitCode ?? once(child, "exit")));
  } finally {
    server.kill();
    rmSync(work, { recursive: true, force: true });
  }
}

await main();
