// @ts-check
// `npm run bench`: drives servers over real virtqueues, without a guest. Without a kind, ours and the virtiofsds
// that are found; `npm run bench -- footprint` measures time and memory that no class shows, `-- guest` what comes of
// it in a guest, `-- overlay` and `-- s3` what only those backends have, `-- s3-walk` the memory of a long listing.
import { existsSync, readFileSync } from "node:fs";
import { ensureSetupOrExit } from "../setup.mjs";

const KINDS = ["footprint", "guest", "overlay", "s3", "s3-walk"];

const args = process.argv.slice(2);
const kind = KINDS.find((name) => name === args[0] && existsSync(new URL(`${name}.mjs`, import.meta.url)));
if (kind !== undefined && args.includes("--help")) {
  console.log(usageOf(kind));
  process.exit();
}
ensureSetupOrExit({ apt: ["build"] });
try {
  const module = await import(kind === undefined ? "./comparison.mjs" : `./${kind}.mjs`);
  // Those that are programs of their own have run by now.
  process.exitCode = (await module.run?.(kind === undefined ? args : args.slice(1))) ?? 0;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

/** What the comment at the beginning of a kind's module says. @param {string} kind */
function usageOf(kind) {
  const lines = readFileSync(new URL(`${kind}.mjs`, import.meta.url), "utf8")
    .split("\n")
    .slice(1);
  const end = lines.findIndex((line) => !line.startsWith("//"));
  return lines
    .slice(0, end)
    .map((line) => line.replace(/^\/\/ ?/, ""))
    .join("\n");
}
