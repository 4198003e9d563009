// @ts-check
// `npm run bench`: drives servers over real virtqueues, without a guest. Without a kind, ours and the virtiofsds
// that are found; `npm run bench -- footprint` measures time and memory that no class shows, `-- guest` what comes of
// it in a guest, `-- overlay` and `-- s3` what only those backends have, `-- s3-walk` the memory of a long listing.
import { existsSync } from "node:fs";
import { ensureSetupOrExit } from "../setup.mjs";

const KINDS = ["footprint", "guest", "overlay", "s3", "s3-walk"];

const args = process.argv.slice(2);
const kind = KINDS.find((name) => name === args[0] && existsSync(new URL(`${name}.mjs`, import.meta.url)));
ensureSetupOrExit({ apt: ["build"] });
try {
  const module = await import(kind === undefined ? "./comparison.mjs" : `./${kind}.mjs`);
  // Those that are programs of their own have run by now.
  process.exitCode = (await module.run?.(kind === undefined ? args : args.slice(1))) ?? 0;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
