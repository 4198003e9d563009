// @ts-check
// `npm run bench -- s3`: our S3 share (mounted on this host by vufs-mount), s3fs and rclone mount on one fake server
// with 15 ms to the first byte and 80 MB/s for each connection. Needs root; s3fs and rclone are measured if they are
// installed. Every contestant has its own bucket and an empty cache; a row's time ends when the bucket has everything.
// The server shares the processors with its clients: it takes large bodies for what their checksums say, as clients do
// not pay for what a bucket's own machines do.
//
//   npm run bench -- s3 [--mib 1024] [--files 2000] [--keys 10000] [--only ours,plain,s3fs,rclone]
//                          [--groups large,small,list] [--latency-ms 15] [--bytes-per-second 80000000] [--tls]
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import { TEST_CREDENTIALS } from "../support/s3/server.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BENCH = join(ROOT, "native/bench");
const MIB = 2 ** 20;
const RANDOM_BYTES = 128 * 1024;
const RANDOM_READS = 200;
const SMALL_BYTES = 4096;
const TICKS_PER_SECOND = 100;
const START_TIMEOUT_MS = 30_000;
/** Some write back first. */
const END_TIMEOUT_MS = 60_000;

process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = "true";

const { values } = parseArgs({
  options: {
    mib: { type: "string", default: "1024" },
    files: { type: "string", default: "2000" },
    keys: { type: "string", default: "10000" },
    only: { type: "string", default: "ours,s3fs,rclone" },
    groups: { type: "string", default: "large,small,list" },
    "latency-ms": { type: "string", default: "15" },
    "bytes-per-second": { type: "string", default: "80000000" },
    tls: { type: "boolean", default: false },
  },
  allowPositionals: true,
});
const FILE_BYTES = Number(values.mib) * MIB;
const FILES = Number(values.files);
const KEYS = Number(values.keys);

const ENVIRONMENT = {
  ...process.env,
  AWS_ACCESS_KEY_ID: TEST_CREDENTIALS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: TEST_CREDENTIALS.secretAccessKey,
  AWS_REGION: "us-east-1",
  // rclone does not start with a bundle.
  AWS_CA_BUNDLE: undefined,
  RCLONE_CONFIG: "/dev/null",
  RCLONE_CONFIG_BENCH_TYPE: "s3",
  RCLONE_CONFIG_BENCH_PROVIDER: "Other",
  RCLONE_CONFIG_BENCH_ENV_AUTH: "true",
};

/** @typedef {"large" | "small" | "list"} Group */
/** @typedef {{name: string, start: (setting: Setting) => import("node:child_process").ChildProcess[]}} Contestant */
/** @typedef {{work: string, mount: string, cache: string, endpoint: string, bucket: string}} Setting */
/** @typedef {{seconds: number, requests: string, atATime: number, client: number, server: number}} Measurement */
/**
 * @typedef {object} Row
 * @property {Group} group
 * @property {string} title
 * @property {(m: Mounted) => Promise<void>} prepare Before the clock starts.
 * @property {(m: Mounted, path: string) => Promise<void> | void} action
 */

/** What makes each contestant trust an authority. @param {string} certificate Path of its certificate. */
function trust(certificate) {
  Object.assign(ENVIRONMENT, {
    NODE_EXTRA_CA_CERTS: certificate,
    CURL_CA_BUNDLE: certificate,
    SSL_CERT_FILE: certificate,
  });
}

/** @param {string} program @param {readonly string[]} args */
function run(program, args) {
  return spawn(program, args, { stdio: ["ignore", "ignore", "inherit"], env: ENVIRONMENT });
}

/** @param {...string} more Options of the share. @returns {Contestant["start"]} */
const startOurs =
  (...more) =>
  ({ work, mount, cache, endpoint, bucket }) => {
    const socket = join(mkdtempSync(join(work, "socket-")), "socket");
    const server = run(process.execPath, [
      ...[
        join(ROOT, "bin/virtiofs-gateway"),
        "--socket-path",
        socket,
        "--backend",
        "s3",
        "--log-level",
        "warn",
      ],
      ...["--bucket", bucket, "--endpoint", endpoint, "--path-style"],
      ...["--cache-dir", join(cache, "cache"), "--staging-dir", join(work, "staging"), ...more],
    ]);
    const wait = `while [ ! -S ${socket} ]; do sleep 0.02; done; exec ${BENCH}/build/vufs-mount ${socket} ${mount}`;
    return [server, run("sh", ["-c", wait])];
  };

/** @type {Contestant[]} */
const CONTESTANTS = [
  { name: "ours", start: startOurs() },
  // Without owner, mode and times: no HEAD for each key.
  { name: "plain", start: startOurs("--attributes", "none") },
  {
    name: "s3fs",
    start: ({ work, mount, cache, endpoint, bucket }) => {
      const secret = join(work, "passwd");
      writeFileSync(secret, `${TEST_CREDENTIALS.accessKeyId}:${TEST_CREDENTIALS.secretAccessKey}\n`, {
        mode: 0o600,
      });
      const options = [
        `url=${endpoint}`,
        "use_path_request_style",
        `passwd_file=${secret}`,
        `use_cache=${cache}`,
      ];
      return [run("s3fs", [bucket, mount, "-f", ...options.flatMap((option) => ["-o", option])])];
    },
  },
  {
    name: "rclone",
    start: ({ mount, cache, endpoint, bucket }) => [
      run("rclone", [
        ...["mount", `bench:${bucket}`, mount, "--s3-endpoint", endpoint, "--cache-dir", cache],
        ...["--vfs-cache-mode", "full", "--vfs-write-back", "0s"],
      ]),
    ],
  },
];

/** Processor seconds so far, of all threads. @param {import("node:child_process").ChildProcess} child */
function processorSeconds({ pid }) {
  const path = `/proc/${pid}/stat`;
  const fields = existsSync(path)
    ? readFileSync(path, "latin1")
        .replace(/^.*\) /, "")
        .split(" ")
    : [];
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_SECOND;
}

/** @param {string} endpoint @param {string} command @param {object} [body] */
async function command(endpoint, command, body = {}) {
  const response = await fetch(`${endpoint}/_fake/${command}`, {
    method: "POST",
    body: JSON.stringify(body),
  });
  return /** @type {{operations: Record<string, number>, mostRequests: number}} */ (await response.json());
}

/** A contestant's mount of its bucket; each `mount()` begins with an empty cache unless told otherwise. */
class Mounted {
  /** @type {import("node:child_process").ChildProcess[]} */
  #processes = [];
  peakMib = 0;

  /** @param {Contestant} contestant @param {Setting} setting @param {S3Client} sdk */
  constructor(contestant, setting, sdk) {
    this.contestant = contestant;
    this.setting = setting;
    this.sdk = sdk;
  }

  async mount() {
    const { mount, cache } = this.setting;
    rmSync(cache, { recursive: true, force: true });
    mkdirSync(cache, { recursive: true });
    this.#processes = this.contestant.start(this.setting);
    for (
      const end = Date.now() + START_TIMEOUT_MS;
      !readFileSync("/proc/mounts", "latin1").includes(` ${mount} `);
    ) {
      if (Date.now() > end || this.#processes.some(({ exitCode }) => exitCode !== null)) {
        throw new Error(`${this.contestant.name} does not mount`);
      }
      await delay(20);
    }
  }

  get processorSeconds() {
    return this.#processes.reduce((sum, child) => sum + processorSeconds(child), 0);
  }

  /** Some servers mount first and end when they find the bucket not to their liking. */
  check() {
    if (this.#processes.length === 0 || this.#processes.some(({ exitCode }) => exitCode !== null)) {
      throw new Error(`${this.contestant.name} has ended`);
    }
  }

  async unmount() {
    for (const { pid } of this.#processes) {
      const status = existsSync(`/proc/${pid}/status`) ? readFileSync(`/proc/${pid}/status`, "latin1") : "";
      this.peakMib = Math.max(this.peakMib, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
    }
    spawnSync("umount", ["-l", this.setting.mount]);
    for (const child of this.#processes) {
      const exited = child.exitCode === null ? once(child, "exit") : undefined;
      const timer = setTimeout(() => child.kill(), END_TIMEOUT_MS);
      await exited;
      clearTimeout(timer);
    }
    this.#processes = [];
  }

  /** Cold: with nothing in any cache. */
  async remount() {
    await this.unmount();
    dropPages();
    await this.mount();
  }

  /** How many keys the bucket has below a prefix. @param {string} prefix */
  async countKeys(prefix) {
    let count = 0;
    /** @type {string | undefined} */
    let token;
    do {
      const page = await this.sdk.send(
        new ListObjectsV2Command({ Bucket: this.setting.bucket, Prefix: prefix, ContinuationToken: token }),
      );
      count += page.Contents?.filter(({ Key }) => Key?.endsWith("/") === false).length ?? 0;
      token = page.NextContinuationToken;
    } while (token !== undefined);
    return count;
  }

  /** Waits until the bucket has so many keys below a prefix. @param {string} prefix @param {number} count */
  async untilKeys(prefix, count) {
    for (const end = Date.now() + 120_000; (await this.countKeys(prefix)) !== count; ) {
      if (Date.now() > end) throw new Error(`${this.contestant.name}: ${prefix} never has ${count} keys`);
      await delay(50);
    }
  }
}

/**
 * A virtual machine's memory may be given to it only when it is first used: half a second for each GiB that is read from
 * the disk, which the first contestant would pay for all.
 */
function touchMemory() {
  const available = Number(/MemAvailable:\s+(\d+)/.exec(readFileSync("/proc/meminfo", "latin1"))?.[1] ?? 0);
  const mib = Math.floor(available / 1024 / 2);
  const program = `const all = []; for (let i = 0; i < ${mib}; i++) all.push(Buffer.alloc(2 ** 20, 1));`;
  spawnSync(process.execPath, ["-e", program], { stdio: "inherit" });
}

function dropPages() {
  execFileSync("sync");
  writeFileSync("/proc/sys/vm/drop_caches", "3");
}

/** @param {string} path */
function writeLarge(path) {
  const piece = Buffer.alloc(MIB);
  for (let at = 0; at < MIB; at += 4) piece.writeUInt32LE((at * 2654435761) >>> 0, at);
  const fd = openSync(path, "w");
  for (let at = 0; at < FILE_BYTES; at += MIB) {
    piece.writeUInt32LE(at / MIB, 0);
    writeSync(fd, piece);
  }
  fsyncSync(fd);
  closeSync(fd);
}

/** @param {string} path */
function readLarge(path) {
  const into = Buffer.alloc(MIB);
  const fd = openSync(path, "r");
  for (let at = 0; at < FILE_BYTES; at += MIB) {
    if (readSync(fd, into) !== MIB || into.readUInt32LE(0) !== at / MIB) throw new Error("wrong data");
  }
  closeSync(fd);
}

/** @param {string} path */
function readRandomly(path) {
  const into = Buffer.alloc(RANDOM_BYTES);
  const fd = openSync(path, "r");
  let state = 1;
  for (let i = 0; i < RANDOM_READS; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    readSync(fd, into, 0, RANDOM_BYTES, (state % (FILE_BYTES / RANDOM_BYTES)) * RANDOM_BYTES);
  }
  closeSync(fd);
}

const asItIs = async () => {};

/** @param {string} path */
function listAll(path) {
  for (const name of readdirSync(path)) lstatSync(join(path, name));
}

/** @type {Row[]} */
const ALL_ROWS = [
  {
    group: "large",
    title: `write ${values.mib} MiB`,
    prepare: asItIs,
    action: async (m, path) => {
      writeLarge(join(path, "large"));
      // Not everyone's fsync uploads.
      await m.untilKeys("large", 1);
    },
  },
  {
    group: "large",
    title: `read ${values.mib} MiB, cold`,
    prepare: (m) => m.remount(),
    action: (_, path) => readLarge(join(path, "large")),
  },
  {
    group: "large",
    title: "read it again, from the disk cache",
    prepare: async () => dropPages(),
    action: (_, path) => readLarge(join(path, "large")),
  },
  {
    group: "large",
    title: `${RANDOM_READS} random reads of 128 KiB`,
    prepare: (m) => m.remount(),
    action: (_, path) => readRandomly(join(path, "large")),
  },
  {
    group: "small",
    title: `write ${FILES} files of 4 KiB`,
    prepare: asItIs,
    action: async (m, path) => {
      mkdirSync(join(path, "small"));
      const data = Buffer.alloc(SMALL_BYTES, 1);
      for (let i = 0; i < FILES; i++) writeFileSync(join(path, `small/${i}`), data);
      await m.untilKeys("small/", FILES);
    },
  },
  {
    group: "small",
    title: `read ${FILES} files of 4 KiB, cold`,
    prepare: (m) => m.remount(),
    action: (_, path) => {
      for (let i = 0; i < FILES; i++) readFileSync(join(path, `small/${i}`));
    },
  },
  {
    group: "small",
    title: `rm -r of ${FILES} files`,
    prepare: (m) => m.remount(),
    action: async (m, path) => {
      rmSync(join(path, "small"), { recursive: true });
      await m.untilKeys("small/", 0);
    },
  },
  {
    group: "list",
    title: `ls -l of ${KEYS} keys, cold`,
    prepare: (m) => m.remount(),
    action: (_, path) => listAll(join(path, "list")),
  },
  {
    group: "list",
    title: `ls -l of ${KEYS} keys, warm`,
    prepare: asItIs,
    action: (_, path) => listAll(join(path, "list")),
  },
];
const GROUPS = values.groups.split(",");
const ROWS = ALL_ROWS.filter(({ group }) => GROUPS.includes(group));

/**
 * @param {string} endpoint
 * @param {import("node:child_process").ChildProcess} server
 * @param {Mounted} mounted
 * @returns {Promise<(Measurement | undefined)[]>}
 */
async function measure(endpoint, server, mounted) {
  const measurements = [];
  await mounted.mount();
  for (const { title, prepare, action } of ROWS) {
    try {
      await prepare(mounted);
      mounted.check();
      await command(endpoint, "reset-counts");
      const before = { client: mounted.processorSeconds, server: processorSeconds(server) };
      const start = performance.now();
      await action(mounted, mounted.setting.mount);
      const seconds = (performance.now() - start) / 1000;
      const client = mounted.processorSeconds - before.client;
      const ofServer = processorSeconds(server) - before.server;
      const { operations, mostRequests } = await command(endpoint, "counts");
      const requests = Object.entries(operations).map(([name, count]) => `${name} ${count}`);
      measurements.push({
        seconds,
        requests: requests.join(", "),
        atATime: mostRequests,
        client,
        server: ofServer,
      });
      console.error(`${mounted.contestant.name}: ${title}: ${seconds.toFixed(2)} s`);
    } catch (error) {
      console.error(`${mounted.contestant.name}: ${title}: ${error}`);
      measurements.push(undefined);
    }
  }
  await mounted.unmount();
  return measurements;
}

async function main() {
  execFileSync("make", ["-s", "-C", BENCH], { stdio: "inherit" });
  touchMemory();
  const work = mkdtempSync(join(tmpdir(), "s3-bench-"));
  const names = values.only.split(",");
  const contestants = CONTESTANTS.filter(
    ({ name }) =>
      names.includes(name) &&
      (name === "ours" || name === "plain" || spawnSync("which", [name]).status === 0),
  );
  const server = spawn(
    process.execPath,
    [
      join(ROOT, "test/support/s3/main.mjs"),
      ...contestants.flatMap(({ name }) => ["--bucket", `bench-${name}`]),
      ...["--latency-ms", values["latency-ms"], "--bytes-per-second", values["bytes-per-second"]],
      ...["--verified-bytes", String(MIB)],
      ...(values.tls ? ["--tls", work] : []),
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
  const endpoint = String((await lines.next()).value);
  const measured = values.tls ? String((await lines.next()).value) : endpoint;
  if (values.tls) trust(join(work, "ca.pem"));
  const sdk = new S3Client({
    ...{ endpoint, region: "us-east-1", forcePathStyle: true, credentials: TEST_CREDENTIALS },
  });
  const columns = [];
  try {
    for (const contestant of contestants) {
      const folder = join(work, contestant.name);
      const bucket = `bench-${contestant.name}`;
      const setting = {
        work: folder,
        mount: join(folder, "mount"),
        cache: join(folder, "cache"),
        endpoint: measured,
        bucket,
      };
      mkdirSync(setting.mount, { recursive: true });
      await command(endpoint, "synthetic", { bucket, prefix: "list/", count: KEYS, size: 1 });
      const mounted = new Mounted(contestant, setting, sdk);
      columns.push({
        name: contestant.name,
        rows: await measure(endpoint, server, mounted),
        peak: mounted.peakMib,
      });
    }
  } finally {
    server.kill();
    rmSync(work, { recursive: true, force: true });
  }
  print(columns);
}

/** @param {{name: string, rows: (Measurement | undefined)[], peak: number}[]} columns */
function print(columns) {
  const cell = (/** @type {string} */ text) => text.padStart(12);
  console.log(["seconds".padEnd(40), ...columns.map(({ name }) => cell(name))].join(""));
  for (const [index, { title }] of ROWS.entries()) {
    const times = columns.map(({ rows }) => cell(rows[index]?.seconds.toFixed(2) ?? "failed"));
    console.log([title.padEnd(40), ...times].join(""));
  }
  console.log(["peak memory, MiB".padEnd(40), ...columns.map(({ peak }) => cell(peak.toFixed(0)))].join(""));
  console.log("\nRequests, and processor time with what mounts:");
  for (const [index, { title }] of ROWS.entries()) {
    for (const { name, rows } of columns) {
      const { requests, atATime, client = 0, server = 0 } = rows[index] ?? {};
      const processor = `${client.toFixed(2)} s of processor time, the server ${server.toFixed(2)} s`;
      console.log(`${title.padEnd(40)}${name.padEnd(8)}${requests} (${atATime} at a time), ${processor}`);
    }
  }
}

/** Runs the comparison; the options are those of the command line. @returns {Promise<number>} The exit code. */
async function compare() {
  await main();
  return 0;
}

export { compare as run };
