// @ts-check
import { spawn } from "node:child_process";

/**
 * Starts a program that outlives neither its user nor its purpose: Ctrl-C in a terminal does not reach
 * it, so that its owner can end things in order, but the end of its owner, of whatever kind, ends it.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @returns {import("node:child_process").ChildProcessWithoutNullStreams}
 */
export function spawnOwned(program, args) {
  return spawn("setpriv", ["--pdeathsig", "KILL", "--", program, ...args], { detached: true });
}
