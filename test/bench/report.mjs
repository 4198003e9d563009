// @ts-check
// `npm run bench:report`: writes the tables and plots of docs/performance.md from docs/performance/results.json, which
// `npm run bench -- … --json docs/performance/results.json` keeps.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { titleOf } from "./plans.mjs";
import { barChart, lineChart } from "./plot.mjs";
import { ROOT } from "./servers.mjs";
import { ratioToFastest } from "./summary.mjs";
import { targetOf } from "./targets.mjs";

const PAGE = join(ROOT, "docs/performance.md");
const FOLDER = join(ROOT, "docs/performance");

/** @type {import("./results.mjs").Results} */
const results = JSON.parse(readFileSync(join(FOLDER, "results.json"), "utf8"));

/** @param {(setting: import("./plans.mjs").Setting) => boolean} wanted */
function runs(wanted) {
  return results.runs.filter(({ setting }) => wanted(setting));
}

/** Runs of every class. @param {import("./plans.mjs").Setting["row"]} row */
function classRuns(row) {
  const order = ["1event", "1poll", "32event"];
  const all = runs((setting) => setting.row === row && setting.ops === undefined);
  return all
    .filter(({ setting }) => order.includes(`${setting.depth}${setting.wait}`))
    .sort((a, b) => order.indexOf(keyOf(a)) - order.indexOf(keyOf(b)));
}

/** @param {import("./results.mjs").Run} run */
function keyOf({ setting }) {
  return `${setting.depth}${setting.wait}`;
}

/** Whether processor time says something: who is polled polls as well. @param {import("./plans.mjs").Setting} setting */
function hasCpu({ wait }) {
  return wait === "event";
}

/** @param {import("./plans.mjs").Setting["row"]} row */
function classTable(row) {
  const columns = classRuns(row);
  const head = columns.map(
    ({ setting }) => `depth ${setting.depth}, ${setting.wait}${hasCpu(setting) ? " | CPU" : ""}`,
  );
  const ops = [...new Set(columns.flatMap(({ classes }) => classes.map(({ op }) => op)))];
  const lines = ops.map((op) => {
    const cells = columns.map(({ setting, classes }) => {
      const summary = classes.find((each) => each.op === op);
      const ratio = summary === undefined ? null : ratioToFastest(summary);
      const cpu = (/** @type {string} */ text) => (hasCpu(setting) ? ` | ${text}` : "");
      if (ratio === null) return `–${cpu("–")}`;
      const target = targetOf(setting, op);
      const short = target !== undefined && ratio.speed < target ? ` (of ${target})` : "";
      const speed = short === "" ? `**${ratio.speed.toFixed(2)}**` : `${ratio.speed.toFixed(2)}${short}`;
      return `${speed} ${ratio.least.toFixed(2)}–${ratio.most.toFixed(2)}${cpu(ratio.cpu.toFixed(2))}`;
    });
    return `| ${op} | ${cells.join(" | ")} |`;
  });
  const rule = columns.map(({ setting }) => (hasCpu(setting) ? "--- | ---" : "---"));
  return [`| class | ${head.join(" | ")} |`, `| --- | ${rule.join(" | ")} |`, ...lines].join("\n");
}

/** Figures of each server. @param {import("./results.mjs").Run} run */
function figuresTable({ setting, servers, classes }) {
  const head = servers.map((name) => `${name}: op/s | p50 µs | p99 µs | CPU µs`);
  const rule = servers.map(() => "--- | --- | --- | ---");
  const lines = classes.map(({ op, servers: figures }) => {
    const cells = figures.map((each) =>
      each === null
        ? "– | – | – | –"
        : `${each.opsPerSec.toLocaleString("en")} | ${each.p50Us} | ${each.p99Us} | ${each.cpuUs}`,
    );
    return `| ${op} | ${cells.join(" | ")} |`;
  });
  return [
    `${titleOf(setting)}:`,
    "",
    `| class | ${head.join(" | ")} |`,
    `| --- | ${rule.join(" | ")} |`,
    ...lines,
  ].join("\n");
}

/** @param {import("./results.mjs").GuestResults} guest */
function guestTable({ servers, rows }) {
  const lines = rows.map(
    ({ op, ratios }) => `| ${op} | ${ratios.map((ratio) => ratio.toFixed(2)).join(" | ")} |`,
  );
  const head = servers.slice(1).map((name) => `against ${name}`);
  return [`| class | ${head.join(" | ")} |`, `| --- | ${head.map(() => "---").join(" | ")} |`, ...lines].join(
    "\n",
  );
}

function ratioPlots() {
  for (const run of classRuns("tmpfs")) {
    const groups = run.classes.map(({ op, ratios }) => ({
      label: op,
      values: ratios.map((ratio) => ratio?.speed ?? null),
    }));
    const title = `Operations per second, ours to theirs: ${titleOf(run.setting)}`;
    const names = run.servers.slice(1).map((name) => `against ${name}`);
    plot(`ratios-${keyOf(run)}`, barChart({ title, names, groups, unit: "×" }));
  }
}

/** @param {string} name @param {string} svg */
function plot(name, svg) {
  writeFileSync(join(FOLDER, `${name}.svg`), svg);
}

/**
 * A line for each server over a sweep of one setting.
 *
 * @param {string} name
 * @param {string} title
 * @param {"depth" | "queues" | "files" | "entries"} variable
 * @param {string} op
 * @param {(figures: import("./summary.mjs").Figures) => number} value
 * @param {string} [unit]
 */
function sweepPlot(name, title, variable, op, value, unit = "") {
  const sweep = runs(
    (setting) => setting[variable] !== undefined && setting.ops !== undefined && isSweep(setting, variable),
  )
    .filter(({ classes }) => classes.some((each) => each.op === op))
    .sort((a, b) => Number(a.setting[variable]) - Number(b.setting[variable]));
  const first = sweep[0];
  if (first === undefined) return;
  const lines = first.servers.map((_, index) =>
    sweep.map(({ classes }) => {
      const figures = classes.find((each) => each.op === op)?.servers[index];
      return figures === null || figures === undefined ? null : value(figures);
    }),
  );
  const labels = sweep.map(({ setting }) => Number(setting[variable]).toLocaleString("en"));
  plot(name, lineChart({ title, names: first.servers, labels, lines, unit }));
}

/**
 * @param {import("./plans.mjs").Setting} setting
 * @param {"depth" | "queues" | "files" | "entries"} variable
 */
function isSweep(setting, variable) {
  const special = { files: setting.files !== undefined, entries: setting.entries !== undefined };
  if (variable === "files" || variable === "entries") return special[variable];
  const isQueues = setting.ops?.length === 2 && setting.depth === 16;
  return !special.files && !special.entries && isQueues === (variable === "queues");
}

/** @param {string} page @param {string} name @param {string} text */
function fill(page, name, text) {
  const block = new RegExp(`(<!-- bench:${name} -->\n)[^]*?(<!-- /bench -->)`);
  return page.replace(block, (_, begin, end) => `${begin}\n${text}\n\n${end}`);
}

ratioPlots();
sweepPlot(
  "depth-latency",
  "GETATTR, p50 latency by requests in flight",
  "depth",
  "getattr",
  (f) => f.p50Us,
  " µs",
);
sweepPlot(
  "depth-throughput",
  "GETATTR, operations per second by requests in flight",
  "depth",
  "getattr",
  (f) => f.opsPerSec,
);
sweepPlot(
  "queues",
  "READ of 4 KiB, operations per second by request queues",
  "queues",
  "read4k",
  (f) => f.opsPerSec,
);
sweepPlot(
  "cached",
  "LOOKUP, operations per second by files that the guest knows",
  "files",
  "lookup-tree",
  (f) => Math.round(f.opsPerSec),
);
sweepPlot(
  "directory",
  "READDIRPLUS, listings of a whole directory per second by its entries",
  "entries",
  "readdirplus",
  (f) => f.opsPerSec,
);
let page = readFileSync(PAGE, "utf8");
for (const row of /** @type {const} */ (["tmpfs", "disk", "memory"])) {
  page = fill(page, `ratios:${row}`, classTable(row));
}
const { footprint = [] } = results;
const rows = footprint.map(({ what, value, target }) => `| ${what} | ${value} | ${target} |`);
page = fill(page, "footprint", ["| | measured | target |", "| --- | --- | --- |", ...rows].join("\n"));
if (results.guest !== undefined) page = fill(page, "guest", guestTable(results.guest));
const detailed = classRuns("tmpfs");
page = fill(page, "figures", detailed.map(figuresTable).join("\n\n"));
page = fill(page, "machine", `Machine: ${results.machine}. Two processors, shared by server and driver.`);
writeFileSync(PAGE, page);
