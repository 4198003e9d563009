// @ts-check
// What the server takes beside operations per second: time to start, processor time and memory when nothing is asked,
// memory for each file that a guest knows and during a large copy, and how long others wait for a file system that
// hangs. Mounts shares on this host (root).
//
//   npm run bench -- footprint [--parts start,idle,copy,files,hang] [--files 1000000] [--copy-mib 2048]
//                              [--idle-seconds 60] [--json FILE]
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { buildDriver } from "./driver.mjs";
import { keepFootprint } from "./results.mjs";
import { GATEWAY, ROOT } from "./servers.mjs";

const MOUNT = join(ROOT, "native/bench/build/vufs-mount");
const READY_LINE = "Waiting for vhost-user socket connection...";
const FILES_PER_DIRECTORY = 1000;
const STARTS = 11;
const HANG_ROUNDS = 5;
const HANG_SAMPLES = 20_000;
const SETTLE_MS = 30_000;
const TICKS_PER_SECOND = 100;

/**
 * @typedef {object} Row
 * @property {string} what
 * @property {string} value
 * @property {string} target
 */

/** @param {readonly number[]} values @param {number} part */
function quantile(values, part) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** @param {number} pid */
function residentKiB(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]);
}

/** Processor time so far, of all threads, in milliseconds. @param {number} pid */
function processorMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1")
    .replace(/^.*\) /, "")
    .split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

/** @param {number} kib */
const mib = (kib) => `${(kib / 1024).toFixed(0)} MiB`;

/** A share that is mounted on this host. */
class MountedServer {
  /** @type {import("node:child_process").ChildProcess | undefined} */
  #mount;
  /** @type {import("node:child_process").ChildProcess} */
  #server;
  #directory;
  /** Where it is mounted. */
  path;

  /** @param {string} directory Empty; for the socket and the mount. @param {readonly string[]} args */
  constructor(directory, args) {
    this.#directory = directory;
    this.path = join(directory, "mount");
    mkdirSync(this.path);
    const all = ["--socket-path", join(directory, "socket"), "--log-level", "warn", ...args];
    this.#server = spawn(GATEWAY, all, { stdio: ["ignore", "inherit", "inherit"] });
  }

  get pid() {
    return this.#server.pid ?? 0;
  }

  async mounted() {
    const socket = join(this.#directory, "socket");
    while (!existsSync(socket)) await delay(5);
    this.#mount = spawn(MOUNT, [socket, this.path], { stdio: ["ignore", "inherit", "inherit"] });
    while (!readFileSync("/proc/mounts", "latin1").includes(` ${this.path} `)) await delay(5);
    return this;
  }

  /** @param {NodeJS.Signals} name */
  signal(name) {
    this.#server.kill(name);
  }

  async close() {
    const ended = Promise.all([once(this.#server, "exit"), this.#mount && once(this.#mount, "exit")]);
    execFileSync("umount", [this.path]);
    await ended;
  }
}

/** @param {string} base @returns {Promise<Row[]>} */
async function start(base) {
  const times = [];
  for (let i = 0; i <= STARTS; i++) {
    const begin = performance.now();
    const server = spawn(GATEWAY, ["--socket-path", join(base, "start.sock"), "--shared-dir", base], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    for await (const text of server.stderr.setEncoding("utf8")) {
      said += text;
      if (said.includes(READY_LINE)) break;
    }
    // The first one fills the page cache.
    if (i > 0) times.push(performance.now() - begin);
    server.kill();
    await once(server, "exit");
  }
  return [
    {
      what: "start to the line that says it waits",
      value: `${quantile(times, 0.5).toFixed(0)} ms`,
      target: "150 ms",
    },
  ];
}

/** @param {MountedServer} server @param {number} seconds @returns {Promise<Row[]>} */
async function idle(server, seconds) {
  readdirSync(server.path);
  // V8 collects once more, some seconds after the last allocations.
  await delay(SETTLE_MS);
  const resident = residentKiB(server.pid);
  const before = processorMs(server.pid);
  await delay(seconds * 1000);
  const used = processorMs(server.pid) - before;
  return [
    { what: "memory of an idle share, resident", value: mib(resident), target: "80 MB" },
    { what: `processor time of an idle share in ${seconds} s`, value: `${used.toFixed(0)} ms`, target: "0" },
  ];
}

/** @param {string} shared @param {number} files */
function makeFiles(shared, files) {
  for (let file = 0; file < files; file++) {
    const directory = join(shared, `${Math.floor(file / FILES_PER_DIRECTORY)}`);
    if (file % FILES_PER_DIRECTORY === 0) mkdirSync(directory);
    writeFileSync(join(directory, `${file % FILES_PER_DIRECTORY}`), "");
  }
}

/** Looks every file up by its name. @param {string} root @param {number} files */
async function lookUpAll(root, files) {
  const script = `
    for (let file = 0; file < ${files}; file++) {
      const path = "/" + Math.floor(file / ${FILES_PER_DIRECTORY}) + "/" + file % ${FILES_PER_DIRECTORY};
      require("node:fs").lstatSync(process.argv[1] + path);
    }`;
  const child = spawn(process.execPath, ["-e", script, root], { stdio: ["ignore", "ignore", "inherit"] });
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error(`looking up ${files} files failed`);
}

/** @param {MountedServer} server @param {string} shared @param {number} files @returns {Promise<Row[]>} */
async function knownFiles(server, shared, files) {
  makeFiles(shared, files);
  const before = residentKiB(server.pid);
  await lookUpAll(server.path, files);
  const top = residentKiB(server.pid);
  const descriptors = readdirSync(`/proc/${server.pid}/fd`).length;
  writeFileSync("/proc/sys/vm/drop_caches", "2");
  // Until it has not changed for longer than the server waits before it gives memory back.
  for (let last = -1, now = 0; last !== now; last = now, now = residentKiB(server.pid)) await delay(15_000);
  const after = residentKiB(server.pid);
  const count = files.toLocaleString("en");
  const each = ((top - before) * 1024) / files;
  return [
    {
      what: `memory for each of ${count} files that the guest knows`,
      value: `${each.toFixed(0)} bytes`,
      target: "400 bytes",
    },
    { what: "descriptors of the server then", value: `${descriptors}`, target: "–" },
    {
      what: "memory before, then, and when all are forgotten",
      value: [before, top, after].map(mib).join(", "),
      target: "–",
    },
  ];
}

/** @param {MountedServer} server @param {number} megabytes @returns {Promise<Row[]>} */
async function copy(server, megabytes) {
  const file = join(server.path, "large");
  const before = residentKiB(server.pid);
  let top = before;
  for (const args of [
    ["if=/dev/zero", `of=${file}`, "bs=1M", `count=${megabytes}`],
    [`if=${file}`, `of=${file}.copy`, "bs=1M"],
  ]) {
    const child = spawn("dd", [...args, "status=none"], { stdio: "inherit" });
    const done = once(child, "exit");
    while (child.exitCode === null && child.signalCode === null) {
      top = Math.max(top, residentKiB(server.pid));
      await Promise.race([done, delay(50)]);
    }
  }
  rmSync(file);
  rmSync(`${file}.copy`);
  const what = `growth of memory while ${megabytes} MiB are written, read and copied`;
  return [{ what, value: mib(top - before), target: "flat" }];
}

/** Times of getattr of one file, in microseconds. @param {string} path */
function getattrTimes(path) {
  const times = new Float64Array(HANG_SAMPLES);
  for (let i = 0; i < HANG_SAMPLES; i++) {
    const begin = performance.now();
    statSync(path);
    times[i] = (performance.now() - begin) * 1000;
  }
  return Array.from(times);
}

/**
 * A share with another one mounted in it, whose server stops while a read and a lookup go there.
 *
 * @param {string} base
 * @returns {Promise<Row[]>}
 */
async function hang(base) {
  const [slowFiles, inner, outer] = ["slow-files", "inner", "outer"].map((name) => join(base, name));
  for (const path of [slowFiles, inner, outer]) mkdirSync(/** @type {string} */ (path));
  const never = ["--cache", "never"];
  writeFileSync(join(`${slowFiles}`, "file"), "slow");
  const slow = await new MountedServer(`${inner}`, ["--shared-dir", `${slowFiles}`, ...never]).mounted();
  const fast = await new MountedServer(`${outer}`, ["--shared-dir", `${inner}`, ...never]).mounted();
  writeFileSync(join(`${inner}`, "fast"), "fast");
  const [through, path] = [join(fast.path, "mount"), join(fast.path, "fast")];
  statSync(join(through, "file"));
  getattrTimes(path);
  const normal = [];
  const hanging = [];
  for (let round = 0; round < HANG_ROUNDS; round++) {
    normal.push(quantile(getattrTimes(path), 0.99));
    slow.signal("SIGSTOP");
    const waiting = [spawn("cat", [join(through, "file")]), spawn("stat", [join(through, `no-${round}`)])];
    const ended = Promise.all(waiting.map((child) => once(child, "exit")));
    await delay(200);
    hanging.push(quantile(getattrTimes(path), 0.99));
    const hung = waiting.every(({ exitCode }) => exitCode === null);
    slow.signal("SIGCONT");
    await ended;
    if (!hung) throw new Error("what should hang did not");
  }
  await fast.close();
  await slow.close();
  const [before, then] = [quantile(normal, 0.5), quantile(hanging, 0.5)];
  const value = `${then.toFixed(0)} µs, normally ${before.toFixed(0)} µs`;
  return [{ what: "p99 of getattr beside a file system that hangs", value, target: "3 times" }];
}

/**
 * @param {readonly string[]} args
 * @returns {Promise<number>} The exit status.
 */
export async function run(args) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      parts: { type: "string", default: "start,idle,copy,files,hang" },
      files: { type: "string", default: "1000000" },
      "copy-mib": { type: "string", default: "2048" },
      "idle-seconds": { type: "string", default: "60" },
      json: { type: "string" },
    },
  });
  buildDriver();
  const base = mkdtempSync("/dev/shm/virtiofs-gateway-footprint-");
  const [shared, place] = [join(base, "shared"), join(base, "place")];
  mkdirSync(shared);
  mkdirSync(place);
  try {
    const parts = values.parts.split(",");
    const rows = parts.includes("start") ? await start(base) : [];
    const server = await new MountedServer(place, ["--shared-dir", shared]).mounted();
    if (parts.includes("idle")) rows.push(...(await idle(server, Number(values["idle-seconds"]))));
    if (parts.includes("copy")) rows.push(...(await copy(server, Number(values["copy-mib"]))));
    if (parts.includes("files")) rows.push(...(await knownFiles(server, shared, Number(values.files))));
    await server.close();
    if (parts.includes("hang")) rows.push(...(await hang(base)));
    for (const { what, value, target } of rows)
      console.log(`${what.padEnd(68)} ${value} (target: ${target})`);
    if (values.json !== undefined) keepFootprint(values.json, rows);
    return 0;
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}
