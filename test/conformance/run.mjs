// @ts-check
// The conformance suite for a backend or a file system of one's own:
//
//   npm run conformance                                   everything that `npm test` runs of it
//   npm run conformance -- --backend ./my-backend.js      a backend's module, over rings and mounted
//   npm run conformance -- --path DIR                     a directory of any mounted file system
//     --capabilities -hardLinks,-xattrs                   all but these; without "-": these alone
//     --list                                              prints the capabilities there are
//     [FILTER...]                                         test files, or options of vitest such as -t NAME

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureSetupOrExit } from "../setup.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const OPTIONS = new Map([
  ["--backend", "CONFORMANCE_BACKEND"],
  ["--path", "CONFORMANCE_PATH"],
  ["--capabilities", "CONFORMANCE_CAPABILITIES"],
]);

function printCapabilities() {
  const source = readFileSync(new URL("support/capabilities.ts", import.meta.url), "utf8");
  for (const [, name, text] of source.matchAll(/^ {2}(\w+): "(.*)",$/gm)) {
    console.log(`${(name ?? "").padEnd(16)} ${text}`);
  }
}

/**
 * @param {readonly string[]} args
 * @returns {{env: NodeJS.ProcessEnv, rest: string[]}}
 */
function parse(args) {
  /** @type {NodeJS.ProcessEnv} */
  const env = {};
  const rest = [];
  for (let i = 0; i < args.length; i++) {
    const [name = "", inline] = (args[i] ?? "").split(/=(.*)/s);
    const variable = OPTIONS.get(name);
    if (variable === undefined) {
      rest.push(args[i] ?? "");
      continue;
    }
    const value = inline ?? args[++i];
    if (value === undefined) {
      console.error(`error: ${name} takes a value`);
      process.exit(2);
    }
    env[variable] = name === "--capabilities" ? value : resolve(value);
  }
  return { env, rest };
}

function main() {
  const args = process.argv.slice(2);
  if (args.includes("--list")) {
    printCapabilities();
    return;
  }
  const { env, rest } = parse(args);
  if (process.getuid?.() !== 0) {
    console.error("error: the suite mounts file systems and acts as several users: run it as root");
    process.exit(1);
  }
  ensureSetupOrExit({ apt: ["build", "conformance"] });
  const own = env.CONFORMANCE_BACKEND !== undefined || env.CONFORMANCE_PATH !== undefined;
  const vitest = join(ROOT, "node_modules/vitest/vitest.mjs");
  const filter = own ? ["test/conformance/custom"] : [];
  const result = spawnSync(process.execPath, [vitest, "run", "--project=conformance", ...filter, ...rest], {
    cwd: ROOT,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  process.exitCode = result.status ?? 1;
}

main();
