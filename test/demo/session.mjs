// @ts-check
import * as fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { Gateway } from "../support/guest/gateway.mjs";
import { Guest } from "../support/guest/guest.mjs";
import { runStory } from "./story.mjs";
import { print } from "./style.mjs";

/**
 * Gateways, a guest and a scratch directory, from their start to the end of the last of them.
 */
export class Session {
  hint = `
You are in the guest now: /host is a directory of this machine, /memory lives in the gateway.
Leave with "exit" (or Ctrl-] if the guest is stuck); everything is cleaned up then.

`;
  /** @type {string | undefined} */
  #directory;
  /** @type {Map<string, Gateway>} */
  #gateways = new Map();
  /** @type {Guest | undefined} */
  #guest;

  /** The directory that the guest sees as the share `host`. */
  get sharedDirectory() {
    return path.join(this.#directory ?? "", "shared");
  }

  get guest() {
    if (this.#guest === undefined) throw new Error("the guest has not been started");
    return this.#guest;
  }

  /** @param {import('../support/guest/image.mjs').GuestImage} image */
  async start(image) {
    this.#directory = await fs.mkdtemp(path.join(os.tmpdir(), "virtiofs-demo-"));
    const shares = await this.startShares();
    const startedAt = performance.now();
    this.#guest = new Guest({ image, shares });
    await this.#guest.waitUntilReady();
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    print.note(`Linux ${image.kernelVersion} is up after ${seconds} s`);
  }

  /** The directory of this demo; it is removed at the end. */
  get directory() {
    if (this.#directory === undefined) throw new Error("the demo has not been started");
    return this.#directory;
  }

  /** Starts what the guest is to mount. */
  async startShares() {
    await fs.mkdir(this.sharedDirectory);
    return [
      await this.startGateway("host", ["--shared-dir", this.sharedDirectory]),
      await this.startGateway("memory", ["--backend", "memory", "--size", "1GiB"]),
    ];
  }

  /**
   * Runs a command in the guest, shows it, and insists that it succeeds.
   *
   * @param {string} command
   * @returns {Promise<string>} Its output.
   */
  async inGuest(command) {
    const { status, output } = await this.guest.run(command);
    print.command("guest", command, output);
    if (status !== 0) throw new Error(`in the guest, "${command}" ended with ${status}: ${output}`);
    return output;
  }

  /** What the demo shows. */
  tell() {
    return runStory(this);
  }

  /** Insists that each gateway ended by itself, with 0, after the guest was gone. */
  async checkGatewaysEnded() {
    for (const [tag, gateway] of this.#gateways) {
      const exit = await gateway.waitForExit();
      if (exit !== "0") {
        const log = gateway.stderr.trim();
        throw new Error(`the gateway of share ${tag} ended with ${exit}: ${log}`);
      }
    }
    print.note("The guest is off, and its gateways ended with 0.");
  }

  /** Ends what still runs and removes the scratch directory. */
  async cleanUp() {
    await this.#guest?.kill();
    for (const gateway of this.#gateways.values()) await gateway.kill();
    if (this.#directory !== undefined) {
      await fs.rm(this.#directory, { recursive: true, force: true });
    }
  }

  /**
   * @param {string} tag
   * @param {readonly string[]} args
   * @returns {Promise<import('../support/guest/guest.mjs').GuestShare>}
   */
  async startGateway(tag, args) {
    const socketPath = path.join(this.#directory ?? "", `${tag}.sock`);
    print.command("host", `virtiofs-gateway --socket-path ${socketPath} ${args.join(" ")} &`, "");
    const gateway = new Gateway(["--socket-path", socketPath, ...args]);
    this.#gateways.set(tag, gateway);
    await gateway.waitUntilListening();
    return { socketPath, tag };
  }
}
