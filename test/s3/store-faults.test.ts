import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NO_ATTRIBUTES } from "../../backends/s3/store/object-store.js";
import type { S3StoreOptions } from "../../backends/s3/store/open-store.js";
import type { S3Store } from "../../backends/s3/store/s3-store.js";
import { type FakeS3, startFakeS3 } from "../support/s3/server.mjs";
import { bytes, openStore } from "./support/connect.js";

const BODY = bytes(300_000);
const NONE = { ifNoneMatch: "*" } as const;
const ATTRIBUTES = { metadata: { mode: "33188" } };

let fake: FakeS3;
let store: S3Store;
let stores: S3Store[];

beforeEach(async () => {
  fake = await startFakeS3({ buckets: ["bucket"] });
  stores = [];
  store = await open();
});
afterEach(async () => {
  await Promise.all(stores.map((each) => each.close()));
  await fake.close();
});

async function open(options: Partial<S3StoreOptions> = {}): Promise<S3Store> {
  const opened = await openStore(fake.endpoint, options);
  stores.push(opened);
  return opened;
}

async function readAll(key: string, options = {}): Promise<Buffer> {
  const into = Buffer.alloc(BODY.length);
  const { length } = await store.read(key, 0, into, options);
  return into.subarray(0, length);
}

describe("a server that is busy or breaks", () => {
  it("is asked again after SlowDown, errors, resets", async () => {
    for (const kind of ["error", "reset"] as const) {
      fake.faults.add({ kind, operation: "PutObject", times: 2 });
      await store.put("file", BODY, NO_ATTRIBUTES);
      fake.faults.add({ kind, operation: "GetObject", times: 2 });
      expect((await readAll("file")).equals(BODY)).toBe(true);
      fake.faults.add({ kind, operation: "ListObjectsV2", times: 2 });
      expect((await store.list({ prefix: "" })).objects).toHaveLength(1);
    }
    expect(store.counts.retries).toBe(12);
    expect(fake.faults.spent).toBe(true);
  });

  it("is given the time that it asks for", async () => {
    fake.faults.add({ kind: "error", operation: "HeadObject", headers: { "retry-after": "1" } });
    await store.put("file", BODY, NO_ATTRIBUTES);
    const before = performance.now();
    await store.head("file");
    expect(performance.now() - before).toBeGreaterThanOrEqual(1000);
  });

  it("is given up at the deadline", async () => {
    const hasty = await open({ deadlineMs: 300 });
    fake.faults.add({ kind: "error", times: Number.POSITIVE_INFINITY });
    await expect(hasty.head("file")).rejects.toMatchObject({
      code: "io",
      message: expect.stringMatching(/^head "file": (SlowDown|HTTP 503), after \d+ attempts$/),
    });
    fake.faults.clear();
    fake.faults.add({ kind: "hang", times: Number.POSITIVE_INFINITY });
    await expect(hasty.head("file")).rejects.toMatchObject({ code: "io" });
  });

  it("is asked again when nothing comes", async () => {
    const impatient = await open({ timeoutMs: 200 });
    await impatient.put("file", BODY, NO_ATTRIBUTES);
    fake.faults.add({ kind: "hang", operation: "HeadObject" });
    expect(await impatient.head("file")).toMatchObject({ size: BODY.length });
    fake.faults.add({ kind: "stall", operation: "GetObject" });
    const into = Buffer.alloc(BODY.length);
    await impatient.read("file", 0, into);
    expect(into.equals(BODY)).toBe(true);
  });

  it("may say 200 and fail afterwards", async () => {
    await store.put("file", BODY, NO_ATTRIBUTES);
    fake.faults.add({ kind: "error-in-200", operation: "CopyObject" });
    await store.copy({ key: "file" }, "copy", undefined);
    expect(await store.head("copy")).toMatchObject({ size: BODY.length });
    const id = await store.createUpload("parts", NO_ATTRIBUTES);
    const parts = [{ partNumber: 1, ...(await store.uploadPart("parts", id, 1, BODY)) }];
    fake.faults.add({ kind: "error-in-200", operation: "CompleteMultipartUpload" });
    await store.completeUpload("parts", id, parts);
    expect(await store.head("parts")).toMatchObject({ size: BODY.length });
  });

  it("leaves no request waiting when the store is closed", async () => {
    fake.faults.add({ kind: "hang", times: Number.POSITIVE_INFINITY });
    const waiting = store.head("file");
    const settled = expect(waiting).rejects.toMatchObject({ code: "io" });
    await expect.poll(() => fake.counts.operations.HeadObject).toBe(1);
    await store.close();
    await settled;
    await expect(store.head("file")).rejects.toMatchObject({ code: "io", message: "the store is closed" });
  });

  it("is left alone when the caller gives up", async () => {
    fake.faults.add({ kind: "hang", times: Number.POSITIVE_INFINITY });
    const abort = new AbortController();
    const waiting = store.read("file", 0, new Uint8Array(1), { signal: abort.signal });
    const settled = expect(waiting).rejects.toThrow("enough");
    await expect.poll(() => fake.counts.operations.GetObject).toBe(1);
    abort.abort(new Error("enough"));
    await settled;
    fake.faults.clear();
    await store.put("file", BODY, NO_ATTRIBUTES);
  });
});

describe("reads", () => {
  it("go on where the connection broke, on the same object", async () => {
    await store.put("file", BODY, NO_ATTRIBUTES);
    fake.faults.add({ kind: "cut", operation: "GetObject", times: 3 });
    const ranges: unknown[] = [];
    const sent = fake.counts.bytesOut;
    fake.onRequest = (operation) => void ranges.push(operation);
    expect((await readAll("file")).equals(BODY)).toBe(true);
    expect(ranges).toEqual(["GetObject", "GetObject", "GetObject", "GetObject"]);
    // A half, a quarter, an eighth and the rest: counted as announced, so less than twice the object.
    expect(fake.counts.bytesOut - sent).toBeLessThan(2 * BODY.length);
  });

  it("do not mix two objects", async () => {
    await store.put("file", BODY, NO_ATTRIBUTES);
    fake.faults.add({ kind: "cut", operation: "GetObject" });
    let gets = 0;
    fake.onRequest = async (operation) => {
      if (operation !== "GetObject" || ++gets !== 2) return;
      fake.onRequest = undefined;
      await store.put("file", bytes(BODY.length, 2), NO_ATTRIBUTES);
    };
    await expect(readAll("file")).rejects.toMatchObject({ code: "precondition" });
  });

  it("see another object even where the server ignores If-Match", async () => {
    fake.features.conditionalRead = false;
    const { etag } = await store.put("file", BODY, NO_ATTRIBUTES);
    await store.put("file", bytes(BODY.length, 2), NO_ATTRIBUTES);
    await expect(readAll("file", { ifMatch: etag })).rejects.toMatchObject({ code: "precondition" });
  });

  it("never return data that do not have their checksum", async () => {
    await store.put("file", BODY, NO_ATTRIBUTES);
    fake.faults.add({ kind: "corrupt", operation: "GetObject", times: 2 });
    expect((await readAll("file", { whole: true })).equals(BODY)).toBe(true);
    fake.faults.add({ kind: "corrupt", operation: "GetObject", times: 3 });
    await expect(readAll("file", { whole: true })).rejects.toMatchObject({ code: "checksum" });
  });

  it("check CRC64NVME, which AWS computes by itself", async () => {
    fake.features.defaultChecksum = true;
    fake.features.checksums = false; // of requests; answers have what the object has
    await store.put("file", BODY, NO_ATTRIBUTES);
    fake.features.checksums = true;
    expect(fake.bucket("bucket").find("file")?.checksums).toHaveProperty("CRC64NVME");
    expect((await readAll("file", { whole: true })).equals(BODY)).toBe(true);
    fake.faults.add({ kind: "corrupt", operation: "GetObject", times: 3 });
    await expect(readAll("file", { whole: true })).rejects.toMatchObject({ code: "checksum" });
  });

  it("are hedged when they are slow, within a budget", async () => {
    await store.put("file", BODY, NO_ATTRIBUTES);
    fake.faults.add({ kind: "hang", operation: "GetObject" });
    expect((await readAll("file")).equals(BODY)).toBe(true);
    expect(store.counts).toMatchObject({ get: 2, hedges: 1, retries: 0 });
    // One may be saved up at the start, and twenty reads earn another.
    fake.faults.add({ kind: "delay", delayMs: 1500, operation: "GetObject", times: 10 });
    await Promise.all(Array.from({ length: 10 }, () => store.read("file", 0, new Uint8Array(10))));
    expect(store.counts.hedges).toBe(1);
  });
});

describe("an answer that was lost", () => {
  it.each(["lost", "lost-error"] as const)("of a create (%s)", async (kind) => {
    fake.faults.add({ kind, operation: "PutObject" });
    const { etag } = await store.put("file", BODY, ATTRIBUTES, NONE);
    expect((await store.head("file")).etag).toBe(etag);
    expect(store.counts).toMatchObject({ put: 2, head: 2 });
  });

  it("of a replacement, also of an endpoint without checksums", async () => {
    fake.features.checksums = false;
    await store.probe("scratch/");
    const { etag } = await store.put("file", BODY, ATTRIBUTES);
    fake.faults.add({ kind: "lost", operation: "PutObject" });
    const changed = await store.put("file", bytes(1000, 5), ATTRIBUTES, { ifMatch: etag });
    expect(await store.head("file")).toMatchObject({ etag: changed.etag, size: 1000 });
  });

  it("does not hide that somebody else was first", async () => {
    for (const other of [bytes(BODY.length, 2), bytes(5), BODY]) {
      await store.remove("file");
      fake.faults.add({ kind: "reset", operation: "PutObject" });
      let puts = 0;
      const rival = await open();
      fake.onRequest = async (operation) => {
        if (operation !== "PutObject" || ++puts !== 2) return;
        fake.onRequest = undefined;
        await rival.put("file", other, { metadata: { owner: "rival" } });
      };
      await expect(store.put("file", BODY, ATTRIBUTES, NONE)).rejects.toMatchObject({ code: "precondition" });
    }
  });

  it("of a copy", async () => {
    await store.put("file", BODY, ATTRIBUTES);
    fake.faults.add({ kind: "lost", operation: "CopyObject" });
    const copied = await store.copy({ key: "file" }, "copy", undefined, NONE);
    fake.faults.add({ kind: "lost", operation: "CopyObject" });
    await store.copy({ key: "file" }, "copy", NO_ATTRIBUTES, { ifMatch: copied.etag });
    expect((await store.head("copy")).attributes.metadata).toEqual({});
  });

  it("of a removal", async () => {
    const { etag } = await store.put("file", BODY, ATTRIBUTES);
    fake.faults.add({ kind: "lost", operation: "DeleteObject" });
    await store.remove("file", { ifMatch: etag });
    await expect(store.head("file")).rejects.toMatchObject({ code: "not-found" });
  });

  it.each([true, false])("of a completion (the server remembers: %s)", async (repeatedCompletion) => {
    fake.features.repeatedCompletion = repeatedCompletion;
    const id = await store.createUpload("file", ATTRIBUTES);
    const parts = [{ partNumber: 1, ...(await store.uploadPart("file", id, 1, BODY)) }];
    fake.faults.add({ kind: "lost", operation: "CompleteMultipartUpload" });
    const { etag } = await store.completeUpload("file", id, parts, NONE);
    expect((await store.head("file")).etag).toBe(etag);
    expect(await store.completeUpload("file", id, parts, NONE)).toMatchObject({ etag });
  });
});

describe("requests", () => {
  it("are bounded, and so are connections", async () => {
    const narrow = await open({ concurrency: 5 });
    fake.latencyMs = 5;
    fake.counts.reset();
    await Promise.all(Array.from({ length: 50 }, (_, index) => narrow.put(`f${index}`, BODY, NO_ATTRIBUTES)));
    expect(fake.counts.mostRequests).toBe(5);
    expect(fake.counts.connections).toBeLessThanOrEqual(9);
  });

  it("keep their connection, whatever their method", async () => {
    fake.counts.reset();
    for (let index = 0; index < 5; index++) {
      await store.put("file", BODY, NO_ATTRIBUTES);
      await store.head("file");
      await readAll("file");
      await store.list({ prefix: "" });
      await store.remove("file");
      await expect(store.head("file")).rejects.toMatchObject({ code: "not-found" });
    }
    // The pool's next request may begin before its last has ended in every respect; HEADs have another pool.
    expect(fake.counts.connections).toBeLessThanOrEqual(3);
  });

  it("for one file do not keep another waiting", async () => {
    const narrow = await open({ concurrency: 2 });
    await narrow.put("big", BODY, NO_ATTRIBUTES);
    fake.latencyMs = 5;
    const order: string[] = [];
    const reads = Array.from({ length: 20 }, () =>
      narrow.read("big", 0, new Uint8Array(10)).then(() => order.push("big")),
    );
    const head = narrow.put("small", bytes(1), NO_ATTRIBUTES).then(() => order.push("small"));
    await Promise.all([...reads, head]);
    expect(order.indexOf("small")).toBeLessThan(8);
  });

  it("sign their bodies where nothing else protects them", async () => {
    const payloads: unknown[] = [];
    // Linux takes the address of all interfaces for this machine; the store does not.
    const distant = await openStore(`http://0.0.0.0:${fake.port}`);
    stores.push(distant);
    fake.onRequest = (_, __, { headers }) => void payloads.push(headers["x-amz-content-sha256"]);
    await distant.put("file", bytes(3), NO_ATTRIBUTES);
    await store.put("file", bytes(3), NO_ATTRIBUTES);
    expect(payloads).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/), "UNSIGNED-PAYLOAD"]);
  });
});
