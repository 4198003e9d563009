import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { CREDENTIALS } from "./connect.js";

const PROGRAM = fileURLToPath(new URL("../../support/s3/main.mjs", import.meta.url));

/** The fake server in a process of its own, for clients that block this one. */
export class ServerProcess {
  readonly endpoint: string;
  readonly #child: ChildProcess;

  private constructor(endpoint: string, child: ChildProcess) {
    this.endpoint = endpoint;
    this.#child = child;
  }

  static async start(...args: readonly string[]): Promise<ServerProcess> {
    const child = spawn(process.execPath, [PROGRAM, "--bucket", "bucket", ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [endpoint] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    return new ServerProcess(endpoint, child);
  }

  /** What a gateway needs to serve the bucket. */
  get gatewayArguments(): string[] {
    return ["--backend", "s3", "--bucket", "bucket", "--endpoint", this.endpoint, "--path-style"];
  }

  get gatewayEnvironment(): Record<string, string> {
    return {
      AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
      AWS_REGION: "us-east-1",
    };
  }

  /** A command of test/support/s3/main.mjs. */
  async command(name: string, body: object = {}): Promise<{ operations: Record<string, number> }> {
    const response = await fetch(`${this.endpoint}/_fake/${name}`, {
      method: "POST",
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${name}: ${response.status}`);
    return (await response.json()) as { operations: Record<string, number> };
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null) {
      this.#child.kill();
      await once(this.#child, "exit");
    }
  }
}
