// @ts-check
// What the server wants to reach against the faster of its peers: at depth 1 waiting by event, at depth 1 polling,
// and at depth 32. The memory backend's are one pair for what copies no data, one for data.

/** @type {Record<string, readonly [number, number, number]>} */
const PASSTHROUGH = {
  getattr: [2, 1.8, 1.6],
  "lookup-hit": [2, 1.8, 1.6],
  statfs: [2, 1.8, 1.6],
  readlink: [2, 1.8, 1.6],
  getxattr: [2, 1.8, 1.6],
  "lookup-miss": [1.5, 1.4, 1.3],
  "open-release": [1.5, 1.4, 1.3],
  setattr: [1.5, 1.4, 1.3],
  rename: [1.5, 1.4, 1.3],
  read4k: [2, 1.8, 1.5],
  write4k: [2, 1.8, 1.5],
  read128k: [1.1, 1, 1.2],
  read1m: [1.1, 1, 1.2],
  write128k: [1.1, 1, 1.2],
  write1m: [1.1, 1, 1.2],
  readdirplus: [2.5, 2.5, 2.5],
  readdir: [2.5, 2.5, 2.5],
  "create-unlink": [1.2, 1.2, 1.2],
  "mkdir-rmdir": [1.2, 1.2, 1.2],
  fsync: [1.2, 1.2, 1.2],
};

/**
 * @param {import("./plans.mjs").Setting} setting
 * @param {string} op
 * @returns {number | undefined}
 */
export function targetOf({ row, depth, wait }, op) {
  if (row === "memory") {
    const copiesData = /^(read|write)(4k|128k|1m)$/.test(op) || op === "fsync";
    return copiesData ? 1 : depth === 1 ? 1.3 : 2;
  }
  return PASSTHROUGH[op]?.[depth > 1 ? 2 : wait === "poll" ? 1 : 0];
}
