// @ts-check
import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const REPOSITORY = fileURLToPath(new URL("../../", import.meta.url));
const LOG_FILE = ".cache/setup.log";
const NETWORK_FAILURE =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH)\b|Could not (resolve|connect)|Temporary failure resolving|Failed to fetch|Unable to locate package/;

/** Something is missing that cannot be set up; the message is one line for the person who started it. */
export class SetupError extends Error {}

/** @param {string} message */
export function report(message) {
  process.stderr.write(`setup: ${message}\n`);
}

/**
 * Runs a program for a step of the set-up: one line on stderr says what it is for, its output goes to a
 * log in the repository's cache.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {object} options
 * @param {string} options.purpose
 * @param {string} options.unreachable What to report when the network is the reason of a failure.
 * @param {NodeJS.ProcessEnv} options.env
 * @throws {SetupError}
 */
export function runLogged(program, args, { purpose, unreachable, env }) {
  const commandLine = [program, ...args].join(" ");
  report(`${purpose} (${LOG_FILE})`);
  const log = openLog();
  writeSync(log, `$ ${commandLine}\n`);
  const result = spawnSync(program, args, {
    cwd: REPOSITORY,
    env,
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  if (result.status === 0) return;

  const output = readFileSync(path.join(REPOSITORY, LOG_FILE), "utf8").split("\n$ ").at(-1) ?? "";
  const reason = NETWORK_FAILURE.test(output)
    ? unreachable
    : (result.error?.message ?? `it ended with ${result.signal ?? result.status}`);
  throw new SetupError(`${commandLine} failed: ${reason}; its output is in ${LOG_FILE}`);
}

/** @returns {number} */
function openLog() {
  const file = path.join(REPOSITORY, LOG_FILE);
  try {
    mkdirSync(path.dirname(file), { recursive: true });
    return openSync(file, "a");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SetupError(`cannot write ${LOG_FILE}: ${reason}`);
  }
}
