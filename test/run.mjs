// @ts-check
// `npm test`: sets up what is missing, checks types, runs the tests and ends with their counts.
//
//   npm test                       all groups
//   npm test -- unit host          these groups: unit, integration, s3, guest, host, conformance
//   npm test -- unit size          files of these groups whose path contains "size"

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureRadosgw } from "./setup/radosgw.mjs";
import { ensureSetupOrExit } from "./setup.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const GROUPS = ["unit", "integration", "s3", "guest", "host", "conformance"];
/** Groups that need packages of their own. */
const PACKAGE_SETS = /** @type {const} */ (["s3", "guest", "host", "conformance"]);

/** @typedef {{passed: number, failed: number, skipped: number}} Counts */

/**
 * Runs a script of a package below node_modules with this node.
 *
 * @param {string} script
 * @param {readonly string[]} args
 * @returns {number} Exit status; 1 when a signal ended it.
 */
function runTool(script, args) {
  const result = spawnSync(process.execPath, [join(ROOT, "node_modules", script), ...args], {
    cwd: ROOT,
    stdio: "inherit",
  });
  return result.status ?? 1;
}

/**
 * @param {string} file Report of vitest's JSON reporter.
 * @returns {Counts} Without a report, which means that vitest itself failed: one failure.
 */
function readCounts(file) {
  let report;
  try {
    report = JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
  // A file that cannot be loaded has no tests that could fail.
  const broken = report.testResults.filter(
    (/** @type {{status: string, assertionResults: {status: string}[]}} */ { status, assertionResults }) =>
      status === "failed" && !assertionResults.some((test) => test.status === "failed"),
  );
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

/**
 * @param {readonly string[]} groups
 * @param {readonly string[]} filters
 * @returns {Counts}
 */
function runTests(groups, filters) {
  const folder = mkdtempSync(join(tmpdir(), "virtiofs-gateway-test-"));
  const file = join(folder, "report.json");
  const status = runTool("vitest/vitest.mjs", [
    "run",
    ...groups.map((group) => `--project=${group}`),
    "--passWithNoTests",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${file}`,
    ...filters,
  ]);
  const counts = readCounts(file);
  rmSync(folder, { recursive: true });
  if (status !== 0 && counts.failed === 0) {
    // An error outside of every test, which vitest has printed above.
    counts.failed = 1;
  }
  return counts;
}

function main() {
  const named = process.argv.slice(2);
  const groups = named.filter((name) => GROUPS.includes(name));
  const filters = named.filter((name) => !GROUPS.includes(name));
  const chosen = groups.length === 0 ? GROUPS : groups;
  ensureSetupOrExit({ apt: ["build", ...PACKAGE_SETS.filter((set) => chosen.includes(set))] });

  if (chosen.includes("s3")) ensureRadosgw();
  const typesHold = runTool("typescript/bin/tsc", []) === 0;
  const counts = runTests(chosen, filters);
  if (!typesHold) {
    counts.failed += 1;
    console.log("The type check failed: its errors are above the tests.");
  }
  if (counts.passed + counts.failed === 0) {
    console.log("No test ran.");
  }
  const skipped = counts.skipped === 0 ? "" : `, ${counts.skipped} skipped`;
  console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
  process.exitCode = counts.failed === 0 && counts.passed > 0 ? 0 : 1;
}

main();
