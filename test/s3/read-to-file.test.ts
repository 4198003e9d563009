import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { NO_ATTRIBUTES, type ReadOptions } from "../../backends/s3/store/object-store.js";
import type { S3StoreOptions } from "../../backends/s3/store/open-store.js";
import type { S3Store } from "../../backends/s3/store/s3-store.js";
import { crc32c } from "../../src/native/checksum.js";
import { emptyRange } from "../../src/native/http-connection.js";
import { makeCertificate } from "../support/s3/certificates.mjs";
import { type FakeS3, startFakeS3 } from "../support/s3/server.mjs";
import { bytes, openStore, rejects } from "./support/connect.js";

const BLOCK = 128 * 1024;
const BODY = bytes(3 * BLOCK + 12_345);

const certificates = mkdtempSync(join(tmpdir(), "read-to-file-"));
const { ca, ...tls } = makeCertificate(certificates);
afterAll(() => rmSync(certificates, { recursive: true }));

/** Both ways into a file: received by native code, and by Node where that cannot. */
describe.each([
  { direct: true, scheme: "http" },
  { direct: false, scheme: "http" },
  { direct: true, scheme: "https" },
  { direct: false, scheme: "https" },
])("a read into a file ($scheme, native: $direct)", ({ direct, scheme }) => {
  const endpointOf = (server: FakeS3) => (scheme === "https" ? server.tlsEndpoint : server.endpoint);
  let fake: FakeS3;
  let store: S3Store;
  let stores: S3Store[];
  let directory: string;
  let path: string;
  let fd: number;

  beforeEach(async () => {
    fake = await startFakeS3({ buckets: ["bucket"], tls });
    stores = [];
    store = await open();
    directory = mkdtempSync(join(tmpdir(), "read-to-file-"));
    path = join(directory, "file");
    fd = openSync(path, "w+");
    await store.put("file", BODY, NO_ATTRIBUTES);
  });
  afterEach(async () => {
    await Promise.all(stores.map((each) => each.close()));
    await fake.close();
    closeSync(fd);
    rmSync(directory, { recursive: true });
  });

  async function open(options: Partial<S3StoreOptions> = {}, endpoint = endpointOf(fake)): Promise<S3Store> {
    const opened = await openStore(endpoint, { direct, ca, ...options });
    stores.push(opened);
    return opened;
  }

  /** Reads to the same place of the file, and checks what is there then. */
  async function readBack(offset: number, length: number, options: ReadOptions = {}, from = store) {
    const range = emptyRange(fd, offset, length, BLOCK);
    const result = await from.readToFile("file", offset, range, options);
    const expected = BODY.subarray(offset, offset + length);
    expect(
      readFileSync(path)
        .subarray(offset, offset + length)
        .equals(expected),
    ).toBe(true);
    expect(result).toMatchObject({ length: expected.length, size: BODY.length });
    expect(range.progress[0]).toBe(expected.length);
    expect(range.progress[1]).toBe(crc32c(expected.subarray(0, BLOCK), 0));
    return result;
  }

  it("puts ranges where they belong", async () => {
    await readBack(0, BODY.length);
    await readBack(BLOCK, 2 * BLOCK);
    await readBack(5, 10);
    await readBack(3 * BLOCK, 2 * BLOCK);
    expect(store.counts).toMatchObject({ get: 4, retries: 0 });
    // One after the other they need one connection, beside that of the PUT.
    expect(fake.counts.connections).toBeLessThanOrEqual(2);
  });

  it("fails as a read into memory does", async () => {
    const { etag } = await readBack(0, 100);
    await readBack(0, 100, { ifMatch: etag });
    await rejects(readBack(0, 100, { ifMatch: '"0"' }), "precondition");
    fake.features.conditionalRead = false;
    await rejects(readBack(0, 100, { ifMatch: '"0"' }), "precondition");
    await rejects(readBack(BODY.length, 100), "range");
    await rejects(store.readToFile("none", 0, emptyRange(fd, 0, 10, BLOCK)), "not-found");
    fake.credentials.clear();
    await rejects(readBack(0, 100), "access");
  });

  it.each(["error", "reset", "cut"] as const)("is tried again after %s", async (kind) => {
    fake.faults.add({ kind, operation: "GetObject", times: 3 });
    await readBack(0, BODY.length);
    expect(store.counts).toMatchObject({ get: 4, retries: 3 });
  });

  it("goes on where the connection broke", async () => {
    fake.faults.add({ kind: "cut", operation: "GetObject", times: 3 });
    const sent = fake.counts.bytesOut;
    await readBack(0, BODY.length);
    expect(fake.counts.bytesOut - sent).toBeLessThan(2 * BODY.length);
  });

  it("does not mix two objects", async () => {
    fake.faults.add({ kind: "cut", operation: "GetObject" });
    let gets = 0;
    fake.onRequest = async (operation) => {
      if (operation !== "GetObject" || ++gets !== 2) return;
      fake.onRequest = undefined;
      await store.put("file", bytes(BODY.length, 2), NO_ATTRIBUTES);
    };
    await rejects(readBack(0, BODY.length), "precondition");
  });

  it("is asked for again when it stalls", async () => {
    const impatient = await open({ timeoutMs: 200 });
    fake.faults.add({ kind: "stall", operation: "GetObject" });
    await readBack(0, BODY.length, {}, impatient);
    expect(impatient.counts.retries).toBe(1);
  });

  it("is hedged when it is slow", async () => {
    fake.faults.add({ kind: "hang", operation: "GetObject" });
    await readBack(0, BODY.length);
    expect(store.counts).toMatchObject({ get: 2, hedges: 1, retries: 0 });
  });

  it("is given up at the deadline, and by whoever began it", async () => {
    fake.faults.add({ kind: "hang", operation: "GetObject", times: Number.POSITIVE_INFINITY });
    await rejects(readBack(0, 100, {}, await open({ deadlineMs: 300 })), "io");
    const controller = new AbortController();
    const reading = readBack(0, 100, { signal: controller.signal });
    controller.abort(new Error("no more"));
    await expect(reading).rejects.toThrow("no more");
  });

  it("ends with the store", async () => {
    fake.faults.add({ kind: "hang", operation: "GetObject", times: Number.POSITIVE_INFINITY });
    const reading = rejects(readBack(0, 100), "io");
    await expect.poll(() => fake.counts.operations.GetObject).toBe(1);
    await store.close();
    await reading;
  });

  it("finds a server by name", async () => {
    const named = await open({}, endpointOf(fake).replace("127.0.0.1", "localhost"));
    await readBack(0, BODY.length, {}, named);
  });

  it("says that a server is not there", async () => {
    const other = await startFakeS3({ tls });
    const endpoint = endpointOf(other);
    await other.close();
    await rejects(readBack(0, 100, {}, await open({ deadlineMs: 200 }, endpoint)), "io");
  });
});
