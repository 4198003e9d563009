// @ts-check
// A long random load on a share: data and names checked against models (load.c), stress-ng and fio beside it.
// Afterwards the tree must be the same as the mount, a remount and the host see it. Needs root.
//
//   npm run soak -- [--minutes 30] [--where host|guest] [--backend passthrough|memory] [--seed N] [--no-tools]
//
// A failure of the load says its seed and operation: `load run DIR -s SEED -p PROCESSES` repeats it.
import * as fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { ensureSetupOrExit } from "../setup.mjs";
import { compileLoad, GuestPlace, HostPlace, ShareFiles } from "./places.mjs";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "30" },
    where: { type: "string", default: "host" },
    backend: { type: "string", default: "passthrough" },
    seed: { type: "string", default: `${Date.now() % 1_000_000}` },
    "no-tools": { type: "boolean", default: false },
  },
});

/** @returns {{seconds: number, seed: number, backend: import("./places.mjs").BackendName}} */
function options() {
  const { backend } = values;
  const seconds = Math.round(Number(values.minutes) * 60);
  const places = ["host", "guest"].includes(values.where);
  if (!(seconds > 0) || !places || (backend !== "passthrough" && backend !== "memory")) {
    console.error("error: expected --minutes N --where host|guest --backend passthrough|memory");
    process.exit(2);
  }
  return { seconds, seed: Number(values.seed), backend };
}

/** @param {string} directory @returns {Promise<string[]>} what went wrong */
async function soak(directory) {
  const { seconds, seed, backend } = options();
  const files = new ShareFiles(backend, directory);
  await fs.mkdir(files.shared);
  const program = compileLoad(directory);
  console.log(`${backend} on a ${values.where}, ${seconds} s, seed ${seed}, files in ${directory}`);
  const place = await (values.where === "host" ? HostPlace : GuestPlace).start(files, program);
  const wrong = [];
  const output = await place.load(seconds, seed, !values["no-tools"]);
  console.log(output.trim());
  if (!/^failures 0$/m.test(output)) wrong.push("the load has found something wrong");
  const digests = { mounted: await place.digest(), remounted: "", host: "" };
  await place.remount();
  digests.remounted = await place.digest();
  const log = await place.end();
  digests.host = await files.digest(program);
  for (const [view, digest] of Object.entries(digests)) console.log(`${view.padEnd(10)} ${digest}`);
  if (new Set(Object.values(digests)).size !== 1) wrong.push("the views of the tree differ");
  if (log.includes("ERROR")) wrong.push(`the gateway has logged errors:\n${log}`);
  return wrong;
}

ensureSetupOrExit({ apt: ["build", values.where === "host" ? "host" : "guest", "soak"] });
const directory = await fs.mkdtemp(path.join(os.tmpdir(), "virtiofs-soak-"));
const wrong = await soak(directory);
if (wrong.length === 0) {
  await fs.rm(directory, { recursive: true });
  console.log("nothing wrong");
} else {
  console.log(wrong.join("\n"));
  process.exitCode = 1;
}
