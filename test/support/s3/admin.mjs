// @ts-check
// Control of a server that runs in another process: see main.mjs.
import { S3Error } from "./error.mjs";

/** @typedef {import("./server.mjs").FakeS3} FakeS3 */

/** @param {string} prefix @param {number} count */
export function* numberedKeys(prefix, count) {
  for (let index = 0; index < count; index++) yield `${prefix}${String(index).padStart(8, "0")}`;
}

/** @type {Record<string, (server: FakeS3, body: any) => void>} */
const COMMANDS = {
  counts: () => {},
  "reset-counts": (server) => server.counts.reset(),
  faults: (server, fault) => server.faults.add(fault),
  "clear-faults": (server) => server.faults.clear(),
  settings: (server, { latencyMs, bytesPerSecond, features, versioning }) => {
    server.latencyMs = latencyMs ?? server.latencyMs;
    server.bytesPerSecond = bytesPerSecond ?? server.bytesPerSecond;
    Object.assign(server.features, features);
    for (const [name, status] of Object.entries(versioning ?? {})) server.bucket(name).versioning = status;
  },
  synthetic: (server, { bucket, prefix, count, size }) => {
    server.bucket(bucket).addSynthetic(numberedKeys(prefix, count), { size });
  },
};

/**
 * @param {FakeS3} server
 * @param {string} command
 * @param {readonly Buffer[]} body JSON, or nothing.
 * @returns {string} The counts afterwards, as JSON.
 */
export function administer(server, command, body) {
  const run = COMMANDS[command];
  if (run === undefined) throw new S3Error(404, "NoSuchCommand", command);
  run(server, JSON.parse(Buffer.concat(body).toString() || "{}"));
  return JSON.stringify(server.counts);
}
