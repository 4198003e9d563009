// @ts-check
// An overlay share, mounted on this host, beside fuse-overlayfs, and beside passthrough and a virtiofsd over a mount of
// the kernel's overlayfs, and a virtiofsd over fuse-overlayfs, which is how guests come to one: the same trees, one after
// the other in changing order, medians. All but fuse-overlayfs itself, which is /dev/fuse's own server, take the way over
// vufs-mount and a virtqueue: what that costs is what passthrough takes longer. Needs root and Debian's fuse-overlayfs.
//
//   npm run bench -- overlay [--peer PATH] [--rounds 3] [--files 50000] [--large-mib 1024]
//     [--only "gateway,fuse-overlayfs"] [--boot-ms 1500]
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BENCH = join(ROOT, "native/bench");
const GATEWAY = join(ROOT, "bin/virtiofs-gateway");
const START_TIMEOUT_MS = 30_000;
const PEER_LISTENS_MS = 500;
const LAYERS = 3;
const COPIED = 1000;

/**
 * @param {string} name
 * @param {string} fallback
 */
function option(name, fallback) {
  const index = process.argv.indexOf(`--${name}`);
  return index < 0 ? fallback : (process.argv[index + 1] ?? fallback);
}

const rounds = Number(option("rounds", "3"));
const files = Number(option("files", "50000"));
const largeMiB = Number(option("large-mib", "1024"));
const peer = option("peer", "");
/** The contenders to run, of those below. */
const only = option("only", "");
/** From a server's start to the first request, as long as a guest takes to boot at least. */
const bootMs = Number(option("boot-ms", "1500"));

/** Its fastest form keeps a descriptor for each file that is known, where as many may be open. */
const descriptors = Number(/Max open files +\d+ +(\d+)/.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]);
const PEER_OPTIONS = [
  ...["--sandbox=none", "--seccomp=none", "--xattr", `--rlimit-nofile=${descriptors}`],
  `--inode-file-handles=${descriptors > 2 * files ? "never" : "prefer"}`,
];

/** @param {number} file */
const contentsOf = (file) => `contents of ${file}\n`.repeat(20);

const FIND = 'find "$0/tree" -type f | wc -l';
const STAT = 'find "$0/tree" -type f -size +1M | wc -l';
const READ = 'find "$0/tree" -type f -print0 | xargs -0 cat | wc -c';
const GIT = 'git -C "$0/repository" status --porcelain | wc -l';
const fileBytes = Array.from({ length: files }, (_, file) => contentsOf(file).length).reduce(
  (a, b) => a + b,
  0,
);

/**
 * What is measured, as scripts with the mount as $0, and what they have to print; "cold" ones begin with empty
 * caches and a new server.
 */
const ROWS = [
  { name: "find, cold", cold: true, script: FIND, prints: `${files}` },
  { name: "find, warm", cold: false, script: FIND, prints: `${files}` },
  { name: "stat of all, warm", cold: false, script: STAT, prints: "0" },
  { name: "read all, cold", cold: true, script: READ, prints: `${fileBytes}` },
  { name: "read all, warm", cold: false, script: READ, prints: `${fileBytes}` },
  { name: "git status, cold", cold: true, script: GIT, prints: "0" },
  { name: "git status, warm", cold: false, script: GIT, prints: "0" },
  { name: `copy-up of ${COPIED} files`, cold: true, script: 'cd "$0/copied" && chmod 600 $(ls)', prints: "" },
  { name: `copy-up of ${largeMiB} MiB`, cold: true, script: 'printf x >>"$0/large"', prints: "" },
  { name: "tar x", cold: true, script: 'mkdir "$0/new" && tar -C "$0/new" -xf "$0/source.tar"', prints: "" },
];

/** @param {string} script @param {string} directory */
function shell(script, directory) {
  execFileSync("sh", ["-e", "-c", script, directory], { stdio: ["ignore", "ignore", "inherit"] });
}

/**
 * Runs a row's script, in which any command that fails makes the whole fail.
 *
 * @param {typeof ROWS[number]} row
 * @param {string} at
 * @returns {number} Seconds.
 */
function timeRow({ name, script, prints }, at) {
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync("bash", ["-e", "-o", "pipefail", "-c", script, at], {
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
  });
  const seconds = (performance.now() - start) / 1000;
  if (status !== 0 || stderr !== "" || stdout.trim() !== prints) {
    throw new Error(
      `${name}: exit status ${status}, printed "${stdout.trim()}" and not "${prints}": ${stderr.slice(0, 500)}`,
    );
  }
  return seconds;
}

/**
 * Makes three lower layers that share directories.
 *
 * @param {string} directory
 * @returns {string[]} Top first.
 */
function makeLowers(directory) {
  const lowers = Array.from({ length: LAYERS }, (_, layer) => join(directory, `lower${layer}`));
  for (let file = 0; file < files; file++) {
    const folder = join(
      lowers[file % LAYERS] ?? "",
      "tree",
      `d${Math.floor(file / 1000)}`,
      `e${Math.floor(file / 100) % 10}`,
    );
    if (file % 100 < LAYERS) mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `file${file}`), contentsOf(file));
  }
  const base = lowers[LAYERS - 1] ?? "";
  mkdirSync(join(base, "copied"));
  for (let file = 0; file < COPIED; file++) {
    writeFileSync(join(base, "copied", `file${file}`), `${file}\n`.repeat(500));
  }
  shell(`head -c ${largeMiB}M /dev/urandom >"$0/large"`, base);
  const sources = ["src", "backends", "native", "test", "docs"].filter((name) =>
    existsSync(join(ROOT, name)),
  );
  shell(`tar -C ${ROOT} -cf "$0/source.tar" ${sources.join(" ")}`, base);
  const identity = "-c user.name=Bench -c user.email=bench@example.invalid";
  shell(
    `mkdir "$0/repository" && cd "$0/repository" && git init -q && tar -xf ../source.tar && git add . && git ${identity} commit -qm x`,
    base,
  );
  return lowers;
}

/** Mounts and servers of one contender, to be ended in the reverse order. */
class Stand {
  /** @type {(() => Promise<void> | void)[]} */
  #ends = [];

  /** @param {readonly string[]} args @param {string} at */
  mount(args, at) {
    mkdirSync(at, { recursive: true });
    execFileSync("mount", [...args, at]);
    this.unmountAtEnd(at);
  }

  /**
   * @param {string} program
   * @param {readonly string[]} args
   * @param {() => boolean} isUp
   */
  async serve(program, args, isUp) {
    const server = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
    let log = "";
    server.stderr.on("data", (text) => {
      log += text;
    });
    this.#ends.push(async () => {
      if (server.exitCode === null && server.signalCode === null) {
        const ended = once(server, "exit");
        const timer = setTimeout(() => server.kill("SIGKILL"), 10_000);
        await ended;
        clearTimeout(timer);
      }
    });
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!isUp()) {
      if (server.exitCode !== null || Date.now() > deadline)
        throw new Error(`${program} does not come up: ${log}`);
      await delay(10);
    }
  }

  /** @param {string} socket @param {string} at */
  async mountShare(socket, at) {
    mkdirSync(at, { recursive: true });
    await this.serve(
      join(BENCH, "build/vufs-mount"),
      ["--threads", "1", "--spin-us", "100", socket, at],
      () => isMounted(at),
    );
    this.unmountAtEnd(at);
  }

  /** @param {string} at */
  unmountAtEnd(at) {
    // A server may have files open for a moment after its front-end is gone.
    this.#ends.push(() => void execFileSync("umount", ["-l", at]));
  }

  async end() {
    for (const end of this.#ends.reverse()) await end();
  }
}

/** @param {string} path */
function isMounted(path) {
  return readFileSync("/proc/self/mountinfo", "utf8").includes(` ${path} `);
}

/** @typedef {{lowers: string[], upper: string, work: string, at: string, scratch: string}} Place */

/**
 * Mounts the kernel's overlayfs of the layers, for a server to share.
 *
 * @param {Stand} stand
 * @param {Place} place
 * @returns {string} Where.
 */
function mountOverlayfs(stand, { lowers, upper, work, scratch }) {
  const merged = join(scratch, "merged");
  const layers = `lowerdir=${lowers.join(":")},upperdir=${upper},workdir=${work}`;
  // Servers can reach files by handles then.
  stand.mount(["-t", "overlay", "overlay", "-o", `${layers},index=on,nfs_export=on`], merged);
  return merged;
}

/**
 * @param {Stand} stand
 * @param {Place} place
 * @param {string} at
 */
async function mountFuseOverlayfs(stand, { lowers, upper, work }, at) {
  mkdirSync(at);
  const layers = `lowerdir=${lowers.join(":")},upperdir=${upper},workdir=${work}`;
  await stand.serve("fuse-overlayfs", ["-f", "-o", layers, at], () => isMounted(at));
  stand.unmountAtEnd(at);
}

/**
 * @param {Stand} stand
 * @param {Place} place
 * @param {string} directory
 */
async function mountPeer(stand, { at, scratch }, directory) {
  const socket = join(scratch, "peer.sock");
  const args = ["--shared-dir", directory, "--socket-path", socket, "--cache", "always", ...PEER_OPTIONS];
  await stand.serve(peer, args, () => existsSync(socket));
  // It listens a moment after the socket is there.
  await delay(PEER_LISTENS_MS);
  await stand.mountShare(socket, at);
}

/**
 * @param {Stand} stand
 * @param {Place} place
 * @param {readonly string[]} backend
 */
async function mountGateway(stand, { at, scratch }, backend) {
  const socket = join(scratch, "gateway.sock");
  const args = ["--socket-path", socket, "--cache", "always", "--log-level", "warn"];
  await stand.serve(GATEWAY, [...args, ...backend], () => existsSync(socket));
  await stand.mountShare(socket, at);
}

/** @param {Place} place */
function overlayOptions({ lowers, upper, work }) {
  const layers = lowers.flatMap((lower) => ["--lower", lower]);
  return ["--backend", "overlay", ...layers, "--upper", upper, "--work", work];
}

/**
 * All let the kernel cache for as long as it likes: the servers by "--cache always", fuse-overlayfs by its default
 * timeout of 1e9 s. Copies are synchronised by the gateway and by overlayfs, not with --volatile and by fuse-overlayfs.
 *
 * @type {Record<string, (stand: Stand, place: Place) => Promise<void>>}
 */
const contenders = {
  gateway: (stand, place) => mountGateway(stand, place, overlayOptions(place)),
  "gateway --no-open-requests": (stand, place) =>
    mountGateway(stand, place, [...overlayOptions(place), "--no-open-requests"]),
  "gateway --volatile": (stand, place) =>
    mountGateway(stand, place, [...overlayOptions(place), "--volatile"]),
  "passthrough of overlayfs": (stand, place) =>
    mountGateway(stand, place, ["--shared-dir", mountOverlayfs(stand, place)]),
  "fuse-overlayfs": (stand, place) => mountFuseOverlayfs(stand, place, place.at),
  "virtiofsd over fuse-overlayfs": async (stand, place) => {
    const merged = join(place.scratch, "merged");
    await mountFuseOverlayfs(stand, place, merged);
    await mountPeer(stand, place, merged);
  },
  "virtiofsd over overlayfs": (stand, place) => mountPeer(stand, place, mountOverlayfs(stand, place)),
};

/**
 * Runs all rows once on one contender.
 *
 * @param {string} name
 * @param {string[]} lowers
 * @param {string} directory
 * @returns {Promise<number[]>} Seconds of each row.
 */
async function runOnce(name, lowers, directory) {
  const seconds = [];
  const scratch = mkdtempSync(join(directory, "run-"));
  /** @type {Stand | undefined} */
  let stand;
  const at = join(scratch, "mounted");
  let starts = 0;
  try {
    for (const row of ROWS) {
      if (row.cold || stand === undefined) {
        await stand?.end();
        stand = new Stand();
        const own = join(scratch, String(starts++));
        const place = {
          lowers,
          upper: join(own, "upper"),
          work: join(own, "work"),
          at: join(own, "at"),
          scratch: own,
        };
        mkdirSync(place.upper, { recursive: true });
        mkdirSync(place.work);
        await contenders[name]?.(stand, place);
        await delay(bootMs);
        spawnSync("sh", ["-c", "ln -sfn $0 $1", place.at, at]);
        spawnSync("sh", ["-c", "sync; echo 3 >/proc/sys/vm/drop_caches"]);
      }
      seconds.push(timeRow(row, `${at}/.`));
    }
  } finally {
    await stand?.end();
    rmSync(scratch, { recursive: true, force: true });
  }
  return seconds;
}

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Runs the comparison; the options are those of the command line. @returns {Promise<number>} The exit code. */
export async function run() {
  execFileSync("make", ["-s", "-C", BENCH], { stdio: "inherit" });
  const directory = mkdtempSync(join(tmpdir(), "virtiofs-gateway-bench-"));
  const names = Object.keys(contenders)
    .filter((name) => only === "" || only.split(",").includes(name))
    .filter((name) => peer !== "" || !name.startsWith("virtiofsd"));
  /** @type {Map<string, number[][]>} */
  const results = new Map(names.map((name) => [name, []]));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=8G", "tmpfs", directory]);
  try {
    const lowers = makeLowers(directory);
    for (let round = 0; round < rounds; round++) {
      const order = round % 2 === 0 ? names : [...names].reverse();
      for (const name of order) {
        const seconds = await runOnce(name, lowers, directory);
        results.get(name)?.push(seconds);
        console.error(`${name}: ${seconds.map((each) => each.toFixed(3)).join(" ")}`);
      }
    }
  } finally {
    execFileSync("umount", ["-l", directory]);
    rmSync(directory, { recursive: true });
  }
  console.log(`median seconds of ${rounds} rounds; in brackets as a multiple of the gateway's`);
  console.log(["".padEnd(26), ...names.map((name) => name.padStart(28))].join(""));
  for (const [row, { name }] of ROWS.entries()) {
    const medians = names.map((each) =>
      median((results.get(each) ?? []).map((run) => run[row] ?? Number.NaN)),
    );
    const ours = medians[0] ?? Number.NaN;
    const cells = medians.map((value) => `${value.toFixed(3)} (${(value / ours).toFixed(2)} x)`.padStart(28));
    console.log([name.padEnd(26), ...cells].join(""));
  }
  return 0;
}
