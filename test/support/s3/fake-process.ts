import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { TEST_CREDENTIALS } from "./server.mjs";

const MAIN = fileURLToPath(new URL("main.mjs", import.meta.url));

/** Environment with which a gateway finds the credentials of the fake server and of radosgw. */
export const CREDENTIALS_ENV = {
  AWS_ACCESS_KEY_ID: TEST_CREDENTIALS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: TEST_CREDENTIALS.secretAccessKey,
} as const;

/** What was asked of the server. */
export interface FakeCounts {
  /** By the operation's name in the API. */
  readonly operations: Record<string, number>;
  /** At the same time. */
  readonly mostRequests: number;
}

/** The fake S3 server in a process of its own, for tests that block theirs. */
export class FakeProcess {
  readonly endpoint: string;
  /** Undefined without --tls. */
  readonly tlsEndpoint: string | undefined;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, endpoint: string, tlsEndpoint: string | undefined) {
    this.#child = child;
    this.endpoint = endpoint;
    this.tlsEndpoint = tlsEndpoint;
  }

  /** Starts one with an empty bucket "test"; `args` are those of main.mjs. */
  static async start(...args: readonly string[]): Promise<FakeProcess> {
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "inherit"] });
    const [lines] = (await once(child.stdout, "data")) as [Buffer];
    const [endpoint = "", tlsEndpoint] = lines.toString().trim().split("\n");
    return new FakeProcess(child, endpoint, tlsEndpoint);
  }

  /** Options of a gateway that shares the bucket, over TLS if there is; what is staged lies below `directory`. */
  shareArgs(directory: string): string[] {
    const endpoint = this.tlsEndpoint ?? this.endpoint;
    return [
      ...["--backend", "s3", "--bucket", "test", "--endpoint", endpoint, "--path-style"],
      ...["--staging-dir", `${directory}/staging`, "--cache-dir", `${directory}/cache`],
    ];
  }

  /** Has the server do what main.mjs says; what was asked of it so far. */
  async command(name: string, parameters: object = {}): Promise<FakeCounts> {
    const request =
      name === "counts" ? { method: "GET" } : { method: "POST", body: JSON.stringify(parameters) };
    const answer = await fetch(`${this.endpoint}/_fake/${name}`, request);
    return (await answer.json()) as FakeCounts;
  }

  /** Ends the server. */
  async close(): Promise<void> {
    const exit = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exit;
  }
}
