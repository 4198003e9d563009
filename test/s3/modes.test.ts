import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Client, ok, ROOT } from "../support/frontend/index.js";
import { connectSdk } from "./support/connect.js";
import { ServerProcess } from "./support/server-process.js";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const Bucket = "bucket";
/** Longer than what close-to-open believes. */
const FRESHNESS_MS = 1200;

let server: ServerProcess;
let sdk: ReturnType<typeof connectSdk>;
let staging: string;
let gateways: Client[];

beforeEach(async () => {
  server = await ServerProcess.start();
  sdk = connectSdk(server.endpoint);
  staging = mkdtempSync(join(tmpdir(), "modes-"));
  gateways = [];
});
afterEach(async () => {
  for (const gateway of gateways) {
    gateway.frontend.close();
    await gateway.gateway.stop();
  }
  sdk.destroy();
  await server.stop();
  rmSync(staging, { recursive: true });
});

/** A gateway with these options. */
async function mount(...options: readonly string[]): Promise<Client> {
  const fs = await Client.mount({
    serve: () => [...server.gatewayArguments, "--staging-dir", staging, ...options],
    gateway: { env: server.gatewayEnvironment, startTimeoutMs: 60_000 },
    timeoutMs: 60_000,
  });
  gateways.push(fs);
  return fs;
}

/** Another program writes an object. */
async function put(Key: string, Body: string | Buffer): Promise<void> {
  await sdk.send(new PutObjectCommand({ Bucket, Key, Body }));
}

async function textOf(Key: string): Promise<string | undefined> {
  try {
    return await (await sdk.send(new GetObjectCommand({ Bucket, Key }))).Body?.transformToString();
  } catch {
    return undefined;
  }
}

function readFile(fs: Client, name: string): string {
  const { nodeid } = ok(fs.lookup(ROOT, name));
  const { fh } = ok(fs.open(nodeid));
  const { data } = ok(fs.read(nodeid, fh, 0, 4096));
  ok(fs.release(nodeid, fh));
  return data.toString();
}

/** Writes a file while the bucket takes nothing. @returns what fsync said */
async function writeWhileRefused(fs: Client, data: string): Promise<string | null> {
  await server.command("faults", { kind: "error", operation: "PutObject", times: 1e9 });
  const { nodeid, fh } = ok(fs.create(ROOT, "file"));
  ok(fs.write(nodeid, fh, 0, data));
  const { error } = fs.fsync(nodeid, fh);
  expect(await textOf("file")).toBeUndefined();
  return error;
}

describe("--fsync", () => {
  it("local: what was synced outlives the gateway and reaches the bucket after its next start", async () => {
    const fs = await mount("--fsync", "local");
    expect(await writeWhileRefused(fs, "synced")).toBeNull();
    process.kill(fs.gateway.pid, "SIGKILL");
    await fs.gateway.waitForExit();
    await server.command("clear-faults");
    await mount("--fsync", "local");
    await expect.poll(() => textOf("file"), { timeout: 30_000 }).toBe("synced");
  });

  it("off: does not wait for the bucket, which gets the data all the same", async () => {
    const fs = await mount("--fsync", "off");
    expect(await writeWhileRefused(fs, "later")).toBeNull();
    await server.command("clear-faults");
    expect(await fs.unmount()).toBe(0);
    gateways.pop();
    expect(await textOf("file")).toBe("later");
  });
});

describe("--consistency", () => {
  it("strict: sees at once what others have changed, made and removed", async () => {
    await put("file", "one");
    const fs = await mount("--consistency", "strict");
    expect(readFile(fs, "file")).toBe("one");
    await put("file", "another");
    expect(readFile(fs, "file")).toBe("another");
    expect(fs.lookup(ROOT, "new").error).toBe("ENOENT");
    await put("new", "made");
    expect(readFile(fs, "new")).toBe("made");
    await sdk.send(new DeleteObjectCommand({ Bucket, Key: "new" }));
    expect(fs.lookup(ROOT, "new").error).toBe("ENOENT");
  });

  it("immutable: asks once for what is there", async () => {
    await put("file", "one");
    const fs = await mount("--consistency", "immutable");
    expect(readFile(fs, "file")).toBe("one");
    fs.list(ROOT);
    await sleep(FRESHNESS_MS);
    await server.command("reset-counts");
    await put("file", "another");
    expect(readFile(fs, "file")).toBe("one");
    fs.list(ROOT);
    expect((await server.command("counts")).operations).toEqual({ PutObject: 1 });
  });
});

describe("a bucket with versions", () => {
  it("lets who has a file open read on in its version, whoever replaces or removes it", async () => {
    await server.command("settings", { versioning: { [Bucket]: "Enabled" } });
    const before = Buffer.alloc(4 * MIB, "before");
    await put("replaced", before);
    await put("removed", before);
    const fs = await mount();
    for (const name of ["replaced", "removed"]) {
      const { nodeid } = ok(fs.lookup(ROOT, name));
      const { fh } = ok(fs.open(nodeid));
      const version = ok(fs.getxattr(nodeid, "s3.version-id")).value.toString();
      const { VersionId } = await sdk.send(new HeadObjectCommand({ Bucket, Key: name }));
      expect(version).toBe(VersionId);
      if (name === "replaced") await put(name, "after");
      else await sdk.send(new DeleteObjectCommand({ Bucket, Key: name }));
      for (const at of [0, 3 * MIB]) {
        expect(ok(fs.read(nodeid, fh, at, 4096)).data.equals(before.subarray(at, at + 4096))).toBe(true);
      }
      ok(fs.release(nodeid, fh));
    }
    await sleep(FRESHNESS_MS);
    expect(readFile(fs, "replaced")).toBe("after");
    expect(fs.lookup(ROOT, "removed").error).toBe("ENOENT");
  });
});

it("an object of more than a copy can have is renamed by copies of its parts", async () => {
  // The server would compute those of many gigabytes.
  await server.command("settings", { features: { checksums: false } });
  await server.command("synthetic", { bucket: Bucket, prefix: "huge/", count: 1, size: 6 * GIB });
  const fs = await mount();
  const { nodeid } = ok(fs.lookup(ROOT, "huge"));
  await server.command("reset-counts");
  ok(fs.rename(nodeid, "00000000", ROOT, "moved"));
  ok(fs.syncfs());
  const { operations } = await server.command("counts");
  expect(operations).toMatchObject({
    CreateMultipartUpload: 1,
    UploadPartCopy: 6,
    CompleteMultipartUpload: 1,
  });
  expect(operations.GetObject).toBeUndefined();
  const { ContentLength } = await sdk.send(new HeadObjectCommand({ Bucket, Key: "moved" }));
  expect(ContentLength).toBe(6 * GIB);
  await expect(sdk.send(new HeadObjectCommand({ Bucket, Key: "huge/00000000" }))).rejects.toThrow();
}, 180_000);
