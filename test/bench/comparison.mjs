// @ts-check
// Our server beside the virtiofsds of this machine, class by class.
import { parseArgs } from "node:util";
import { buildDriver, runDriver } from "./driver.mjs";
import { directoryOf, driverOptions, OURS, PLANS, titleOf } from "./plans.mjs";
import { keepRun } from "./results.mjs";
import { findPeers } from "./servers.mjs";
import { summarize } from "./summary.mjs";

const USAGE = `usage: npm run bench -- [plan…] [options]
  plans: ${Object.keys(PLANS).join(", ")} (default: classes); footprint, overlay and s3 with
         options of their own
  --peer PATH       a virtiofsd to compare with, may be repeated; default: those in the usual places
  --no-peers        our server alone
  --rows LIST       tmpfs,disk,memory          --disk DIR   a directory on a disk (default: the temporary one)
  --depths LIST     requests in flight (1,32)  --waits LIST event,poll
  --ops LIST        classes; native/bench/build/vufs-bench --list names them
  --rounds N        (3)                        --seconds S  per class, server and round (0.2)
  --json FILE       keep the results; runs that are there already are replaced
`;

/** @param {readonly string[]} args */
function parse(args) {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      peer: { type: "string", multiple: true, default: [] },
      "no-peers": { type: "boolean", default: false },
      rows: { type: "string", default: "tmpfs,disk,memory" },
      disk: { type: "string" },
      depths: { type: "string", default: "1,32" },
      waits: { type: "string", default: "event,poll" },
      ops: { type: "string" },
      rounds: { type: "string", default: "3" },
      seconds: { type: "string", default: "0.2" },
      json: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  const chosen = {
    rows: /** @type {import("./plans.mjs").Setting["row"][]} */ (values.rows.split(",")),
    depths: values.depths.split(",").map(Number),
    waits: /** @type {import("./plans.mjs").Setting["wait"][]} */ (values.waits.split(",")),
    ...(values.ops === undefined ? {} : { ops: values.ops.split(",") }),
  };
  const plans = positionals.length > 0 ? positionals : ["classes"];
  const settings = plans.flatMap((name) => {
    const plan = PLANS[name];
    if (plan === undefined || !chosen.rows.every((row) => row in OURS)) {
      throw new Error(USAGE);
    }
    return plan(chosen);
  });
  return { values, settings };
}

/**
 * @param {readonly string[]} args
 * @returns {Promise<number>} The exit status: 1 when a server answered wrongly.
 */
export async function run(args) {
  const { values, settings } = parse(args);
  if (values.help) {
    console.log(USAGE.trimEnd());
    return 0;
  }
  const peers = values["no-peers"] ? [] : findPeers(values.peer);
  buildDriver();
  const timing = ["--rounds", values.rounds, "--seconds", values.seconds];
  let errors = 0;
  for (const setting of settings) {
    const servers = [OURS[setting.row], ...(setting.alone === true ? [] : peers)];
    console.log(`\n${titleOf(setting)}`);
    printHead(servers);
    const rounds = Number(values.rounds) * servers.length;
    /** @type {import("./driver.mjs").Measurement[]} */
    let ofClass = [];
    /** @type {import("./summary.mjs").ClassSummary[]} */
    const classes = [];
    const options = [...driverOptions(setting), ...timing];
    await runDriver(servers, directoryOf(setting.row, values.disk), options, (measurement) => {
      ofClass.push(measurement);
      if (ofClass.length === rounds) {
        const summary = summarize(ofClass, servers.length);
        printClass(summary);
        classes.push(summary);
        errors += summary.errors;
        ofClass = [];
      }
    });
    if (values.json !== undefined) {
      const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
      keepRun(values.json, { setting, servers: servers.map(({ name }) => name), rounds, seconds, classes });
    }
  }
  return errors === 0 ? 0 : 1;
}

/** @param {readonly import("./servers.mjs").Server[]} servers */
function printHead(servers) {
  servers.forEach((server, index) => {
    console.log(`  ${String.fromCharCode(65 + index)} = ${server.name}`);
  });
  const columns = servers.map((_, index) => {
    const letter = String.fromCharCode(65 + index);
    return (
      `${letter} ops/s`.padStart(10) + "p50 µs".padStart(9) + "p99 µs".padStart(9) + "cpu µs".padStart(8)
    );
  });
  const ratios = servers.slice(1).map((_, index) => `A/${String.fromCharCode(66 + index)}`.padStart(7));
  const spreads = ratios.map((ratio) => `${ratio}${"[least..most]".padStart(15)}${"cpu".padStart(6)}`);
  console.log(`${"class".padEnd(14)}${columns.join("")}${spreads.join("")}`);
}

/** @param {import("./summary.mjs").ClassSummary} summary */
function printClass({ op, servers, ratios, errors, note }) {
  const columns = servers.map((figures) =>
    figures === null
      ? "-".padStart(36)
      : `${figures.opsPerSec}`.padStart(10) +
        figures.p50Us.toFixed(1).padStart(9) +
        figures.p99Us.toFixed(1).padStart(9) +
        figures.cpuUs.toFixed(2).padStart(8),
  );
  const compared = ratios.map((ratio) =>
    ratio === null
      ? "-".padStart(28)
      : ratio.speed.toFixed(2).padStart(7) +
        `[${ratio.least.toFixed(2)}..${ratio.most.toFixed(2)}]`.padStart(15) +
        ratio.cpu.toFixed(2).padStart(6),
  );
  const trouble = errors > 0 ? `  ${errors} ERRORS: ${note}` : "";
  console.log(`${op.padEnd(14)}${columns.join("")}${compared.join("")}${trouble}`);
}
