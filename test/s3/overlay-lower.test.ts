import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ListObjectsV2Command, PutObjectCommand } from "@aws-sdk/client-s3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Client, ok, ROOT } from "../support/frontend/index.js";
import { spawnGateway } from "../support/gateway.js";
import { connectSdk } from "./support/connect.js";
import { ServerProcess } from "./support/server-process.js";

const Bucket = "bucket";
const LARGE_BYTES = 3 << 20;
const O_RDWR = 2;
/** Each changes a bucket. */
const CHANGES = /^(Put|Post|Delete|Copy|Create|Complete|Upload)/;

let server: ServerProcess;
let sdk: ReturnType<typeof connectSdk>;
let directory: string;
let clients: Client[];

beforeEach(async () => {
  server = await ServerProcess.start();
  sdk = connectSdk(server.endpoint);
  directory = mkdtempSync(join(tmpdir(), "overlay-lower-"));
  mkdirSync(join(directory, "upper"));
  clients = [];
  await put("golden/top", "top", { mode: "33261", uid: "5", gid: "6", mtime: "1000" });
  await put("golden/link", "top", { mode: "41471" });
  await put("golden/a/file", "hello ");
  await put("golden/a/deep/x", "deep");
  await put("golden/large", "b".repeat(LARGE_BYTES));
  await put("other", "outside of the prefix");
});
afterEach(async () => {
  for (const client of clients) {
    client.frontend.close();
    await client.gateway.stop();
  }
  sdk.destroy();
  await server.stop();
  rmSync(directory, { recursive: true });
});

async function put(Key: string, Body: string, Metadata: Record<string, string> = {}): Promise<void> {
  await sdk.send(new PutObjectCommand({ Bucket, Key, Body, Metadata }));
}

async function objects(): Promise<string[]> {
  const { Contents = [] } = await sdk.send(new ListObjectsV2Command({ Bucket }));
  return Contents.map(({ Key, ETag, LastModified }) => `${Key} ${ETag} ${LastModified?.toISOString()}`);
}

function args(...more: readonly string[]): string[] {
  return ["--backend", "overlay", ...more, "--cache-dir", join(directory, "cache")];
}

const reached = () => ["--endpoint", server.endpoint, "--path-style"];

async function mount(...more: readonly string[]): Promise<Client> {
  const client = await Client.mount({
    serve: () => args("--lower", `s3:${Bucket}/golden`, ...reached(), ...more),
    gateway: { env: server.gatewayEnvironment, startTimeoutMs: 60_000 },
    timeoutMs: 60_000,
  });
  clients.push(client);
  return client;
}

function contents(fs: Client, path: string): string {
  const { nodeid } = ok(fs.walk(path));
  const { fh } = ok(fs.open(nodeid));
  const { data } = ok(fs.read(nodeid, fh, 0, 4096));
  ok(fs.release(nodeid, fh));
  return data.toString();
}

function append(fs: Client, path: string, text: string): void {
  const { nodeid, attr } = ok(fs.walk(path));
  const { fh } = ok(fs.open(nodeid, O_RDWR));
  ok(fs.write(nodeid, fh, Number(attr.size), text));
  ok(fs.release(nodeid, fh));
}

function names(fs: Client, path: string): string[] {
  const { nodeid } = path === "" ? { nodeid: ROOT } : ok(fs.walk(path));
  return fs
    .list(nodeid)
    .map(({ name }) => name.toString())
    .filter((name) => name !== "." && name !== "..")
    .sort();
}

describe("an overlay over a bucket", () => {
  it.each([
    ["memory", () => "memory:64MiB", false],
    ["a directory", () => join(directory, "upper"), true],
  ])("takes changes in %s and leaves the bucket alone", async (_what, upper, isKept) => {
    const before = await objects();
    await server.command("reset-counts");
    let fs = await mount("--upper", upper());
    expect(names(fs, "")).toEqual(["a", "large", "link", "top"]);
    expect([contents(fs, "top"), contents(fs, "a/deep/x")]).toEqual(["top", "deep"]);
    expect(ok(fs.readlink(ok(fs.walk("link")).nodeid)).target).toBe("top");
    const { attr, nodeid } = ok(fs.walk("top"));
    expect([attr.mode, attr.uid, attr.gid, Number(attr.mtime)]).toEqual([0o100755, 5, 6, 1000]);
    const changed = ok(fs.setattr(nodeid, { mode: 0o600 })).attr;
    expect([changed.mode, changed.uid, changed.ino]).toEqual([0o100600, 5, attr.ino]);
    append(fs, "a/file", "and more");
    const { nodeid: large } = ok(fs.walk("large"));
    const { fh } = ok(fs.open(large));
    expect(ok(fs.read(large, fh, LARGE_BYTES - 2, 9)).data.toString()).toBe("bb");
    append(fs, "large", "!");
    expect(ok(fs.read(large, fh, LARGE_BYTES - 2, 9)).data.toString()).toBe("bb!");
    ok(fs.release(large, fh));
    expect(contents(fs, "a/file")).toBe("hello and more");
    ok(fs.rename(ok(fs.walk("a")).nodeid, "deep", ROOT, "moved"));
    ok(fs.unlink(ROOT, "link"));
    if (isKept) {
      expect(await fs.unmount()).toBe(0);
      fs = await mount("--upper", upper());
    }
    expect(names(fs, "")).toEqual(["a", "large", "moved", "top"]);
    expect([names(fs, "a"), names(fs, "moved")]).toEqual([["file"], ["x"]]);
    expect([contents(fs, "a/file"), contents(fs, "moved/x")]).toEqual(["hello and more", "deep"]);
    expect(Number(ok(fs.walk("large")).attr.size)).toBe(LARGE_BYTES + 1);
    expect(await objects()).toEqual(before);
    const { operations } = await server.command("settings");
    expect(operations.ListObjectsV2).toBeGreaterThan(0);
    expect(Object.keys(operations).filter((name) => CHANGES.test(name))).toEqual([]);
  });

  it("without an upper layer is read-only, and several gateways may have it", async () => {
    const [one, other] = [await mount(), await mount()];
    expect([contents(one, "top"), contents(other, "top")]).toEqual(["top", "top"]);
    expect(one.create(ROOT, "new").error).toBe("EROFS");
  });

  it("shows what layers above have in place of the bucket's", async () => {
    await put("more/top", "another");
    await put("more/a/added", "added");
    const fs = await Client.mount({
      serve: () => args("--lower", `s3:${Bucket}/more`, "--lower", `s3:${Bucket}/golden`, ...reached()),
      gateway: { env: server.gatewayEnvironment, startTimeoutMs: 60_000 },
    });
    clients.push(fs);
    expect([contents(fs, "top"), names(fs, "a")]).toEqual(["another", ["added", "deep", "file"]]);
  });

  it.each([
    ["--lower", ["--lower", "s3:"], /--lower: expected s3:BUCKET or s3:BUCKET\/PREFIX, got "s3:"/],
    ["--lower", ["--lower", "s3:bucket//x"], /--lower: expected s3:BUCKET or s3:BUCKET\/PREFIX/],
    ["--region", ["--lower", "/tmp", "--region", "eu-west-1"], /--region: expected a layer in a bucket/],
  ])("says what is wrong with %s", async (_option, wrong, message) => {
    const gateway = spawnGateway(["--backend", "overlay", ...wrong]);
    const { code } = await gateway.waitForExit();
    expect([code, gateway.stderr()]).toEqual([2, expect.stringMatching(message)]);
    await gateway.stop();
  });
});
