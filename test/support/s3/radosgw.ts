import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("rgw.sh", import.meta.url));
const ROOT = fileURLToPath(new URL("../../../.cache/rgw", import.meta.url));
/** rgw.sh takes the ports up to this one above the first. */
const PORTS = 60;
const MOST_STARTS = 3;

export interface Radosgw {
  readonly endpoint: string;
  close(): void;
}

/** Whether `npm test` could set one up: see test/setup/radosgw.mjs. */
export const hasRadosgw = existsSync(join(ROOT, "usr/bin/radosgw"));

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** A first port below the range that the kernel takes ports of connections from. */
async function choosePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + PORTS * Math.floor(Math.random() * 300);
    if (await isFree(port)) return port;
  }
}

function run(command: string, folder: string, port: number): string {
  const result = spawnSync("bash", [SCRIPT, command, folder, String(port)], {
    env: { ...process.env, RGW_ROOT: ROOT },
    encoding: "utf8",
  });
  if (result.status !== 0) throw new Error(`rgw.sh ${command}: ${result.stderr}`);
  return result.stdout;
}

async function tryToStart(): Promise<Radosgw> {
  const parent = mkdtempSync(join(tmpdir(), "rgw-"));
  const folder = join(parent, "d");
  const port = await choosePort();
  const close = () => {
    run("wipe", folder, port);
    rmSync(parent, { recursive: true });
  };
  try {
    run("start", folder, port);
  } catch (error) {
    close();
    throw error;
  }
  return { endpoint: `http://127.0.0.1:${port}`, close };
}

/** Starts a Ceph radosgw that keeps everything in memory; its credentials are TEST_CREDENTIALS. */
export async function startRadosgw(): Promise<Radosgw> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await tryToStart();
    } catch (error) {
      // One of its other ports may have been taken.
      if (attempts === MOST_STARTS) throw error;
    }
  }
}
