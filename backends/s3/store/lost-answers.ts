// Was it us? A conditional change whose answer was lost fails when it is tried again, for the object is no longer
// what the condition says. Here the object that is there is compared with what the change would have made.
import { createHash } from "node:crypto";
import { headerText, readAttributes } from "./attributes.js";
import { CHECKSUM_HEADER, checksumOf } from "./checksum.js";
import type { CopySource, ObjectAttributes, PutResult, UploadedPart } from "./object-store.js";
import { readPutHeaders } from "./replies.js";
import type { S3Client, S3Reply } from "./s3-client.js";

async function headWithChecksum(
  client: S3Client,
  key: string,
  versionId?: string,
): Promise<S3Reply | undefined> {
  const headers = () => ["x-amz-checksum-mode", "ENABLED"];
  const reply = await client.send({ class: "head", method: "HEAD", key, query: { versionId }, headers });
  return reply.failure === undefined ? reply : undefined;
}

function sameMetadata(one: ObjectAttributes, other: ObjectAttributes): boolean {
  const names = Object.keys(one.metadata);
  return (
    names.length === Object.keys(other.metadata).length &&
    names.every((name) => one.metadata[name] === other.metadata[name])
  );
}

/** The object, if it has these bytes and this metadata. */
export async function findWritten(
  client: S3Client,
  key: string,
  body: Uint8Array,
  attributes: ObjectAttributes,
): Promise<PutResult | undefined> {
  const found = await headWithChecksum(client, key);
  if (found === undefined || Number(found.headers["content-length"]) !== body.length) return undefined;
  const result = readPutHeaders(found.headers);
  const checksum = headerText(found.headers, CHECKSUM_HEADER);
  const same =
    checksum !== undefined
      ? checksum === checksumOf(body)
      : result.etag === `"${createHash("md5").update(body).digest("hex")}"`;
  return same && sameMetadata(attributes, readAttributes(found.headers)) ? result : undefined;
}

/** The target, if it is the same as the source. */
export async function findCopied(
  client: S3Client,
  source: CopySource,
  target: string,
  attributes: ObjectAttributes | undefined,
): Promise<PutResult | undefined> {
  const [from, to] = await Promise.all([
    headWithChecksum(client, source.key, source.versionId),
    headWithChecksum(client, target),
  ]);
  if (from === undefined || to === undefined) return undefined;
  const same = (name: string) =>
    from.headers[name] !== undefined && headerText(from.headers, name) === headerText(to.headers, name);
  const expected = attributes ?? readAttributes(from.headers);
  const isCopy =
    same("content-length") &&
    (same("etag") || same(CHECKSUM_HEADER) || same("x-amz-checksum-crc64nvme")) &&
    sameMetadata(expected, readAttributes(to.headers));
  return isCopy ? readPutHeaders(to.headers) : undefined;
}

/** The object, if it is made of these parts: its ETag is the MD5 of theirs. */
export async function findCompleted(
  client: S3Client,
  key: string,
  parts: readonly UploadedPart[],
): Promise<PutResult | undefined> {
  const hash = createHash("md5");
  for (const { etag } of parts) hash.update(Buffer.from(etag.replaceAll('"', ""), "hex"));
  const found = await headWithChecksum(client, key);
  if (found === undefined) return undefined;
  const result = readPutHeaders(found.headers);
  return result.etag === `"${hash.digest("hex")}-${parts.length}"` ? result : undefined;
}
