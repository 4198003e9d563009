import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { NO_ATTRIBUTES } from "../../backends/s3/store/object-store.js";
import type { S3StoreOptions } from "../../backends/s3/store/open-store.js";
import type { S3Store } from "../../backends/s3/store/s3-store.js";
import { emptyRange } from "../../src/native/http-connection.js";
import { makeCertificate } from "../support/s3/certificates.mjs";
import { type FakeS3, startFakeS3 } from "../support/s3/server.mjs";
import { bytes, openStore } from "./support/connect.js";

const BLOCK = 128 * 1024;
const BODY = bytes(3 * BLOCK + 12_345);

const directory = mkdtempSync(join(tmpdir(), "tls-"));
const { ca, ...tls } = makeCertificate(directory);
const { ca: othersCa } = makeCertificate(directory);
const elsewhere = makeCertificate(directory, "DNS:elsewhere.example,DNS:*.example");
afterAll(() => rmSync(directory, { recursive: true }));

let fake: FakeS3 | undefined;
let stores: S3Store[];
let fd: number;

beforeEach(() => {
  stores = [];
  fd = openSync(join(directory, "file"), "w+");
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(stores.map((each) => each.close()));
  await fake?.close();
  fake = undefined;
  closeSync(fd);
});

async function start(certificate: typeof tls): Promise<FakeS3> {
  fake = await startFakeS3({ buckets: ["bucket"], tls: certificate });
  const plain = await open(fake.endpoint);
  await plain.put("file", BODY, NO_ATTRIBUTES);
  fake.counts.reset();
  return fake;
}

async function open(endpoint: string, options: Partial<S3StoreOptions> = {}): Promise<S3Store> {
  const store = await openStore(endpoint, { deadlineMs: 2000, ...options });
  stores.push(store);
  return store;
}

async function readBack(store: S3Store): Promise<void> {
  await store.readToFile("file", 0, emptyRange(fd, 0, BODY.length, BLOCK));
  expect(readFileSync(join(directory, "file")).equals(BODY)).toBe(true);
}

describe("a server's certificate", () => {
  it("by an authority that nobody trusts is refused at once", async () => {
    const { tlsEndpoint, counts } = await start(tls);
    const store = await open(tlsEndpoint, { ca: othersCa });
    await expect(readBack(store)).rejects.toThrow(
      /^get "file": ERR_TLS_HANDSHAKE TLS with 127\.0\.0\.1:\d+: expected a trusted certificate for 127\.0\.0\.1, got one for IP Address:127\.0\.0\.1, DNS:localhost by CN = Test authority: .+$/,
    );
    await expect(store.head("file")).rejects.toThrow(/ERR_TLS_HANDSHAKE/);
    await expect(readBack(await open(tlsEndpoint))).rejects.toThrow(/ERR_TLS_HANDSHAKE/);
    expect(counts.operations).toEqual({});
    expect(store.counts.retries).toBe(0);
  });

  it("for another server is refused at once", async () => {
    const { tlsEndpoint } = await start(elsewhere);
    const store = await open(tlsEndpoint, { ca: elsewhere.ca });
    await expect(readBack(store)).rejects.toThrow(/DNS:elsewhere\.example.*: IP address mismatch$/);
    const named = await open(tlsEndpoint.replace("127.0.0.1", "localhost"), { ca: elsewhere.ca });
    await expect(readBack(named)).rejects.toThrow(/for localhost, got one for DNS:.*: hostname mismatch$/);
  });

  it("may be by the last of many authorities", async () => {
    const { tlsEndpoint } = await start(tls);
    await readBack(await open(tlsEndpoint, { ca: [...rootCertificates, ca].join("\n") }));
  });

  it("is not looked at where NODE_TLS_REJECT_UNAUTHORIZED says so", async () => {
    const { tlsEndpoint } = await start(elsewhere);
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    await readBack(await open(tlsEndpoint));
  });
});

describe("a connection with TLS", () => {
  it("is used again, and the next one goes on with its session", async () => {
    const { tlsEndpoint, counts } = await start(tls);
    const store = await open(tlsEndpoint, { ca });
    for (let i = 0; i < 5; i++) await readBack(store);
    await store.head("file");
    expect(counts).toMatchObject({ connections: 1, resumedSessions: 0 });
    await Promise.all(Array.from({ length: 4 }, () => store.head("file")));
    expect(counts).toMatchObject({ connections: 4, resumedSessions: 3 });
  });

  it.each(["error", "reset", "lost"] as const)("uploads again after %s", async (kind) => {
    const { tlsEndpoint, faults, counts } = await start(tls);
    const store = await open(tlsEndpoint, { ca });
    faults.add({ kind, operation: "PutObject" });
    const { etag } = await store.put("new", BODY, NO_ATTRIBUTES, { ifNoneMatch: "*" });
    await store.put("new", BODY.subarray(1), NO_ATTRIBUTES, { ifMatch: etag });
    expect((await store.head("new")).size).toBe(BODY.length - 1);
    expect(store.counts).toMatchObject({ put: 3, retries: 1 });
    expect(counts.operations.PutObject).toBe(3);
  });

  it("uploads parts", async () => {
    const { tlsEndpoint } = await start(tls);
    const store = await open(tlsEndpoint, { ca });
    const part = bytes(6 * 2 ** 20);
    const uploadId = await store.createUpload("parts", NO_ATTRIBUTES);
    const sent = await Promise.all(
      [1, 2, 3].map(async (partNumber) => ({
        partNumber,
        ...(await store.uploadPart("parts", uploadId, partNumber, part)),
      })),
    );
    await store.completeUpload("parts", uploadId, sent);
    const into = Buffer.alloc(part.length);
    await store.read("parts", 2 * part.length, into);
    expect(into.equals(part)).toBe(true);
  });

  it("is none with a server that speaks without", async () => {
    const { port } = await start(tls);
    const store = await open(`https://127.0.0.1:${port}`, { ca });
    await expect(store.head("file")).rejects.toThrow(/TLS with .*: no handshake: .+/);
  });

  it("is given up where the handshake does not go on", async () => {
    const silent = createServer();
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as { port: number };
    const store = await open(`https://127.0.0.1:${port}`, { ca, timeoutMs: 50, deadlineMs: 500 });
    await expect(store.head("file")).rejects.toThrow(/ETIMEDOUT|the deadline has passed/);
    expect(store.counts.retries).toBeGreaterThan(0);
    silent.close();
  });
});
