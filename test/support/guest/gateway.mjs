// @ts-check
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { spawnOwned } from "./spawn.mjs";

const GATEWAY_PROGRAM = fileURLToPath(new URL("../../../bin/virtiofs-gateway", import.meta.url));
const WAITING_LINE = "Waiting for vhost-user socket connection...";
const START_TIMEOUT_MS = 30_000;
const EXIT_TIMEOUT_MS = 30_000;

/**
 * A gateway in a process of its own, as a user starts it. VIRTIOFS_GATEWAY_PROGRAM names another
 * program to use in its place, for comparisons.
 */
export class Gateway {
  #process;
  #stderr = "";
  /** @type {Promise<string>} */
  #exit;
  #exited = false;

  /**
   * Starts a gateway and waits until it listens.
   *
   * @param {readonly string[]} args
   * @returns {Promise<Gateway>}
   */
  static async start(args) {
    const gateway = new Gateway(args);
    await gateway.waitUntilListening();
    return gateway;
  }

  /**
   * Starts the process; {@link waitUntilListening} is next.
   *
   * @param {readonly string[]} args
   */
  constructor(args) {
    const program = process.env.VIRTIOFS_GATEWAY_PROGRAM ?? GATEWAY_PROGRAM;
    this.#process = spawnOwned(program, args);
    this.#process.stdout.resume();
    this.#process.stderr.setEncoding("utf8").on("data", (text) => {
      this.#stderr += text;
    });
    this.#exit = this.#watchProcess();
  }

  /** What it has printed on stderr so far. */
  get stderr() {
    return this.#stderr;
  }

  /** Waits for the line that says so. A gateway that does not come up is killed. */
  async waitUntilListening() {
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!this.#stderr.includes(WAITING_LINE)) {
      if (this.#exited || Date.now() > deadline) {
        const what = this.#exited ? `ended with ${await this.#exit}` : "does not listen";
        await this.kill();
        throw new Error(`the gateway ${what}: ${this.#stderr.trim()}`);
      }
      await delay(10);
    }
  }

  /**
   * Waits for its end, which comes by itself when the guest has disconnected.
   *
   * @returns {Promise<string>} `0`, another exit status, a signal, or why it had to be killed.
   */
  async waitForExit() {
    const timeout = new AbortController();
    const exit = await Promise.race([
      this.#exit,
      delay(EXIT_TIMEOUT_MS, undefined, { signal: timeout.signal }).catch(() => undefined),
    ]);
    timeout.abort();
    if (exit !== undefined) return exit;
    await this.kill();
    return `still running after ${EXIT_TIMEOUT_MS} ms`;
  }

  /** Ends it at once. Does nothing when it has ended already. */
  async kill() {
    if (!this.#exited) this.#process.kill("SIGKILL");
    await this.#exit;
  }

  /** @returns {Promise<string>} */
  async #watchProcess() {
    try {
      const [status, signal] = await once(this.#process, "close");
      return `${signal ?? status}`;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    } finally {
      this.#exited = true;
    }
  }
}
