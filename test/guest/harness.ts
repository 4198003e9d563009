import * as fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { expect } from "vitest";
import { Gateway } from "../support/guest/gateway.mjs";
import { Guest, type GuestOptions } from "../support/guest/guest.mjs";
import { runQmpCommands } from "../support/guest/qmp.mjs";

/** A command in a guest; the largest trees take some seconds, on a busy machine far more. */
export const GUEST_TEST_TIMEOUT_MS = 240_000;

/** How a share is served in these tests. */
export interface ShareKind {
  readonly name: "passthrough" | "memory";
  /** Whether its files are also on the host, in {@link GuestSession.hostDirectory}. */
  readonly onHost: boolean;
}

export const SHARE_KINDS: readonly ShareKind[] = [
  { name: "passthrough", onHost: true },
  { name: "memory", onHost: false },
];

export interface GuestSessionOptions extends Omit<GuestOptions, "shares"> {
  readonly kind: ShareKind;
  readonly gatewayArgs?: readonly string[];
}

/**
 * A guest with one share, tag `share`, and the gateway that serves it.
 */
export class GuestSession {
  readonly gateway: Gateway;
  readonly guest: Guest;
  /** What a passthrough share serves. */
  readonly hostDirectory: string;
  readonly #directory: string;

  static async start(options: GuestSessionOptions): Promise<GuestSession> {
    const { kind, gatewayArgs = [], extraArgs = [], ...guestOptions } = options;
    const directory = await fs.mkdtemp(path.join(os.tmpdir(), "virtiofs-guest-"));
    const hostDirectory = path.join(directory, "shared");
    await fs.mkdir(hostDirectory);
    const socketPath = path.join(directory, "socket");
    const source = kind.onHost ? ["--shared-dir", hostDirectory] : ["--backend", "memory", "--size", "1GiB"];
    const gateway = await Gateway.start(["--socket-path", socketPath, ...source, ...gatewayArgs]);
    try {
      const shares = [{ socketPath, tag: "share" }];
      const qmp = ["-qmp", `unix:${path.join(directory, "qmp")},server=on,wait=off`];
      const guest = await Guest.boot({ ...guestOptions, shares, extraArgs: [...extraArgs, ...qmp] });
      return new GuestSession(directory, hostDirectory, gateway, guest);
    } catch (error) {
      await gateway.kill();
      throw error;
    }
  }

  private constructor(directory: string, hostDirectory: string, gateway: Gateway, guest: Guest) {
    this.#directory = directory;
    this.hostDirectory = hostDirectory;
    this.gateway = gateway;
    this.guest = guest;
  }

  /** Runs a script in the guest that must succeed, and returns its output. */
  async run(script: string): Promise<string> {
    const { status, output } = await this.guest.run(script);
    const context = `guest: ${script}\n${output}\ngateway: ${this.gateway.stderr}`;
    expect(status, context).toBe(0);
    return output;
  }

  /** Pauses the virtual machine and resumes it, which stops its rings and starts them again. */
  async pauseAndResume(): Promise<void> {
    await runQmpCommands(path.join(this.#directory, "qmp"), ["stop", "cont"]);
  }

  /** Powers the guest off; the gateway must then end by itself, with 0. */
  async powerOff(): Promise<void> {
    await this.guest.powerOff();
    expect(await this.gateway.waitForExit(), this.gateway.stderr).toBe("0");
  }

  /** Removes everything, whatever state it is in. */
  async cleanUp(): Promise<void> {
    await this.guest.kill();
    await this.gateway.kill();
    await fs.rm(this.#directory, { recursive: true, force: true });
  }
}
