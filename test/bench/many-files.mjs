// @ts-check
// What a guest that holds very many files costs: descriptors and memory of the server before, at the top, and
// after everything was forgotten. Mounts a share on this host (root). Not part of the tests: it takes minutes.
//
//   node test/bench/many-files.mjs [--files 1000000] [--dir DIR] [server option…]
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BENCH = join(ROOT, "native/bench");
const FILES_PER_DIRECTORY = 1000;

const { values, tokens } = parseArgs({
  options: { files: { type: "string", default: "1000000" }, dir: { type: "string", default: tmpdir() } },
  strict: false,
  tokens: true,
});
const directories = Math.ceil(Number(values.files) / FILES_PER_DIRECTORY);
const serverOptions = tokens.flatMap((token) =>
  token.kind === "option" && token.name !== "files" && token.name !== "dir"
    ? [token.value === undefined ? token.rawName : `${token.rawName}=${token.value}`]
    : [],
);

/** @param {number} pid */
function residentKiB(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]);
}

/** @param {string} title @param {number} pid */
function report(title, pid) {
  const rss = residentKiB(pid) / 1024;
  const descriptors = readdirSync(`/proc/${pid}/fd`).length;
  console.log(
    `${title.padEnd(44)} ${String(descriptors).padStart(6)} descriptors ${rss.toFixed(0).padStart(6)} MiB`,
  );
}

/** Looks every file up by name, listing nothing. @param {string} root @param {number} times */
async function lookUpAll(root, times) {
  const script = `
    const { lstatSync } = require("node:fs");
    for (let time = 0; time < ${times}; time++) {
      for (let d = 0; d < ${directories}; d++) {
        for (let f = 0; f < ${FILES_PER_DIRECTORY}; f++) lstatSync(process.argv[1] + "/" + d + "/" + f);
      }
    }`;
  await run(process.execPath, ["-e", script, root]);
}

/** @param {string} program @param {readonly string[]} args */
async function run(program, args) {
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error(`${program} failed: ${code}`);
}

/** Until the server's memory has not changed for some seconds. @param {number} pid */
async function forgetAll(pid) {
  writeFileSync("/proc/sys/vm/drop_caches", "2");
  for (let before = -1, now = 0; before !== now; before = now, now = residentKiB(pid)) await delay(5000);
}

const base = mkdtempSync(join(String(values.dir), "many-files-"));
const [shared, mounted, socket] = [join(base, "shared"), join(base, "mounted"), join(base, "socket")];
mkdirSync(shared);
mkdirSync(mounted);
execFileSync("make", ["-s", "-C", BENCH]);
for (let d = 0; d < directories; d++) {
  mkdirSync(join(shared, `${d}`));
  for (let f = 0; f < FILES_PER_DIRECTORY; f++) writeFileSync(join(shared, `${d}/${f}`), "");
}
const server = spawn(
  process.execPath,
  [join(ROOT, "bin/virtiofs-gateway"), "--socket-path", socket, "--shared-dir", shared, ...serverOptions],
  { stdio: "inherit" },
);
const pid = server.pid ?? 0;
try {
  while (!existsSync(socket)) await delay(10);
  const mount = spawn(join(BENCH, "build/vufs-mount"), [socket, mounted], { stdio: "inherit" });
  while (!readFileSync("/proc/mounts", "latin1").includes(mounted)) await delay(10);
  const files = directories * FILES_PER_DIRECTORY;
  report("before", pid);
  let start = performance.now();
  await lookUpAll(mounted, 1);
  report(`${files} files looked up, ${((performance.now() - start) / 1000).toFixed(0)} s`, pid);
  await forgetAll(pid);
  report("forgotten", pid);
  start = performance.now();
  await run("find", [mounted, "-type", "f", "-size", "+1"]);
  report(`${files} files listed, ${((performance.now() - start) / 1000).toFixed(0)} s`, pid);
  await forgetAll(pid);
  report("forgotten", pid);
  execFileSync("umount", [mounted]);
  await once(mount, "exit");
} finally {
  server.kill();
  rmSync(base, { recursive: true, force: true });
}
