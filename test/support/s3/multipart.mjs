// @ts-check
import { createHash, randomBytes } from "node:crypto";
import { toText } from "./bucket.mjs";
import { combineCrc } from "./checksums.mjs";
import { checkWrite } from "./conditions.mjs";
import { Data } from "./data.mjs";
import { invalidArgument, noSuchUpload, S3Error } from "./error.mjs";
import { isoSeconds } from "./listing.mjs";
import * as ops from "./operations.mjs";
import { element, findElements, findText, xmlDocument } from "./xml.mjs";

/** @typedef {ops.Context} Context */
/** @typedef {ops.Answer} Answer */
/** @typedef {import("./bucket.mjs").Upload} Upload */
/** @typedef {import("./bucket.mjs").Part} Part */
/** @typedef {import("./checksums.mjs").ChecksumKind} ChecksumKind */

const MAX_PARTS = 10_000;

/** @param {Context} context @returns {Answer} */
export function createUpload(context) {
  const { bucket, key, headers, features } = context;
  const attributes = ops.readAttributes(context);
  const kind = ops.header(headers, "x-amz-checksum-algorithm");
  const type = ops.header(headers, "x-amz-checksum-type");
  const crc = kind?.startsWith("CRC") === true;
  if (type === "FULL_OBJECT" && !crc) {
    throw new S3Error(
      400,
      "InvalidRequest",
      "The FULL_OBJECT checksum type cannot be used with this algorithm.",
    );
  }
  attributes.checksumType = type === "FULL_OBJECT" || kind === "CRC64NVME" ? "FULL_OBJECT" : "COMPOSITE";
  const id = randomBytes(24).toString("base64url");
  const checksumKind = features.checksums ? /** @type {ChecksumKind | undefined} */ (kind) : undefined;
  bucket.uploads.set(id, { key, initiated: Date.now(), attributes, checksumKind, parts: new Map() });
  const result = element("Bucket", bucket.name) + element("Key", toText(key)) + element("UploadId", id);
  return { body: xmlDocument("InitiateMultipartUploadResult", result) };
}

/** @param {Context} context @returns {{id: string, upload: Upload}} */
function findUpload({ bucket, key, query }) {
  const id = query.get("uploadId") ?? "";
  const upload = bucket.uploads.get(id);
  if (upload === undefined || upload.key !== key) throw noSuchUpload();
  return { id, upload };
}

/** @param {Context} context */
function partNumberOf({ query }) {
  const number = Number(query.get("partNumber"));
  if (!Number.isInteger(number) || number < 1 || number > MAX_PARTS) {
    throw invalidArgument(`Part number must be an integer between 1 and ${MAX_PARTS}, inclusive`);
  }
  return number;
}

/**
 * @param {Context} context
 * @param {Data} data
 * @param {import("./body.mjs").Checksums} checksums
 * @returns {Part}
 */
function addPart(context, data, checksums) {
  const { upload } = findUpload(context);
  const etag = `"${data.md5(context.limits.verifiedBytes).toString("hex")}"`;
  const part = { data, etag, lastModified: Date.now(), checksums };
  upload.parts.set(partNumberOf(context), part);
  return part;
}

/** @param {Context} context @returns {Answer} */
export function uploadPart(context) {
  const { body } = context;
  const { checksumKind } = findUpload(context).upload;
  if (checksumKind !== undefined && body.checksums[checksumKind] === undefined) {
    throw new S3Error(
      400,
      "InvalidRequest",
      `Checksum Type mismatch occurred, expected checksum Type: ${checksumKind}`,
    );
  }
  const { etag } = addPart(context, Data.from(body.chunks), body.checksums);
  return { headers: { etag, ...ops.checksumHeaders(body.checksums) } };
}

/** @param {Context} context @returns {Answer} */
export function uploadPartCopy(context) {
  const { headers, features } = context;
  if (!features.partCopy) {
    throw new S3Error(
      501,
      "NotImplemented",
      "A header you provided implies functionality that is not implemented.",
    );
  }
  const { checksumKind } = findUpload(context).upload;
  const { data } = ops.findCopySource(context).version;
  const asked = ops.header(headers, "x-amz-copy-source-range");
  const range = asked === undefined ? { start: 0, end: data.size } : ops.parseRange(asked, data.size);
  if (range === undefined || (asked !== undefined && Number(asked.split("-")[1]) >= data.size)) {
    throw invalidArgument(
      "The x-amz-copy-source-range value must be of the form bytes=first-last within the source",
    );
  }
  const copied = data.slice(range.start, range.end);
  const part = addPart(context, copied, ops.computeChecksums(checksumKind, copied));
  const result = element("ETag", part.etag) + element("LastModified", isoSeconds(part.lastModified));
  return { body: xmlDocument("CopyPartResult", result + ops.checksumElements(part.checksums)) };
}

/**
 * The parts that a completion names, checked.
 *
 * @param {Context} context
 * @param {Upload} upload
 * @returns {Part[]}
 */
function chooseParts({ body, limits }, upload) {
  let last = 0;
  const parts = findElements(Buffer.concat(body.chunks).toString(), "Part").map((xml) => {
    const number = Number(findText(xml, "PartNumber"));
    if (number <= last)
      throw new S3Error(400, "InvalidPartOrder", "The list of parts was not in ascending order.");
    last = number;
    const part = upload.parts.get(number);
    const etag = findText(xml, "ETag")?.replaceAll('"', "");
    const kind = upload.checksumKind;
    const given = kind === undefined ? undefined : findText(xml, `Checksum${kind}`);
    const missing =
      kind !== undefined && given === undefined && upload.attributes.checksumType === "COMPOSITE";
    const wrong = kind !== undefined && given !== undefined && given !== part?.checksums[kind];
    if (part === undefined || part.etag.replaceAll('"', "") !== etag || missing || wrong) {
      throw new S3Error(400, "InvalidPart", "One or more of the specified parts could not be found.");
    }
    return part;
  });
  if (parts.length === 0) throw new S3Error(400, "MalformedXML", "The XML you provided was not well-formed.");
  if (parts.slice(0, -1).some(({ data }) => data.size < limits.minPartBytes)) {
    throw new S3Error(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size");
  }
  return parts;
}

/**
 * @param {Upload} upload
 * @param {readonly Part[]} parts
 * @returns {import("./body.mjs").Checksums}
 */
function checksumOfParts({ checksumKind: kind, attributes }, parts) {
  if (kind === undefined) return {};
  const sums = parts.map(({ checksums }) => checksums[kind] ?? "");
  if (attributes.checksumType === "COMPOSITE") {
    const joined = Buffer.concat(sums.map((sum) => Buffer.from(sum, "base64")));
    return { [kind]: `${ops.computeChecksums(kind, Data.from([joined]))[kind]}-${parts.length}` };
  }
  const crc = /** @type {"CRC32" | "CRC32C" | "CRC64NVME"} */ (kind);
  const whole = parts
    .slice(1)
    .reduce((sum, { data }, index) => combineCrc(crc, sum, sums[index + 1] ?? "", data.size), sums[0] ?? "");
  return { [kind]: whole };
}

/** @param {readonly Part[]} parts */
function etagOfParts(parts) {
  const hash = createHash("md5");
  for (const { etag } of parts) hash.update(Buffer.from(etag.replaceAll('"', ""), "hex"));
  return `"${hash.digest("hex")}-${parts.length}"`;
}

/** @param {Context} context @returns {Answer} */
export function completeUpload(context) {
  const { bucket, key, headers, features, query } = context;
  const before = bucket.completed.get(query.get("uploadId") ?? "");
  if (before !== undefined && before.key === key) return completed(context, before.version);
  const { id, upload } = findUpload(context);
  const parts = chooseParts(context, upload);
  checkWrite(bucket, key, headers, features);
  const version = bucket.put(key, {
    ...upload.attributes,
    data: Data.join(parts.map(({ data }) => data)),
    etag: etagOfParts(parts),
    lastModified: Date.now(),
    checksums: checksumOfParts(upload, parts),
  });
  bucket.uploads.delete(id);
  if (features.repeatedCompletion) bucket.rememberCompletion(id, key, version);
  return completed(context, version);
}

/** @param {Context} context @param {import("./bucket.mjs").Version} version @returns {Answer} */
function completed({ bucket, key }, version) {
  const result = [
    element("Location", ops.locationOf(key)),
    element("Bucket", bucket.name),
    element("Key", toText(key)),
    element("ETag", version.etag),
    ops.checksumElements(version.checksums),
  ];
  return {
    headers: ops.versionHeaders(version),
    body: xmlDocument("CompleteMultipartUploadResult", result.join("")),
  };
}

/** @param {Context} context @returns {Answer} */
export function abortUpload(context) {
  context.bucket.uploads.delete(findUpload(context).id);
  return { status: 204 };
}

/** @param {Context} context @returns {Answer} */
export function listParts(context) {
  const { bucket, key, query } = context;
  const { id, upload } = findUpload(context);
  const after = Number(query.get("part-number-marker") ?? 0);
  const limit = Math.min(Number(query.get("max-parts") ?? 1000), 1000);
  const behind = [...upload.parts].filter(([number]) => number > after).sort(([a], [b]) => a - b);
  const page = behind.slice(0, limit);
  const parts = page.map(
    ([number, part]) =>
      `<Part>${element("PartNumber", number)}${element("LastModified", isoSeconds(part.lastModified))}${element("ETag", part.etag)}${element("Size", part.data.size)}${ops.checksumElements(part.checksums)}</Part>`,
  );
  const head = [
    element("Bucket", bucket.name),
    element("Key", toText(key)),
    element("UploadId", id),
    element("PartNumberMarker", after),
    element("NextPartNumberMarker", page.at(-1)?.[0] ?? 0),
    element("MaxParts", limit),
    element("IsTruncated", behind.length > limit),
  ];
  return { body: xmlDocument("ListPartsResult", head.join("") + parts.join("")) };
}
