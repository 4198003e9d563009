import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { afterAll, afterEach, beforeEach, expect, onTestFinished } from "vitest";
import { Client, Frontend, type FrontendOptions, type MountOptions, ok, ROOT } from "./frontend/index.js";
import { type Gateway, type GatewayOptions, startGateway } from "./gateway.js";

const LIFECYCLE = [
  "Waiting for vhost-user socket connection...",
  "Client connected, servicing requests",
  "Client disconnected, shutting down",
];
const FORBIDDEN = [/^\s+at /m, /AddressSanitizer/, /ThreadSanitizer/, /runtime error:/];
const SECRET = "outside the share\n";

/** Lines of stderr besides the three that every run has. */
export function errorLines(gateway: Gateway): string[] {
  return gateway
    .stderr()
    .split("\n")
    .filter((line) => line !== "" && !LIFECYCLE.some((text) => line.includes(text)));
}

/** No stack trace and no report of a sanitizer. */
export function expectCleanLog(gateway: Gateway): void {
  for (const pattern of FORBIDDEN) expect(gateway.stderr()).not.toMatch(pattern);
}

/** The server ended by itself with code 1 and one line that says what was wrong. */
export async function expectFatal(gateway: Gateway, line: RegExp): Promise<void> {
  const exit = await gateway.waitForExit();
  expectCleanLog(gateway);
  expect(errorLines(gateway)).toEqual([expect.stringMatching(line)]);
  expect(exit).toEqual({ code: 1, signal: null });
}

/** The server answers an ordinary request on a queue. */
export function expectServes(fs: Client, queue = 1): void {
  const reply = fs.request(3, ROOT, Buffer.alloc(16), 16 + 104, { queue });
  expect(reply.error).toBeNull();
}

/** A client for one test; its server is gone when the test ends. */
export async function mount(options: MountOptions = {}): Promise<Client> {
  const client = await Client.mount(options);
  onTestFinished(async () => {
    client.frontend.close();
    await client.gateway.stop();
  });
  return client;
}

/** A server for one test and a connection to it on which nothing was sent. */
export async function connectRaw(
  options: FrontendOptions & { args?: readonly string[]; gateway?: GatewayOptions } = {},
): Promise<{ gateway: Gateway; frontend: Frontend }> {
  const args = options.args ?? ["--backend", "memory", "--size", "16MiB"];
  const gateway = await startGateway(args, options.gateway);
  const frontend = Frontend.open(gateway.socketPath, options);
  onTestFinished(async () => {
    frontend.close();
    await gateway.stop();
  });
  return { gateway, frontend };
}

/** The client of all tests of a file. */
export interface SharedClient {
  readonly fs: Client;
}

/**
 * One server for all tests of a describe block. After each test it must still run, have logged no
 * stack, and have left everything outside the share alone; if it died, the next test gets a new one.
 */
export function useClient(options: MountOptions = {}): SharedClient {
  let client: Client | undefined;
  let outside: string[] = [];
  beforeEach(async () => {
    if (client !== undefined) return;
    client = await Client.mount(options);
    writeFileSync(join(client.gateway.directory, "secret"), SECRET);
    outside = readdirSync(client.gateway.directory).sort();
  });
  afterEach(async () => {
    const { gateway } = client as Client;
    // The test blocked the event loop: let it hear of a process that ended meanwhile.
    await setImmediate();
    if (gateway.exited !== undefined) await drop();
    expect(gateway.exited, gateway.exited && "the server ended").toBeUndefined();
    expectCleanLog(gateway);
    expect(readdirSync(gateway.directory).sort()).toEqual(outside);
    expect(readFileSync(join(gateway.directory, "secret"), "latin1")).toBe(SECRET);
  });
  afterAll(drop);

  async function drop(): Promise<void> {
    client?.frontend.close();
    await client?.gateway.stop();
    client = undefined;
  }
  return {
    get fs() {
      return client as Client;
    },
  };
}

/** A file with content, closed; its node stays looked up. */
export function makeFile(fs: Client, name: string, content: Uint8Array | string = ""): bigint {
  const { nodeid, fh } = ok(fs.create(ROOT, name));
  if (content.length > 0) expect(ok(fs.write(nodeid, fh, 0, content)).size).toBe(content.length);
  ok(fs.release(nodeid, fh));
  return nodeid;
}
