// @ts-check
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import * as fs from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Gateway } from "../support/guest/gateway.mjs";
import { Guest } from "../support/guest/guest.mjs";
import { addFixture, ensureGuestImage } from "../support/guest/image.mjs";
import { spawnOwned } from "../support/guest/spawn.mjs";

const BENCH = fileURLToPath(new URL("../../native/bench", import.meta.url));
const SCRIPT = fileURLToPath(new URL("load.sh", import.meta.url));
const MOUNT_TIMEOUT_MS = 20_000;
const GUEST_MEMORY_MIB = 1536;
const SHARE_SIZE = "2GiB";
/** What a guest takes longer than asked for: an emulated processor. */
const GRACE_MS = 20 * 60_000;

/** @typedef {"passthrough" | "memory"} BackendName */

/**
 * Where a load runs: a share and what has mounted it.
 *
 * @typedef {object} Place
 * @property {(seconds: number, seed: number, tools: boolean) => Promise<string>} load Runs load.sh; its output.
 * @property {() => Promise<string>} digest Of the mounted tree.
 * @property {() => Promise<void>} remount
 * @property {() => Promise<string>} end Ends everything. What the gateway has logged, and how it ended.
 */

/**
 * A share's files, on the host: the directory of a passthrough share, the archive that a memory share
 * leaves behind.
 */
export class ShareFiles {
  /** @param {BackendName} backend @param {string} directory a directory of its own */
  constructor(backend, directory) {
    this.backend = backend;
    this.directory = directory;
    this.shared = path.join(directory, "shared");
    this.archive = path.join(directory, "saved.tar");
    this.#saved = false;
  }

  #saved;

  /** The arguments of a gateway that serves them; the second one goes on where the first has ended. */
  gatewayArgs() {
    if (this.backend === "passthrough") return ["--shared-dir", this.shared, "--xattr"];
    const seed = this.#saved ? ["--seed", this.archive] : [];
    this.#saved = true;
    return ["--backend", "memory", "--size", SHARE_SIZE, "--save", this.archive, ...seed];
  }

  /** Their digest as the host sees them; the gateway has ended. @param {string} program the load program */
  async digest(program) {
    if (this.backend === "memory") {
      await fs.rm(this.shared, { recursive: true, force: true });
      await fs.mkdir(this.shared);
      execFileSync("tar", [
        "--xattrs",
        "--xattrs-include=*",
        "--warning=no-timestamp",
        "-xpf",
        this.archive,
        "-C",
        this.shared,
      ]);
    }
    return digestOf(program, path.join(this.shared, "load"));
  }
}

/** @param {string} program @param {string} directory */
function digestOf(program, directory) {
  return execFileSync(program, ["digest", directory], { encoding: "utf8" }).trim();
}

/** @param {string} directory where to put it @returns {string} the load program, which needs no library */
export function compileLoad(directory) {
  const sources = ["load.c", "data.c", "tree.c", "digest.c"].map((name) =>
    fileURLToPath(new URL(name, import.meta.url)),
  );
  const program = path.join(directory, "load");
  execFileSync("gcc", ["-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-o", program, ...sources]);
  return program;
}

/** @implements {Place} A share mounted on this host, through vufs-mount. */
export class HostPlace {
  #files;
  #program;
  #socket;
  #mounted;
  #log = "";
  /** @type {Gateway | undefined} */
  #gateway;
  /** @type {import("node:child_process").ChildProcess | undefined} */
  #mount;

  /** @param {ShareFiles} files @param {string} program the load program */
  static async start(files, program) {
    execFileSync("make", ["-s", "-C", BENCH], { stdio: "inherit" });
    const place = new HostPlace(files, program);
    await fs.mkdir(place.#mounted);
    // After a failure, too, nothing must stay mounted whose server is gone.
    process.on("exit", () => spawnSync("umount", ["-l", place.#mounted], { stdio: "ignore" }));
    await place.#start();
    return place;
  }

  /** @param {ShareFiles} files @param {string} program */
  constructor(files, program) {
    this.#files = files;
    this.#program = program;
    this.#socket = path.join(files.directory, "socket");
    this.#mounted = path.join(files.directory, "mounted");
  }

  /** @type {Place["load"]} */
  async load(seconds, seed, tools) {
    const words = [SCRIPT, this.#mounted, `${seconds}`, `${seed}`, ...(tools ? ["tools"] : [])];
    const child = spawn("sh", words, {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, LOAD: this.#program },
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
    await once(child, "close");
    return output;
  }

  async digest() {
    return digestOf(this.#program, path.join(this.#mounted, "load"));
  }

  async remount() {
    await this.#stop();
    await this.#start();
  }

  async end() {
    await this.#stop();
    return this.#log;
  }

  async #start() {
    const { directory } = this.#files;
    this.#gateway = await Gateway.start(["--socket-path", this.#socket, ...this.#files.gatewayArgs()]);
    this.#mount = spawnOwned(path.join(BENCH, "build/vufs-mount"), [this.#socket, this.#mounted]);
    this.#mount.stderr?.pipe(process.stderr);
    const deadline = Date.now() + MOUNT_TIMEOUT_MS;
    while (!readFileSync("/proc/self/mountinfo", "utf8").includes(` ${this.#mounted} `)) {
      if (Date.now() > deadline) throw new Error(`${directory} was not mounted: ${this.#gateway.stderr}`);
      await delay(20);
    }
  }

  async #stop() {
    if (this.#gateway === undefined || this.#mount === undefined) return;
    const unmounted = once(this.#mount, "close");
    execFileSync("umount", [this.#mounted]);
    const [mount] = await unmounted;
    const gateway = await this.#gateway.waitForExit();
    this.#log += this.#gateway.stderr;
    if (mount !== 0 || gateway !== "0") this.#log += `ERROR: exit of mount ${mount}, of gateway ${gateway}\n`;
  }
}

/** @implements {Place} A share mounted in a guest. */
export class GuestPlace {
  #gateway;
  #guest;

  /** @param {ShareFiles} files @param {string} program the load program @param {number} cpus */
  static async start(files, program, cpus = 2) {
    const socketPath = path.join(files.directory, "socket");
    const fixture = path.join(files.directory, "fixture");
    await fs.mkdir(fixture);
    const image = await addFixture(
      await ensureGuestImage(),
      [program, SCRIPT, ...copyTools(fixture)],
      fixture,
    );
    const gateway = await Gateway.start(["--socket-path", socketPath, ...files.gatewayArgs()]);
    const shares = [{ socketPath, tag: "share" }];
    const guest = await Guest.boot({ image, shares, cpus, memoryMiB: GUEST_MEMORY_MIB });
    const place = new GuestPlace(gateway, guest);
    await place.#run(
      "mkdir -p /share /lib64 && mount -t virtiofs share /share && ln -s /fixture/lib/* /lib64/",
    );
    return place;
  }

  /** @param {Gateway} gateway @param {Guest} guest */
  constructor(gateway, guest) {
    this.#gateway = gateway;
    this.#guest = guest;
  }

  /** @type {Place["load"]} */
  load(seconds, seed, tools) {
    const words = `/share ${seconds} ${seed} ${tools ? "tools" : ""}`;
    // Now and then the guest forgets what it knows.
    const script = `(while sleep 20; do echo 3 >/proc/sys/vm/drop_caches; done) & forgetting=$!
      PATH=$PATH:/fixture/lib LD_LIBRARY_PATH=/fixture/lib LOAD=/fixture/load sh /fixture/load.sh ${words}
      kill $forgetting`;
    return this.#run(script, seconds * 1000 + GRACE_MS);
  }

  digest() {
    return this.#run("/fixture/load digest /share/load", GRACE_MS);
  }

  async remount() {
    await this.#run("umount /share && mount -t virtiofs share /share");
  }

  async end() {
    await this.#guest.powerOff();
    const exit = await this.#gateway.waitForExit();
    return `${this.#gateway.stderr}${exit === "0" ? "" : `ERROR: exit of gateway ${exit}\n`}`;
  }

  /** @param {string} script @param {number} [timeoutMs] */
  async #run(script, timeoutMs = GRACE_MS) {
    const { status, output } = await this.#guest.run(script, { timeoutMs });
    if (status !== 0) throw new Error(`in the guest: ${script}: exit status ${status}\n${output}`);
    return output.trim();
  }
}

/**
 * Copies stress-ng and fio, as far as they are installed, and the libraries they need.
 *
 * @param {string} directory
 * @returns {string[]} What was made, one directory or nothing.
 */
function copyTools(directory) {
  const into = path.join(directory, "lib");
  execFileSync("mkdir", [into]);
  for (const name of ["stress-ng", "fio"]) {
    const program = execFileSync("sh", ["-c", `command -v ${name} || true`], { encoding: "utf8" }).trim();
    if (program === "") continue;
    const libraries = execFileSync("ldd", [program], { encoding: "utf8" }).match(/\/\S+(?= \()/g) ?? [];
    execFileSync("cp", ["-L", program, ...libraries, into]);
  }
  return [into];
}
