import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Client, ok, ROOT } from "../support/frontend/index.js";
import { ServerProcess } from "./support/server-process.js";

/** Longer than what close-to-open believes without asking. */
const FRESHNESS_MS = 1200;

let server: ServerProcess;
let folder: string;
let gateways: Client[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateways-"));
  server = await ServerProcess.start();
  gateways = [];
  for (const name of ["one", "other"]) {
    gateways.push(
      await Client.mount({
        serve: () => [...server.gatewayArguments, "--staging-dir", join(folder, name)],
        gateway: { env: server.gatewayEnvironment, startTimeoutMs: 60_000 },
        timeoutMs: 60_000,
      }),
    );
  }
});
afterEach(async () => {
  for (const gateway of gateways) {
    gateway.frontend.close();
    await gateway.gateway.stop();
  }
  await server.stop();
  rmSync(folder, { recursive: true });
});

function writeFile(fs: Client, name: string, data: string): void {
  const { nodeid, fh } = ok(fs.create(ROOT, name));
  ok(fs.write(nodeid, fh, 0, data));
  ok(fs.fsync(nodeid, fh));
  ok(fs.release(nodeid, fh));
}

function readFile(fs: Client, parent: bigint, name: string): string {
  const { nodeid } = ok(fs.lookup(parent, name));
  const { fh } = ok(fs.open(nodeid));
  const { data } = ok(fs.read(nodeid, fh, 0, 4096));
  ok(fs.release(nodeid, fh));
  return data.toString();
}

it("what one has synced is what the other opens", async () => {
  const [one, other] = gateways as [Client, Client];
  writeFile(one, "file", "first");
  await sleep(FRESHNESS_MS);
  expect(readFile(other, ROOT, "file")).toBe("first");
  const { nodeid } = ok(other.lookup(ROOT, "file"));
  const { fh } = ok(other.open(nodeid, 2));
  ok(other.write(nodeid, fh, 0, "FIRST and more"));
  ok(other.fsync(nodeid, fh));
  ok(other.release(nodeid, fh));
  await sleep(FRESHNESS_MS);
  expect(readFile(one, ROOT, "file")).toBe("FIRST and more");
});

it("the one that comes second hears ESTALE, and its version is in lost+found", async () => {
  const [one, other] = gateways as [Client, Client];
  writeFile(one, "file", "before");
  await sleep(FRESHNESS_MS);
  const opened = [one, other].map((fs) => {
    const { nodeid } = ok(fs.lookup(ROOT, "file"));
    return { fs, nodeid, fh: ok(fs.open(nodeid, 2)).fh };
  });
  for (const [index, { fs, nodeid, fh }] of opened.entries()) {
    ok(fs.write(nodeid, fh, 0, index === 0 ? "winner" : "loser!"));
  }
  const synced = opened.map(({ fs, nodeid, fh }) => fs.fsync(nodeid, fh).error);
  expect(synced).toEqual([null, "ESTALE"]);
  for (const { fs, nodeid, fh } of opened) ok(fs.release(nodeid, fh));
  await sleep(FRESHNESS_MS);
  for (const fs of [one, other]) {
    expect(readFile(fs, ROOT, "file")).toBe("winner");
    const { nodeid } = ok(fs.lookup(ROOT, "lost+found"));
    const names = fs.list(nodeid).map(({ name }) => String(name));
    const kept = names.filter((name) => name.startsWith("file."));
    expect(kept).toHaveLength(1);
    expect(readFile(fs, nodeid, kept[0] ?? "")).toBe("loser!");
  }
});
