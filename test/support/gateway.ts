import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const READY_LINE = "Waiting for vhost-user socket connection...";
const gatewayScript = fileURLToPath(new URL("../../bin/virtiofs-gateway", import.meta.url));
const POLL_MS = 5;

export interface GatewayOptions {
  /** How long the server may take to listen. Default 20 s. */
  readonly startTimeoutMs?: number;
  /** Additional environment. */
  readonly env?: NodeJS.ProcessEnv;
}

export interface Exit {
  /** Exit code, null when a signal ended the process. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A running server process. */
export interface Gateway {
  readonly pid: number;
  /** Temporary directory of this server: socket, log, fresh shares. Removed by `stop`. */
  readonly directory: string;
  readonly socketPath: string;
  /** Everything written to stderr so far; works while the event loop is blocked. */
  stderr(): string;
  waitForExit(timeoutMs?: number): Promise<Exit>;
  /** How the process ended; undefined while it runs. */
  readonly exited: Exit | undefined;
  signal(name: NodeJS.Signals): void;
  /** Ends the process, if it still runs, and removes the directory. */
  stop(): Promise<void>;
}

/** Program and first arguments: GATEWAY_COMMAND (split at spaces), or this repository's. */
export function gatewayCommand(): [string, ...string[]] {
  const words = (process.env.GATEWAY_COMMAND ?? "").split(" ").filter((word) => word !== "");
  const [program, ...args] = words;
  return program === undefined ? [process.execPath, gatewayScript] : [program, ...args];
}

class GatewayProcess implements Gateway {
  readonly directory: string;
  readonly socketPath: string;
  readonly #child: ChildProcess;
  readonly #logPath: string;
  readonly #exit: Promise<Exit>;
  #exited: Exit | undefined;

  constructor(directory: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.directory = directory;
    this.socketPath = join(directory, "socket");
    this.#logPath = join(directory, "stderr.log");
    const [program, ...first] = gatewayCommand();
    // A file, not a pipe: it never fills up while a test blocks the event loop.
    const log = openSync(this.#logPath, "w");
    this.#child = spawn(program, [...first, "--socket-path", this.socketPath, ...args], {
      stdio: ["ignore", "ignore", log],
      env: { ...process.env, ...env },
    });
    closeSync(log);
    this.#exit = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("exit", (code, signal) => {
        this.#exited = { code, signal };
        resolve(this.#exited);
      });
    });
    this.#exit.catch(() => undefined);
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  stderr(): string {
    return readFileSync(this.#logPath, "utf8");
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async waitForExit(timeoutMs = 10_000): Promise<Exit> {
    const timer = new AbortController();
    const late = sleep(timeoutMs, undefined, { signal: timer.signal }).then(() => {
      throw new Error(`server ${this.pid} still runs after ${timeoutMs} ms:\n${this.stderr()}`);
    });
    late.catch(() => undefined);
    try {
      return await Promise.race([this.#exit, late]);
    } finally {
      timer.abort();
    }
  }

  get exited(): Exit | undefined {
    return this.#exited;
  }

  async waitUntilReady(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!this.stderr().includes(READY_LINE)) {
      if (this.#exited !== undefined) throw new Error(`the server ended:\n${this.stderr()}`);
      if (Date.now() > deadline) throw new Error(`the server does not listen:\n${this.stderr()}`);
      await Promise.race([sleep(POLL_MS), this.#exit]);
    }
  }

  async stop(): Promise<void> {
    if (this.#exited === undefined && this.#child.pid !== undefined) {
      this.#child.kill("SIGKILL");
      await this.#exit;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/**
 * Starts a server and returns without waiting for it to listen: for command lines that fail.
 * `args` may be computed from the temporary directory.
 */
export function spawnGateway(
  args: readonly string[] | ((directory: string) => readonly string[]),
  options: GatewayOptions = {},
): GatewayProcess {
  const directory = mkdtempSync(join(tmpdir(), "gateway-test-"));
  const words = typeof args === "function" ? args(directory) : args;
  return new GatewayProcess(directory, words, options.env ?? {});
}

/** Starts a server and waits until it listens. */
export async function startGateway(
  args: readonly string[] | ((directory: string) => readonly string[]),
  options: GatewayOptions = {},
): Promise<Gateway> {
  const gateway = spawnGateway(args, options);
  try {
    await gateway.waitUntilReady(options.startTimeoutMs ?? 20_000);
  } catch (error) {
    await gateway.stop();
    throw error;
  }
  return gateway;
}
