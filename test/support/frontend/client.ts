import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Gateway, type GatewayOptions, startGateway } from "../gateway.js";
import { Frontend, type FrontendOptions } from "./frontend.js";
import { FuseClient, type InitOptions } from "./fuse-client.js";
import { ok } from "./fuse-types.js";

export interface MountOptions extends FrontendOptions {
  /** Which backend is served. Default "passthrough", over a fresh directory. */
  readonly backend?: "passthrough" | "memory";
  /** The server's command line for a fresh directory, instead of `backend`. */
  readonly serve?: (directory: string) => readonly string[];
  /** Size of a memory share. Default "64MiB". */
  readonly size?: string;
  /** More options for the server's command line. */
  readonly args?: readonly string[];
  /** An existing directory to serve instead of a fresh one. */
  readonly sharedDir?: string;
  readonly init?: InitOptions;
  /** Leave out INIT. */
  readonly noInit?: boolean;
  readonly gateway?: GatewayOptions;
}

/**
 * A server process with a guest at it: `const fs = await Client.mount({backend: "memory"})`, then
 * `fs.lookup(ROOT, "name")`, and `await fs.unmount()` at the end.
 */
export class Client extends FuseClient {
  readonly gateway: Gateway;
  /** The served directory on the host; undefined for a memory share. */
  readonly sharedDir: string | undefined;

  private constructor(frontend: Frontend, gateway: Gateway, sharedDir: string | undefined) {
    super(frontend);
    this.gateway = gateway;
    this.sharedDir = sharedDir;
  }

  static async mount(options: MountOptions = {}): Promise<Client> {
    const memory = options.backend === "memory";
    const gateway = await startGateway((directory) => {
      const share = options.sharedDir ?? join(directory, "share");
      if (!memory) mkdirSync(share, { recursive: true });
      const backend =
        options.serve?.(share) ??
        (memory ? ["--backend", "memory", "--size", options.size ?? "64MiB"] : ["--shared-dir", share]);
      return [...backend, ...(options.args ?? [])];
    }, options.gateway);
    const sharedDir = memory ? undefined : (options.sharedDir ?? join(gateway.directory, "share"));
    try {
      const client = new Client(Frontend.connect(gateway.socketPath, options), gateway, sharedDir);
      if (options.noInit !== true) ok(client.init(options.init));
      return client;
    } catch (error) {
      const stderr = gateway.stderr();
      await gateway.stop();
      throw new Error(`mount failed; the server said:\n${stderr}`, { cause: error });
    }
  }

  /** Path of a file of the share on the host. */
  hostPath(...names: string[]): string {
    if (this.sharedDir === undefined) throw new Error("a memory share has no directory");
    return join(this.sharedDir, ...names);
  }

  /** Hangs up and waits for the server to end; returns its exit code, or null after a signal. */
  async unmount(): Promise<number | null> {
    this.frontend.close();
    const { code } = await this.gateway.waitForExit();
    await this.gateway.stop();
    return code;
  }
}
