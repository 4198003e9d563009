// @ts-check
// The file of results that `--json` names.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";

/**
 * @typedef {object} Run
 * @property {import("./plans.mjs").Setting} setting
 * @property {readonly string[]} servers Names; ours first.
 * @property {number} rounds
 * @property {number} seconds Per class, server and round.
 * @property {import("./summary.mjs").ClassSummary[]} classes
 *
 * @typedef {object} Results
 * @property {string} machine
 * @property {Run[]} runs
 * @property {import("./footprint.mjs").Row[]} [footprint]
 * @property {GuestResults} [guest]
 *
 * @typedef {object} GuestResults
 * @property {readonly string[]} servers Names; ours first.
 * @property {import("./guest.mjs").Row[]} rows
 */

/** @param {string} path @param {(results: Results) => Partial<Results>} change */
function update(path, change) {
  /** @type {Results} */
  const results = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : { machine: "", runs: [] };
  results.machine = `${cpus().length} × ${cpus()[0]?.model.trim()}, Linux ${release()}, Node.js ${process.version}`;
  // A line for each class, so that a later measurement can be compared with this one.
  const text = JSON.stringify({ ...results, ...change(results) }, null, 1);
  writeFileSync(path, `${text.replace(/\n {5,}|\n {4}(?=[}\]])/g, " ")}\n`);
}

/** Adds a run, in place of an earlier one of the same setting. @param {string} path @param {Run} run */
export function keepRun(path, run) {
  const key = JSON.stringify(run.setting);
  update(path, ({ runs }) => ({
    runs: [...runs.filter(({ setting }) => JSON.stringify(setting) !== key), run],
  }));
}

/** Adds rows, in place of earlier ones. @param {string} path @param {import("./footprint.mjs").Row[]} rows */
export function keepFootprint(path, rows) {
  update(path, ({ footprint = [] }) => {
    const added = new Map(rows.map((row) => [row.what, row]));
    const kept = footprint.map((row) => {
      const newer = added.get(row.what);
      added.delete(row.what);
      return newer ?? row;
    });
    return { footprint: [...kept, ...added.values()] };
  });
}

/** @param {string} path @param {GuestResults} guest */
export function keepGuest(path, guest) {
  update(path, () => ({ guest }));
}
