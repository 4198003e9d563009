import { Readable } from "node:stream";
import {
  GetBucketAclCommand,
  GetObjectCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openS3Store } from "../../backends/s3/store/open-store.js";
import { type FakeS3, startFakeS3 } from "../support/s3/server.mjs";
import { bytes, CREDENTIALS, connectSdk } from "./support/connect.js";

let fake: FakeS3;
let sdk: S3Client;

beforeEach(async () => {
  fake = await startFakeS3({ buckets: ["bucket"] });
  sdk = connectSdk(fake.endpoint);
});
afterEach(async () => {
  sdk.destroy();
  await fake.close();
});

/** A PUT by AWS's client, with a change that its signature does not know of. */
function tamper(change: (request: { headers: Record<string, string>; body?: unknown }) => void) {
  const client = connectSdk(fake.endpoint);
  client.middlewareStack.add(
    (next) => (args) => {
      change(args.request as Parameters<typeof change>[0]);
      return next(args);
    },
    { step: "finalizeRequest", priority: "low" },
  );
  const body = { Bucket: "bucket", Key: "file", Body: "hello" };
  return client.send(new PutObjectCommand(body)).finally(() => client.destroy());
}

it("takes chunked bodies with trailers from AWS's client", async () => {
  const body = bytes(200_000);
  const chunks = Array.from({ length: 20 }, (_, index) =>
    body.subarray(index * 10_000, (index + 1) * 10_000),
  );
  const target = { Bucket: "bucket", Key: "file" };
  const Body = Readable.from(chunks);
  await sdk.send(
    new PutObjectCommand({ ...target, Body, ContentLength: body.length, ChecksumAlgorithm: "SHA256" }),
  );
  const found = await sdk.send(new GetObjectCommand({ ...target, ChecksumMode: "ENABLED" }));
  expect(Buffer.from((await found.Body?.transformToByteArray()) ?? []).equals(body)).toBe(true);
  expect(found.ChecksumSHA256).toBeDefined();
});

it("refuses what the signature does not cover", async () => {
  await expect(
    tamper(({ headers }) => {
      headers["x-amz-meta-added"] = "x";
    }),
  ).rejects.toMatchObject({ name: "AccessDenied" });
  await expect(
    tamper(({ headers }) => {
      headers["x-amz-checksum-crc32"] = "AAAAAA==";
    }),
  ).rejects.toMatchObject({ name: "SignatureDoesNotMatch" });
  await expect(
    tamper((request) => {
      request.body = "hallo";
    }),
  ).rejects.toMatchObject({ name: "XAmzContentSHA256Mismatch" });
  await expect(tamper(() => {})).resolves.toBeDefined();
});

it("refuses more metadata than S3 takes, and parts that are too small", async () => {
  const Metadata = { big: "x".repeat(2046) };
  await expect(
    sdk.send(new PutObjectCommand({ Bucket: "bucket", Key: "file", Body: "x", Metadata })),
  ).rejects.toMatchObject({ name: "MetadataTooLarge" });
  const store = await openS3Store({ bucket: "bucket", endpoint: fake.endpoint, credentials: CREDENTIALS });
  const id = await store.createUpload("file", { metadata: {} });
  const parts = [];
  for (const partNumber of [1, 2]) {
    parts.push({ partNumber, ...(await store.uploadPart("file", id, partNumber, bytes(10))) });
  }
  await expect(store.completeUpload("file", id, parts)).rejects.toThrow(/EntityTooSmall/);
  await expect(store.completeUpload("file", id, [...parts].reverse())).rejects.toThrow(/InvalidPartOrder/);
  await store.close();
});

it("lists a large directory page by page", async () => {
  const keys = function* (): Generator<string> {
    for (let index = 0; index < 200_000; index++) yield `dir/${String(index).padStart(7, "0")}`;
  };
  fake.bucket("bucket").addSynthetic(keys(), { size: 4096 });
  const first = await sdk.send(new ListObjectsV2Command({ Bucket: "bucket", Delimiter: "/" }));
  expect(first.CommonPrefixes).toEqual([{ Prefix: "dir/" }]);
  const last = await sdk.send(
    new ListObjectsV2Command({ Bucket: "bucket", Prefix: "dir/", StartAfter: "dir/0199000" }),
  );
  expect(last.Contents).toHaveLength(999);
  expect(last.IsTruncated).toBe(false);
});

it("lists with version 1 as with version 2, at most so many at once", async () => {
  const keys = ["a", "b c", "dir/1", "dir/2", "dir/3", "e", "z/1"];
  fake.bucket("bucket").addSynthetic(keys, { size: 1 });
  for (const Delimiter of [undefined, "/"]) {
    const found: (string | undefined)[] = [];
    let marker: string | undefined;
    let isTruncated = true;
    while (isTruncated) {
      const page = await sdk.send(
        new ListObjectsCommand({ Bucket: "bucket", Delimiter, Marker: marker, MaxKeys: 2 }),
      );
      const names = (page.Contents ?? []).map(({ Key }) => Key);
      names.push(...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix));
      found.push(...names.sort());
      isTruncated = page.IsTruncated === true;
      // Only a listing with a delimiter says where the next one begins.
      expect(page.NextMarker !== undefined).toBe(isTruncated && Delimiter !== undefined);
      marker = page.NextMarker ?? names.at(-1);
    }
    expect(found).toEqual(Delimiter === undefined ? keys : ["a", "b c", "dir/", "e", "z/"]);
  }
  await expect(sdk.send(new GetBucketAclCommand({ Bucket: "bucket" }))).rejects.toThrow(/not implemented/);
});
