// @ts-check
import { spawn } from "node:child_process";

/**
 * A command that could not be started or ended with another status than 0.
 */
export class CommandError extends Error {
  /**
   * @param {string} command The command line, for people.
   * @param {string} reason How it ended, for example `exit status 100`.
   * @param {string} output What it printed on stdout and stderr.
   */
  constructor(command, reason, output) {
    const firstLine = output.trimStart().split("\n", 1)[0] ?? "";
    super(`${command}: ${reason}${firstLine === "" ? "" : `: ${firstLine}`}`);
    this.name = "CommandError";
  }
}

/**
 * Runs a program without a shell and without input.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{cwd?: string, env?: NodeJS.ProcessEnv}} [options]
 * @returns {Promise<Buffer>} Its stdout.
 * @throws {CommandError} When it does not end with status 0.
 */
export function runCommand(program, args, options = {}) {
  const commandLine = [program, ...args].join(" ");
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    /** @type {Buffer[]} */
    const stdout = [];
    let output = "";
    child.stdout.on("data", (chunk) => stdout.push(chunk));
    child.stderr.on("data", (chunk) => {
      output += chunk;
    });
    child.on("error", (error) => reject(new CommandError(commandLine, error.message, "")));
    child.on("close", (status, signal) => {
      if (status === 0) resolve(Buffer.concat(stdout));
      else reject(new CommandError(commandLine, signal ?? `exit status ${status}`, output));
    });
  });
}
