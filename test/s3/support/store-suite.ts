import {
  GetObjectCommand,
  ListMultipartUploadsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  NO_ATTRIBUTES,
  type ObjectAttributes,
  type StoreFeatures,
} from "../../../backends/s3/store/object-store.js";
import type { S3StoreOptions } from "../../../backends/s3/store/open-store.js";
import type { S3Store } from "../../../backends/s3/store/s3-store.js";
import { bytes, connectSdk, createBucket, listAll, openStore, read, rejects } from "./connect.js";
import { describeUploads } from "./upload-suite.js";

/** Where servers may differ. */
export interface ServerTraits {
  readonly name: string;
  /** `storeEndpoint` is the store's, where that is another than the SDK's. */
  readonly start: () => Promise<{
    endpoint: string;
    storeEndpoint?: string;
    close: () => void | Promise<void>;
  }>;
  readonly features: StoreFeatures;
  /** Of the store. */
  readonly options?: Partial<S3StoreOptions>;
}

const FULL: ObjectAttributes = {
  metadata: { mode: "33188", uid: "1000", "with-dash": "a, b;c=d" },
  contentType: "text/plain; charset=utf-8",
  cacheControl: "max-age=60",
  contentDisposition: 'attachment; filename="x"',
  contentEncoding: "gzip",
  contentLanguage: "de",
  expires: "Wed, 21 Oct 2026 07:28:00 GMT",
};
const ODD_KEYS = [
  ..."plain|with space|plus+plus|100%|a%20b|ünïcödé|日本語|😀|\uff5e".split("|"),
  ...["quote\"and'", "<&>", "semi;colon,comma", "q?x=1&y=2#frag", "back\\slash", "tab\there", "new\nline"],
  ...[
    "dir/",
    "dir/child",
    "a//b",
    "./x",
    "../y",
    "x/../z",
    ".",
    "trailing.",
    "*()!~'",
    "[{}]|^`@:$=",
    "\u0001",
  ],
];

/** What an ObjectStore promises, on a server. */
export function describeStore({ name, start, features, options }: ServerTraits): void {
  describe(`the object store on ${name}`, () => {
    let server: Awaited<ReturnType<typeof start>>;
    let sdk: S3Client;
    let store: S3Store;
    let count = 0;
    /** A prefix of the test's own. */
    const fresh = () => `t${count++}/`;

    beforeAll(async () => {
      server = await start();
      sdk = connectSdk(server.endpoint);
      await createBucket(sdk, "bucket");
      await createBucket(sdk, "versions");
      store = await openStore(server.storeEndpoint ?? server.endpoint, options);
    });
    afterAll(async () => {
      await store?.close();
      sdk?.destroy();
      await server?.close();
    });

    it("finds out what the server honours and leaves nothing behind", async () => {
      expect(await store.probe("scratch/")).toEqual(features);
      expect((await store.list({ prefix: "scratch/" })).objects).toEqual([]);
      const uploads = await sdk.send(new ListMultipartUploadsCommand({ Bucket: "bucket" }));
      expect(uploads.Uploads ?? []).toEqual([]);
    });

    it("writes nothing to find out what a read-only share needs", async () => {
      const before = store.counts.put;
      const found = await store.probe(undefined);
      expect(found).toMatchObject({ versioned: false, writable: false, conditionalRead: true });
      expect(store.counts.put).toBe(before);
      await store.probe("scratch/");
    });

    it("keeps bytes and attributes, and AWS's client sees the same", async () => {
      const key = `${fresh()}file`;
      const body = bytes(100_000);
      const { etag } = await store.put(key, body, FULL);
      const info = await store.head(key);
      expect(info).toMatchObject({ key, size: body.length, etag, attributes: FULL, tagCount: 0 });
      expect(Math.abs(info.lastModifiedMs - Date.now())).toBeLessThan(60_000);

      const seen = await sdk.send(
        new GetObjectCommand({ Bucket: "bucket", Key: key, ChecksumMode: "ENABLED" }),
      );
      expect(Buffer.from((await seen.Body?.transformToByteArray()) ?? [])).toEqual(body);
      expect(seen.Metadata).toEqual(FULL.metadata);
      expect(seen).toMatchObject({
        ContentType: FULL.contentType,
        CacheControl: FULL.cacheControl,
        ETag: etag,
      });
      expect(seen.ChecksumCRC32C).toMatch(/^[\w+/]{6}==$/);
    });

    it("reads ranges, to the end and not beyond", async () => {
      const key = `${fresh()}file`;
      const body = bytes(10_000);
      const { etag } = await store.put(key, body, NO_ATTRIBUTES);
      expect(await read(store, key, 100, 50)).toEqual({
        ...{ length: 100, size: 10_000, etag, bytes: body.subarray(50, 150) },
      });
      expect(await read(store, key, 500, 9_900)).toMatchObject({ length: 100, bytes: body.subarray(9_900) });
      expect(await read(store, key, 10_000, 0, { whole: true })).toMatchObject({
        length: 10_000,
        bytes: body,
      });
      expect(await read(store, key, 20_000, 0, { whole: true })).toMatchObject({ size: 10_000, bytes: body });
      await rejects(read(store, key, 10, 10_000), "range");
      await rejects(read(store, key, 9_999, 0, { whole: true }), "precondition");
    });

    it("reads an empty object as a whole", async () => {
      const key = `${fresh()}empty`;
      const { etag } = await store.put(key, bytes(0), NO_ATTRIBUTES);
      expect(await read(store, key, 10, 0, { whole: true })).toMatchObject({ length: 0, size: 0, etag });
      await rejects(read(store, key, 10), "range");
    });

    it("reads the object that is meant or none", async () => {
      const key = `${fresh()}file`;
      const first = await store.put(key, bytes(1000, 1), NO_ATTRIBUTES);
      expect(await read(store, key, 10, 0, { ifMatch: first.etag })).toMatchObject({ length: 10 });
      const second = await store.put(key, bytes(1000, 2), NO_ATTRIBUTES);
      await rejects(read(store, key, 10, 0, { ifMatch: first.etag }), "precondition");
      await rejects(read(store, key, 1000, 0, { ifMatch: first.etag, whole: true }), "precondition");
      expect(await read(store, key, 10, 0, { ifMatch: second.etag })).toMatchObject({ length: 10 });
      await rejects(read(store, `${key}.none`, 10), "not-found");
      await rejects(store.head(`${key}.none`), "not-found");
    });

    it("changes an object only where the condition holds", async () => {
      const key = `${fresh()}file`;
      const none = { ifNoneMatch: "*" } as const;
      await rejects(store.put(key, bytes(1), NO_ATTRIBUTES, { ifMatch: '"0"' }), "precondition");
      const { etag } = await store.put(key, bytes(1), NO_ATTRIBUTES, none);
      await rejects(store.put(key, bytes(2), NO_ATTRIBUTES, none), "precondition");
      await rejects(store.put(key, bytes(2), NO_ATTRIBUTES, { ifMatch: '"0"' }), "precondition");
      expect(await store.head(key)).toMatchObject({ etag, size: 1 });
      const changed = await store.put(key, bytes(3), NO_ATTRIBUTES, { ifMatch: etag });
      await rejects(store.remove(key, { ifMatch: etag }), "precondition");
      expect(await store.head(key)).toMatchObject({ etag: changed.etag, size: 3 });
      await store.remove(key, { ifMatch: changed.etag });
      await rejects(store.head(key), "not-found");
      await store.remove(key, { ifMatch: etag });
      await store.remove(key);
    });

    it("lets one of many that create an object win", async () => {
      const key = `${fresh()}file`;
      const attempts = await Promise.allSettled(
        Array.from({ length: 20 }, (_, index) =>
          store.put(key, bytes(100, index), NO_ATTRIBUTES, { ifNoneMatch: "*" }),
        ),
      );
      const won = attempts.filter(({ status }) => status === "fulfilled");
      expect(won).toHaveLength(1);
      for (const attempt of attempts) {
        if (attempt.status === "rejected") expect(attempt.reason).toMatchObject({ code: "precondition" });
      }
      expect(won[0]).toMatchObject({ value: { etag: (await store.head(key)).etag } });
    });

    it("takes every key", async () => {
      const prefix = fresh();
      for (const [index, odd] of ODD_KEYS.entries()) {
        await store.put(prefix + odd, bytes(index + 1, index), NO_ATTRIBUTES);
      }
      for (const [index, odd] of ODD_KEYS.entries()) {
        const { bytes: found } = await read(store, prefix + odd, 100, 0, { whole: true });
        expect(found, odd).toEqual(bytes(index + 1, index));
      }
      const listed = await store.list({ prefix });
      const inOrder = ODD_KEYS.map((odd) => Buffer.from(prefix + odd)).sort(Buffer.compare);
      expect(listed.objects.map(({ key }) => key)).toEqual(inOrder.map(String));
      const copied = await store.copy({ key: `${prefix}plus+plus` }, `${prefix}to 😀+%`, undefined);
      expect(await store.head(`${prefix}to 😀+%`)).toMatchObject({ etag: copied.etag });
      const every = [...ODD_KEYS, "to 😀+%", "never was"].map((odd) => prefix + odd);
      expect(await store.removeMany(every)).toEqual([]);
      expect((await store.list({ prefix })).objects).toEqual([]);
    });

    it("lists in pages, with common prefixes", async () => {
      const prefix = fresh();
      const names = Array.from({ length: 25 }, (_, index) => `file${String(index).padStart(2, "0")}`);
      const inFolders = ["d1/a", "d1/b", "d2/a", "d2/b/c", "z/"];
      await Promise.all(
        [...names, ...inFolders].map((each) => store.put(prefix + each, bytes(each.length), NO_ATTRIBUTES)),
      );
      const expected = {
        keys: names.map((each) => prefix + each),
        prefixes: ["d1/", "d2/", "z/"].map((each) => prefix + each),
      };
      expect(await listAll(store, prefix)).toEqual(expected);
      expect(await listAll(store, prefix, 1)).toEqual(expected);
      expect(await listAll(store, prefix, 4)).toEqual(expected);
      const flat = await store.list({ prefix });
      expect(flat.objects).toHaveLength(names.length + inFolders.length);
      const [first] = flat.objects;
      const info = await store.head(`${prefix}d1/a`);
      expect(first).toMatchObject({ key: `${prefix}d1/a`, size: 4, etag: info.etag });
      expect(Math.abs((first?.lastModifiedMs ?? 0) - info.lastModifiedMs)).toBeLessThanOrEqual(1000);
      const behind = await store.list({ prefix, delimiter: "/", startAfter: `${prefix}file22` });
      expect(behind.objects.map(({ key }) => key)).toEqual([`${prefix}file23`, `${prefix}file24`]);
      expect(behind.commonPrefixes).toEqual([`${prefix}z/`]);
      expect(await store.list({ prefix: `${prefix}none/` })).toEqual({
        ...{ objects: [], commonPrefixes: [], continuationToken: undefined },
      });
    });

    it("copies with the attributes that are there, or with others", async () => {
      const prefix = fresh();
      const body = bytes(5000);
      const tagged = { ...FULL, tagging: "project=x&team=a%20b" };
      const { etag } = await store.put(`${prefix}from`, body, tagged);
      await store.copy({ key: `${prefix}from`, ifMatch: etag }, `${prefix}same`, undefined);
      expect(await store.head(`${prefix}same`)).toMatchObject({ size: 5000, attributes: FULL, tagCount: 2 });
      const other = { metadata: { mode: "33279" }, contentType: "text/html" };
      await store.copy({ key: `${prefix}from` }, `${prefix}other`, other);
      const { attributes } = await store.head(`${prefix}other`);
      expect(attributes).toMatchObject(other);
      expect(attributes.metadata).toEqual(other.metadata);
      await store.copy({ key: `${prefix}other` }, `${prefix}other`, FULL);
      expect(await store.head(`${prefix}other`)).toMatchObject({ attributes: FULL });
      expect(await read(store, `${prefix}other`, 5000, 0, { whole: true })).toMatchObject({ bytes: body });
      await rejects(
        store.copy({ key: `${prefix}from`, ifMatch: '"0"' }, `${prefix}x`, undefined),
        "precondition",
      );
      await rejects(store.copy({ key: `${prefix}none` }, `${prefix}x`, undefined), "not-found");
      await rejects(store.head(`${prefix}x`), "not-found");
    });

    it("keeps tags", async () => {
      const key = `${fresh()}file`;
      await store.put(key, bytes(1), { metadata: {}, tagging: "a=1&b=x%20y" });
      expect((await store.head(key)).tagCount).toBe(2);
      const tags = new URLSearchParams(await store.readTags(key));
      expect(Object.fromEntries(tags)).toEqual({ a: "1", b: "x y" });
    });

    it("reads old versions", async () => {
      const versions = await openStore(server.endpoint, { bucket: "versions" });
      await sdk.send(
        new PutBucketVersioningCommand({
          ...{ Bucket: "versions", VersioningConfiguration: { Status: "Enabled" } },
        }),
      );
      expect(await versions.probe(undefined)).toMatchObject({ versioned: true });
      const one = await versions.put("file", bytes(10, 1), NO_ATTRIBUTES);
      const two = await versions.put("file", bytes(20, 2), NO_ATTRIBUTES);
      expect(one.versionId).not.toBe(two.versionId);
      await versions.remove("file");
      await rejects(versions.head("file"), "not-found");
      const versionId = one.versionId ?? "";
      expect(await versions.head("file", { versionId })).toMatchObject({ size: 10, versionId });
      expect(await read(versions, "file", 10, 0, { versionId })).toMatchObject({ bytes: bytes(10, 1) });
      await versions.copy({ key: "file", versionId }, "back", undefined);
      expect(await versions.head("back")).toMatchObject({ size: 10 });
      await versions.close();
    });

    it("reads what others wrote, with checksums of every kind", async () => {
      const prefix = fresh();
      const body = bytes(70_000, 9);
      for (const kind of ["CRC32", "CRC32C", "SHA1", "SHA256"] as const) {
        await sdk.send(
          new PutObjectCommand({
            ...{ Bucket: "bucket", Key: prefix + kind, Body: body, ChecksumAlgorithm: kind },
          }),
        );
        const found = await read(store, prefix + kind, 70_000, 0, { whole: true });
        expect(found.bytes.equals(body), kind).toBe(true);
      }
    });

    it("says what is wrong with a request", async () => {
      await rejects(store.put("k".repeat(1025), bytes(1), NO_ATTRIBUTES), "key-too-long");
      const none = await openStore(server.endpoint, { bucket: "no-such-bucket" });
      await rejects(none.list({ prefix: "" }), "no-bucket");
      await rejects(none.put("x", bytes(1), NO_ATTRIBUTES), "no-bucket");
      await expect(none.probe(undefined)).rejects.toThrow(/the bucket no-such-bucket does not exist at http/);
      await none.close();
      const stranger = await openStore(server.endpoint, {
        credentials: { accessKeyId: "nobody", secretAccessKey: "unlikely-secret" },
      });
      await rejects(stranger.head("x"), "access");
      await expect(stranger.probe(undefined)).rejects.toThrow(/the credentials are wrong: .* the access key/);
      await stranger.close();
      const liar = await openStore(server.endpoint, {
        credentials: { accessKeyId: "testaccess", secretAccessKey: "unlikely-secret" },
      });
      await expect(liar.probe(undefined)).rejects.toThrow(/the secret key does not belong to the access key/);
      await liar.close();
      const anonymous = await openStore(server.endpoint, { anonymous: true });
      await expect(anonymous.probe(undefined)).rejects.toThrow(/do not allow to list the bucket/);
      await anonymous.close();
    });

    it("stops at once when the caller has no more interest", async () => {
      const abort = new AbortController();
      abort.abort(new Error("enough"));
      await expect(store.head("x", { signal: abort.signal })).rejects.toThrow("enough");
      await expect(read(store, "x", 1, 0, { signal: abort.signal })).rejects.toThrow("enough");
    });

    describeUploads({ store: () => store, sdk: () => sdk, fresh });

    it("counts its requests by class", async () => {
      const key = `${fresh()}file`;
      const before = { ...store.counts };
      await store.put(key, bytes(1), NO_ATTRIBUTES);
      await store.head(key);
      await read(store, key, 1);
      await store.list({ prefix: key });
      await store.remove(key);
      const names = Object.keys(before) as (keyof typeof before)[];
      const spent = names.filter((each) => store.counts[each] > before[each]);
      // Where the machine is slow, something may have been asked twice.
      expect(spent.filter((each) => each !== "hedges")).toEqual(["head", "get", "list", "put", "delete"]);
    });
  });
}
