// @ts-check
// From measurements to medians and ratios. On a machine that does other things as well, only what was measured
// right after each other compares: ratios are taken within a round, and their median counts.

/**
 * @typedef {object} Figures Medians over the rounds.
 * @property {number} opsPerSec
 * @property {number} p50Us
 * @property {number} p99Us
 * @property {number} cpuUs Processor time of the server for one operation.
 *
 * @typedef {object} Ratio Ours to a peer's.
 * @property {number} speed Operations per second, the median over the rounds.
 * @property {number} least
 * @property {number} most
 * @property {number} cpu Processor time for one operation.
 *
 * @typedef {object} ClassSummary
 * @property {string} op
 * @property {number} errors
 * @property {string} note
 * @property {(Figures | null)[]} servers Null where the server does not have the operation.
 * @property {(Ratio | null)[]} ratios To each server but the first, which is ours.
 */

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}

/**
 * @param {readonly import("./driver.mjs").Measurement[]} measurements Of one class.
 * @param {number} serverCount
 * @returns {ClassSummary}
 */
export function summarize(measurements, serverCount) {
  const byServer = Array.from({ length: serverCount }, (_, server) =>
    measurements.filter((m) => m.server === server && m.supported && m.ops_s > 0),
  );
  const [ours = [], ...peers] = byServer;
  return {
    op: measurements[0]?.op ?? "",
    errors: measurements.reduce((sum, { errors }) => sum + errors, 0),
    note: measurements.find(({ note }) => note !== "")?.note ?? "",
    servers: byServer.map((rounds) => (rounds.length === 0 ? null : figures(rounds))),
    ratios: peers.map((peer) => ratio(ours, peer)),
  };
}

/** @param {readonly import("./driver.mjs").Measurement[]} rounds @returns {Figures} */
function figures(rounds) {
  return {
    opsPerSec: Math.round(median(rounds.map((m) => m.ops_s))),
    p50Us: round(median(rounds.map((m) => m.p50_us))),
    p99Us: round(median(rounds.map((m) => m.p99_us))),
    cpuUs: round(median(rounds.map((m) => m.server_cpu_us))),
  };
}

/**
 * @param {readonly import("./driver.mjs").Measurement[]} ours
 * @param {readonly import("./driver.mjs").Measurement[]} theirs
 * @returns {Ratio | null}
 */
function ratio(ours, theirs) {
  const pairs = ours.flatMap((our) => {
    const their = theirs.find((m) => m.round === our.round);
    return their === undefined ? [] : [[our, their]];
  });
  if (pairs.length === 0) {
    return null;
  }
  const speeds = pairs.map(([our, their]) => (our?.ops_s ?? 0) / (their?.ops_s ?? 1));
  const cpus = pairs.map(([our, their]) => (our?.server_cpu_us ?? 0) / (their?.server_cpu_us || 1));
  return {
    speed: round(median(speeds)),
    least: round(Math.min(...speeds)),
    most: round(Math.max(...speeds)),
    cpu: round(median(cpus)),
  };
}

/** @param {number} value */
function round(value) {
  return Number(value.toFixed(2));
}

/**
 * The ratio to the faster of the peers.
 *
 * @param {ClassSummary} summary
 * @returns {Ratio | null}
 */
export function ratioToFastest(summary) {
  return summary.ratios.reduce(
    (worst, next) => (next !== null && (worst === null || next.speed < worst.speed) ? next : worst),
    /** @type {Ratio | null} */ (null),
  );
}
