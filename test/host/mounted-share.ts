import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Gateway, type GatewayOptions, startGateway } from "../support/gateway.js";

const BENCH = fileURLToPath(new URL("../../native/bench", import.meta.url));
const MOUNT_TIMEOUT_MS = 20_000;

/** Why a share cannot be mounted on this host, or undefined when it can. */
export function whyNoHostMounts(): string | undefined {
  if (process.getuid?.() !== 0) {
    return "mounting needs root";
  }
  return existsSync("/dev/fuse") ? undefined : "there is no /dev/fuse";
}

/** A share that is mounted on the host through /dev/fuse, so that real programs run on it. */
export class MountedShare {
  /** Where it is mounted. */
  readonly path: string;
  readonly #gateway: Gateway;
  readonly #mount: ChildProcess;

  /** Starts a gateway with these arguments and mounts its share. */
  static async open(args: readonly string[], options: GatewayOptions = {}): Promise<MountedShare> {
    execFileSync("make", ["-s", "-C", BENCH], { stdio: "inherit" });
    const gateway = await startGateway(args, options);
    const path = join(gateway.directory, "mount");
    mkdirSync(path);
    const mount = spawn(join(BENCH, "build/vufs-mount"), [gateway.socketPath, path], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    const share = new MountedShare(gateway, mount, path);
    await share.#waitUntilMounted();
    return share;
  }

  private constructor(gateway: Gateway, mount: ChildProcess, path: string) {
    this.#gateway = gateway;
    this.#mount = mount;
    this.path = path;
  }

  /** Runs a program in the share; its output. Throws with its stderr when it fails. */
  run(program: string, ...args: string[]): string {
    return execFileSync(program, args, { cwd: this.path, encoding: "utf8", maxBuffer: 1 << 26 });
  }

  /** Stops answering, until {@link resume}. */
  pause(): void {
    this.#gateway.signal("SIGSTOP");
  }

  resume(): void {
    this.#gateway.signal("SIGCONT");
  }

  /** Unmounts. @returns the exit codes of the mount (3: a malformed reply) and the gateway, and its log */
  async close(): Promise<{ mount: number | null; gateway: number | null; log: string }> {
    const unmounted = new Promise<number | null>((resolve) => this.#mount.once("exit", resolve));
    execFileSync("umount", [this.path]);
    const mount = await unmounted;
    const exit = await this.#gateway.waitForExit(20_000);
    const log = this.#gateway.stderr();
    await this.#gateway.stop();
    return { mount, gateway: exit.code, log };
  }

  /** Kills the gateway, as if it had crashed, and removes the mount. */
  async kill(): Promise<void> {
    this.#gateway.signal("SIGKILL");
    await this.#gateway.waitForExit();
    const gone = this.#mount.exitCode ?? new Promise((resolve) => this.#mount.once("exit", resolve));
    // It may have noticed already and unmounted by itself.
    spawnSync("umount", ["-l", this.path]);
    await gone;
    await this.#gateway.stop();
  }

  async #waitUntilMounted(): Promise<void> {
    const deadline = Date.now() + MOUNT_TIMEOUT_MS;
    while (!readFileSync("/proc/self/mountinfo", "utf8").includes(` ${this.path} `)) {
      if (Date.now() > deadline || this.#mount.exitCode !== null) {
        const log = this.#gateway.stderr();
        await this.#gateway.stop();
        throw new Error(`the share was not mounted:\n${log}`);
      }
      await sleep(20);
    }
  }
}
