// @ts-check
// Runs native/bench's vufs-bench: a front-end without a guest that measures several servers in turn.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ROOT, startServer, stopServer } from "./servers.mjs";

const BENCH = join(ROOT, "native/bench");
const DRIVER = join(BENCH, "build/vufs-bench");

/**
 * One class on one server in one round.
 *
 * @typedef {object} Measurement
 * @property {string} op
 * @property {number} server
 * @property {number} round
 * @property {boolean} supported
 * @property {number} ops_s
 * @property {number} p50_us
 * @property {number} p99_us
 * @property {number} server_cpu_us Processor time of the server for one operation.
 * @property {number} errors
 * @property {string} note
 */

export function buildDriver() {
  execFileSync("make", ["-s", "-C", BENCH], { stdio: ["ignore", 2, 2] });
}

/**
 * Starts the servers over subdirectories of `directory` and measures them in turn.
 *
 * @param {readonly import("./servers.mjs").Server[]} servers
 * @param {string} directory
 * @param {readonly string[]} options The driver's.
 * @param {(measurement: Measurement) => void} onMeasurement
 * @returns {Promise<Measurement[]>}
 * @throws {Error} When a server does not start or the driver cannot go on.
 */
export async function runDriver(servers, directory, options, onMeasurement) {
  const work = mkdtempSync(join(tmpdir(), "virtiofs-gateway-bench-"));
  const shared = mkdtempSync(join(directory, "virtiofs-gateway-bench-"));
  const sockets = servers.map((_, index) => join(work, `${index}.sock`));
  const children = [];
  try {
    for (const [index, server] of servers.entries()) {
      children.push(await startServer(server, shared, sockets[index] ?? ""));
    }
    const driver = spawn(DRIVER, [...sockets, ...options, "--json"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exit = once(driver, "exit");
    /** @type {Measurement[]} */
    const measurements = [];
    for await (const line of createInterface(driver.stdout)) {
      const measurement = JSON.parse(line);
      measurements.push(measurement);
      onMeasurement(measurement);
    }
    const [status] = await exit;
    // Status 1 are wrong answers, which the measurements tell more about.
    if (status !== 0 && measurements.every(({ errors }) => errors === 0)) {
      throw new Error(`${DRIVER} ended with ${status}`);
    }
    return measurements;
  } finally {
    await Promise.all(children.map(stopServer));
    rmSync(work, { recursive: true });
    rmSync(shared, { recursive: true });
  }
}
