import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { whyNoHostMounts } from "../../host/mounted-share.js";
import { CREDENTIALS } from "./connect.js";

const MOUNT_TIMEOUT_MS = 20_000;

/** Why a tool cannot be tried beside a mounted share, or undefined when it can. */
export function whyNot(tool: "s3fs" | "rclone"): string | undefined {
  if (spawnSync(tool, ["--version"]).error !== undefined) {
    return `${tool} is not installed: apt-get install ${tool}`;
  }
  return whyNoHostMounts();
}

/** The bucket, mounted by s3fs. */
export class S3fsMount {
  readonly path: string;
  readonly #child: ChildProcess;

  private constructor(path: string, child: ChildProcess) {
    this.path = path;
    this.#child = child;
  }

  /** @param folder an empty one, for the mount and its secret */
  static async open(endpoint: string, folder: string): Promise<S3fsMount> {
    const path = join(folder, "mount");
    mkdirSync(path, { recursive: true });
    const secret = join(folder, "secret");
    writeFileSync(secret, `${CREDENTIALS.accessKeyId}:${CREDENTIALS.secretAccessKey}\n`, { mode: 0o600 });
    const options = ["-f", "-o", `url=${endpoint},use_path_request_style,passwd_file=${secret}`];
    const child = spawn("s3fs", ["bucket", path, ...options], { stdio: "ignore" });
    const mount = new S3fsMount(path, child);
    await mount.#waitUntilMounted();
    return mount;
  }

  async close(): Promise<void> {
    spawnSync("umount", [this.path]);
    if (this.#child.exitCode === null) await once(this.#child, "exit");
  }

  async #waitUntilMounted(): Promise<void> {
    const deadline = Date.now() + MOUNT_TIMEOUT_MS;
    while (!readFileSync("/proc/self/mountinfo", "utf8").includes(` ${this.path} `)) {
      if (this.#child.exitCode !== null || Date.now() > deadline) {
        this.#child.kill();
        throw new Error("s3fs does not mount the bucket");
      }
      await sleep(20);
    }
  }
}

/** Runs rclone, for which the bucket is `fake:bucket`. Rejects with its messages when it fails. */
export async function rclone(endpoint: string, ...args: readonly string[]): Promise<void> {
  await promisify(execFile)("rclone", args, {
    env: {
      ...process.env,
      // The server speaks plain HTTP, and rclone does not start with a bundle.
      AWS_CA_BUNDLE: undefined,
      RCLONE_CONFIG: "/dev/null",
      RCLONE_CONFIG_FAKE_TYPE: "s3",
      RCLONE_CONFIG_FAKE_PROVIDER: "Other",
      RCLONE_CONFIG_FAKE_ENDPOINT: endpoint,
      RCLONE_CONFIG_FAKE_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
      RCLONE_CONFIG_FAKE_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    },
  });
}
