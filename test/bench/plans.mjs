// @ts-check
// What `npm run bench` can measure. A run is one start of the servers and the driver.
import { tmpdir } from "node:os";
import { MEMORY, PASSTHROUGH } from "./servers.mjs";

/**
 * @typedef {object} Setting
 * @property {"tmpfs" | "disk" | "memory"} row Where the files are; memory compares our memory share with peers on tmpfs.
 * @property {number} depth Requests in flight for each queue.
 * @property {"event" | "poll"} wait How the front-end waits: for an interrupt as a guest does, or at the ring.
 * @property {number} queues
 * @property {readonly string[]} [ops] All classes unless given.
 * @property {number} [entries] Of the directory that is listed.
 * @property {number} [files] That the server has to remember.
 * @property {boolean} [alone] Without peers.
 */

/** Our server for each row. */
export const OURS = { tmpfs: PASSTHROUGH, disk: PASSTHROUGH, memory: MEMORY };

/** @param {Setting["row"]} row @param {string | undefined} disk */
export function directoryOf(row, disk) {
  return row === "disk" ? (disk ?? tmpdir()) : "/dev/shm";
}

const AT_ONCE = /** @type {const} */ ({ wait: "event", queues: 1 });

/**
 * The runs of each plan.
 *
 * @type {Record<string, (chosen: {rows: Setting["row"][], depths: number[], waits: Setting["wait"][], ops?: string[]}) => Setting[]>}
 */
export const PLANS = {
  /** Every class, in every way that was asked for. */
  classes: ({ rows, depths, waits, ops }) =>
    rows.flatMap((row) =>
      depths.flatMap((depth) =>
        waits
          // Polling shows the server alone at depth 1; beyond, both sides are always busy.
          .filter((wait) => wait === "event" || depth === 1)
          .map((wait) => ({ row, depth, wait, queues: 1, ...(ops === undefined ? {} : { ops }) })),
      ),
    ),
  /** Latency and throughput against the number of requests in flight. */
  depth: () =>
    [1, 2, 4, 8, 16, 32, 64].map((depth) => ({
      ...AT_ONCE,
      row: "tmpfs",
      depth,
      ops: ["getattr", "lookup-hit", "read4k"],
    })),
  /** Throughput against the number of queues, of which the virtiofsds have one. */
  queues: () =>
    [1, 2, 4].map((queues) => ({
      row: "tmpfs",
      depth: 16,
      wait: "event",
      queues,
      ops: ["getattr", "read4k"],
      alone: true,
    })),
  /** Cost of a lookup against the number of files that the guest knows. */
  cached: () =>
    [1000, 10_000, 100_000, 1_000_000].map((files) => ({
      ...AT_ONCE,
      row: "tmpfs",
      depth: 32,
      files,
      ops: ["lookup-tree"],
    })),
  /** Cost of a listing against the size of the directory. */
  directory: () =>
    [100, 1000, 10_000].map((entries) => ({
      ...AT_ONCE,
      row: "tmpfs",
      depth: 1,
      entries,
      ops: ["readdirplus", "readdir"],
    })),
};

/** @param {Setting} setting @returns {string[]} The driver's options for it. */
export function driverOptions(setting) {
  const options = ["--qd", `${setting.depth}`, "--wait", setting.wait, "--queues", `${setting.queues}`];
  if (setting.ops !== undefined) options.push("--ops", setting.ops.join(","));
  if (setting.entries !== undefined) options.push("--entries", `${setting.entries}`);
  if (setting.files !== undefined) options.push("--files", `${setting.files}`);
  return options;
}

/** @param {Setting} setting */
export function titleOf({ row, depth, wait, queues, entries, files }) {
  const where = { tmpfs: "passthrough on tmpfs", disk: "passthrough on disk", memory: "memory" }[row];
  return [
    where,
    `depth ${depth}`,
    `waiting by ${wait}`,
    ...(queues > 1 ? [`${queues} queues`] : []),
    ...(entries === undefined ? [] : [`${entries} entries`]),
    ...(files === undefined ? [] : [`${files} files looked up`]),
  ].join(", ");
}
