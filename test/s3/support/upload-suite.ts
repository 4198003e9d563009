import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  type S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { describe, expect, it } from "vitest";
import { NO_ATTRIBUTES } from "../../../backends/s3/store/object-store.js";
import type { S3Store } from "../../../backends/s3/store/s3-store.js";
import { bytes, read, rejects } from "./connect.js";

const MIB = 2 ** 20;
const ATTRIBUTES = {
  metadata: { mode: "33188", uid: "1000" },
  contentType: "text/plain",
  cacheControl: "no-cache",
};

/** What an ObjectStore promises of multipart uploads. */
export function describeUploads({
  store,
  sdk,
  fresh,
}: {
  readonly store: () => S3Store;
  readonly sdk: () => S3Client;
  readonly fresh: () => string;
}): void {
  describe("uploads", () => {
    it("makes an object of parts", async () => {
      const key = `${fresh()}file`;
      const source = `${key}.source`;
      const [first, last] = [bytes(5 * MIB, 1), bytes(1000, 2)];
      const copied = bytes(6 * MIB, 3);
      const { etag } = await store().put(source, copied, NO_ATTRIBUTES);
      const id = await store().createUpload(key, ATTRIBUTES);
      expect(await store().listUploads(key)).toMatchObject([{ uploadId: id }]);
      const stale = { key: source, ifMatch: '"0"' };
      await rejects(store().copyPart(key, id, 2, stale, 0, 5 * MIB), "precondition");
      const parts = [
        { partNumber: 1, ...(await store().uploadPart(key, id, 1, first)) },
        {
          partNumber: 2,
          ...(await store().copyPart(key, id, 2, { key: source, ifMatch: etag }, 100, 5 * MIB)),
        },
        { partNumber: 4, ...(await store().uploadPart(key, id, 4, last)) },
      ];
      const sizes = [5 * MIB, 5 * MIB, 1000];
      const there = await store().listParts(key, id);
      expect(there.map(({ partNumber, size }) => ({ partNumber, size }))).toEqual(
        parts.map(({ partNumber }, index) => ({ partNumber, size: sizes[index] })),
      );
      expect(there.map((part) => part.etag.replaceAll('"', ""))).toEqual(
        parts.map((part) => part.etag.replaceAll('"', "")),
      );
      await rejects(store().head(key), "not-found");
      const done = await store().completeUpload(key, id, parts, { ifNoneMatch: "*" });
      expect(await store().head(key)).toMatchObject({
        etag: done.etag,
        size: 10 * MIB + 1000,
        attributes: ATTRIBUTES,
      });
      const whole = await read(store(), key, 11 * MIB, 0, { whole: true });
      expect(whole.bytes.equals(Buffer.concat([first, copied.subarray(100, 100 + 5 * MIB), last]))).toBe(
        true,
      );
      expect(await store().listUploads(key)).toEqual([]);
      const again = await store().completeUpload(key, id, parts, { ifNoneMatch: "*" });
      expect(again.etag).toBe(done.etag);
      await store().abortUpload(key, id);
    });

    it("ends an upload only where the condition holds", async () => {
      const key = `${fresh()}file`;
      const { etag } = await store().put(key, bytes(1), NO_ATTRIBUTES);
      const upload = async () => {
        const id = await store().createUpload(key, NO_ATTRIBUTES);
        return { id, parts: [{ partNumber: 1, ...(await store().uploadPart(key, id, 1, bytes(10))) }] };
      };
      const one = await upload();
      await rejects(store().completeUpload(key, one.id, one.parts, { ifNoneMatch: "*" }), "precondition");
      await rejects(store().completeUpload(key, one.id, one.parts, { ifMatch: '"0"' }), "precondition");
      expect((await store().head(key)).etag).toBe(etag);
      await store().completeUpload(key, one.id, one.parts, { ifMatch: etag });
      const two = await upload();
      await store().abortUpload(key, two.id);
      await store().abortUpload(key, two.id);
      await rejects(store().listParts(key, two.id), "no-upload");
      await rejects(store().uploadPart(key, two.id, 1, bytes(1)), "no-upload");
      await store().put(key, bytes(5), NO_ATTRIBUTES);
      await rejects(store().completeUpload(key, two.id, two.parts), "no-upload");
    });

    it("reads an object of parts whose checksum is one of checksums", async () => {
      const target = { Bucket: "bucket", Key: `${fresh()}file` };
      const ChecksumAlgorithm = "CRC32";
      const { UploadId } = await sdk().send(
        new CreateMultipartUploadCommand({ ...target, ChecksumAlgorithm }),
      );
      const part = { ...target, UploadId, ChecksumAlgorithm } as const;
      const bodies = [bytes(5 * MIB, 4), bytes(100, 5)];
      const Parts = [];
      for (const [index, Body] of bodies.entries()) {
        const PartNumber = index + 1;
        const { ETag, ChecksumCRC32 } = await sdk().send(
          new UploadPartCommand({ ...part, PartNumber, Body }),
        );
        Parts.push({ PartNumber, ETag, ChecksumCRC32 });
      }
      await sdk().send(
        new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts } }),
      );
      const found = await read(store(), target.Key, 6 * MIB, 0, { whole: true });
      expect(found.bytes.equals(Buffer.concat(bodies))).toBe(true);
    });
  });
}
