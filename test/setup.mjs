// @ts-check
// Sets up what is missing on a bare machine, so that `git clone` and one npm script are all it takes.
// It runs before node_modules exists and therefore uses nothing but Node itself.
//
//   node test/setup.mjs [build] [guest]      names sets of apt packages; default: both

import { pathToFileURL } from "node:url";
import { ensureAptPackages, isPackageSet } from "./setup/apt.mjs";
import { ensurePackages } from "./setup/packages.mjs";
import { report, SetupError } from "./setup/steps.mjs";

/**
 * Installs missing apt packages (as root), npm packages, and builds what is missing or out of date.
 * Prints one line for each step that takes time, and nothing when all is there.
 *
 * @param {{apt: readonly import('./setup/apt.mjs').PackageSet[]}} options
 * @throws {SetupError} With a line for the user.
 */
export function ensureSetup({ apt }) {
  ensureAptPackages(apt);
  ensurePackages();
}

/**
 * As {@link ensureSetup}, for scripts: a failure is one line on stderr and exit status 1.
 *
 * @param {{apt: readonly import('./setup/apt.mjs').PackageSet[]}} options
 */
export function ensureSetupOrExit(options) {
  try {
    ensureSetup(options);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    report(error.message);
    process.exit(1);
  }
}

function main() {
  const names = process.argv.slice(2);
  const sets = names.filter(isPackageSet);
  if (sets.length !== names.length) {
    report(`expected build or guest, got ${names.join(" ")}`);
    process.exit(1);
  }
  ensureSetupOrExit({ apt: sets.length === 0 ? ["build", "guest"] : sets });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) main();
