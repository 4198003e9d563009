// @ts-check
// Requests on buckets and on whole objects.
import { toBytes } from "./bucket.mjs";
import { checksum } from "./checksums.mjs";
import { checkRead, checkSource, checkWrite } from "./conditions.mjs";
import { Data } from "./data.mjs";
import { invalidArgument, noSuchKey, S3Error } from "./error.mjs";
import { isoSeconds } from "./listing.mjs";
import { encodeUri } from "./signature.mjs";
import { element, findText, xmlDocument } from "./xml.mjs";

/** @typedef {import("./bucket.mjs").Version} Version */

/**
 * @typedef {object} Context
 * @property {import("./server.mjs").Features} features
 * @property {import("./server.mjs").Limits} limits
 * @property {import("./bucket.mjs").Bucket} bucket
 * @property {ReadonlyMap<string, import("./bucket.mjs").Bucket>} buckets
 * @property {string} key Bytes as latin1.
 * @property {ReadonlyMap<string, string>} query Bytes as latin1.
 * @property {import("node:http").IncomingHttpHeaders} headers
 * @property {import("./body.mjs").Body} body
 */

/**
 * @typedef {object} Answer
 * @property {number} [status] Default: 200.
 * @property {Record<string, string>} [headers]
 * @property {string | Iterable<Buffer>} [body]
 * @property {number} [length] Of an iterable body, or of what HEAD does not send.
 */

const MAX_METADATA_BYTES = 2048;
const MAX_KEY_BYTES = 1024;
export const MAX_COPY_BYTES = 5 * 2 ** 30;
const STORED_HEADERS = [
  "content-type",
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "expires",
  "x-amz-website-redirect-location",
];

/** @param {Context["headers"]} headers @param {string} name */
export function header(headers, name) {
  const value = headers[name];
  return Array.isArray(value) ? value.join(",") : value;
}

/**
 * What a request says about the object it makes.
 *
 * @param {Context} context
 * @returns {Omit<Version, "data" | "etag" | "lastModified">}
 */
export function readAttributes({ headers, key }) {
  if (key.length > MAX_KEY_BYTES) throw new S3Error(400, "KeyTooLongError", "Your key is too long");
  /** @type {Record<string, string>} */
  const stored = {};
  let metadataBytes = 0;
  for (const name of Object.keys(headers)) {
    const value = header(headers, name) ?? "";
    if (name.startsWith("x-amz-meta-")) {
      metadataBytes += name.length - "x-amz-meta-".length + value.length;
      stored[name] = value;
    } else if (STORED_HEADERS.includes(name)) {
      const kept = name === "content-encoding" ? value.replace(/(^|, *)aws-chunked(, *|$)/, "") : value;
      if (kept !== "") stored[name] = kept;
    }
  }
  if (metadataBytes > MAX_METADATA_BYTES) {
    throw new S3Error(
      400,
      "MetadataTooLarge",
      "Your metadata headers exceed the maximum allowed metadata size",
    );
  }
  stored["content-type"] ??= "binary/octet-stream";
  return {
    headers: stored,
    storageClass: header(headers, "x-amz-storage-class") ?? "STANDARD",
    tagging: header(headers, "x-amz-tagging") ?? "",
    checksums: {},
    checksumType: "FULL_OBJECT",
  };
}

/** @param {Version} version */
export function versionHeaders({ versionId }) {
  return versionId === undefined ? {} : { "x-amz-version-id": versionId };
}

/** @param {import("./body.mjs").Checksums} checksums */
export function checksumHeaders(checksums) {
  return Object.fromEntries(
    Object.entries(checksums).map(([kind, value]) => [`x-amz-checksum-${kind.toLowerCase()}`, value]),
  );
}

/** @param {import("./body.mjs").Checksums} checksums */
export function checksumElements(checksums) {
  return Object.entries(checksums)
    .map(([kind, value]) => element(`Checksum${kind}`, value))
    .join("");
}

/** @param {Context} context @returns {Answer} */
export function putObject(context) {
  const { bucket, key, headers, body, features } = context;
  const attributes = readAttributes(context);
  checkWrite(bucket, key, headers, features);
  const data = Data.from(body.chunks);
  const checksums = body.checksums;
  if (features.defaultChecksum && Object.keys(checksums).length === 0) {
    checksums.CRC64NVME = checksum("CRC64NVME", data.read());
  }
  const etag = `"${data.md5().toString("hex")}"`;
  const version = bucket.put(key, { ...attributes, data, etag, lastModified: Date.now(), checksums });
  return { headers: { etag, ...versionHeaders(version), ...checksumHeaders(checksums) } };
}

/** @param {Context} context @returns {Version} */
function findVersion({ bucket, key, query }) {
  const versionId = query.get("versionId");
  const version = bucket.find(key, versionId);
  if (version === undefined) {
    if (versionId === undefined) throw noSuchKey();
    throw new S3Error(404, "NoSuchVersion", "The specified version does not exist.");
  }
  if (version.deleteMarker === true) {
    if (versionId === undefined) throw noSuchKey();
    throw new S3Error(405, "MethodNotAllowed", "The specified method is not allowed against this resource.");
  }
  return version;
}

/** @param {Version} version @param {Context} context @param {boolean} whole */
function objectHeaders(version, { headers, features }, whole) {
  const { etag, lastModified, storageClass, tagging, checksums } = version;
  /** @type {Record<string, string>} */
  const answer = {
    ...version.headers,
    etag,
    "last-modified": new Date(lastModified).toUTCString(),
    "accept-ranges": "bytes",
    ...versionHeaders(version),
  };
  if (storageClass !== "STANDARD") answer["x-amz-storage-class"] = storageClass;
  if (tagging !== "") answer["x-amz-tagging-count"] = String(tagging.split("&").length);
  if (whole && features.checksums && header(headers, "x-amz-checksum-mode") === "ENABLED") {
    Object.assign(answer, checksumHeaders(checksums), { "x-amz-checksum-type": version.checksumType });
  }
  return answer;
}

/**
 * @param {string | undefined} range
 * @param {number} size
 * @returns {{start: number, end: number} | undefined} Undefined: the whole object.
 */
export function parseRange(range, size) {
  const parts = /^bytes=(\d*)-(\d*)$/.exec(range ?? "");
  if (parts === null || (parts[1] === "" && parts[2] === "")) return undefined;
  const suffix = parts[1] === "";
  const start = suffix ? Math.max(0, size - Number(parts[2])) : Number(parts[1]);
  const end = suffix || parts[2] === "" ? size : Math.min(size, Number(parts[2]) + 1);
  if (start >= size || start >= end) {
    throw new S3Error(416, "InvalidRange", "The requested range is not satisfiable", {
      ActualObjectSize: String(size),
    });
  }
  return { start, end };
}

/** @param {Context} context @returns {Answer} */
export function getObject(context) {
  const { headers, features } = context;
  const version = findVersion(context);
  const notModified = checkRead(version, headers, features);
  if (notModified) return { status: 304, headers: { etag: version.etag } };
  if (version.storageClass === "GLACIER" || version.storageClass === "DEEP_ARCHIVE") {
    throw new S3Error(403, "InvalidObjectState", "The operation is not valid for the object's storage class");
  }
  const { size } = version.data;
  const range = parseRange(header(headers, "range"), size);
  const { start, end } = range ?? { start: 0, end: size };
  const answer = objectHeaders(version, context, range === undefined);
  if (range !== undefined) answer["content-range"] = `bytes ${start}-${end - 1}/${size}`;
  const body = version.data.read(start, end);
  return { status: range === undefined ? 200 : 206, headers: answer, body, length: end - start };
}

/** @param {Context} context @returns {Answer} */
export function headObject(context) {
  const version = findVersion(context);
  if (checkRead(version, context.headers, context.features)) return { status: 304 };
  return { headers: objectHeaders(version, context, true), length: version.data.size };
}

/** @param {Context} context @returns {Answer} */
export function deleteObject({ bucket, key, query, headers, features }) {
  if (features.conditionalDelete) checkWrite(bucket, key, headers, { ...features, replaceOnly: true });
  const removed = bucket.remove(key, query.get("versionId"));
  /** @type {Record<string, string>} */
  const answer = {};
  if (removed?.versionId !== undefined) answer["x-amz-version-id"] = removed.versionId;
  if (removed?.deleteMarker === true) answer["x-amz-delete-marker"] = "true";
  return { status: 204, headers: answer };
}

/**
 * The object that x-amz-copy-source names, its conditions checked.
 *
 * @param {Context} context
 * @returns {{bucket: string, key: string, version: Version}}
 */
export function findCopySource({ buckets, headers, features }) {
  const [path = "", search = ""] = (header(headers, "x-amz-copy-source") ?? "").split("?");
  const decoded = toBytes(decodeURIComponent(path.replace(/^\//, "")));
  const slash = decoded.indexOf("/");
  if (slash <= 0) throw invalidArgument("Copy Source must mention the source bucket and key");
  const bucket = buckets.get(decoded.slice(0, slash));
  const key = decoded.slice(slash + 1);
  const versionId = new URLSearchParams(search).get("versionId") ?? undefined;
  const version = bucket?.find(key, versionId);
  if (bucket === undefined || version === undefined || version.deleteMarker === true) throw noSuchKey();
  checkSource(version, headers, features);
  return { bucket: bucket.name, key, version };
}

/** @param {Context} context @returns {Answer} */
export function copyObject(context) {
  const { bucket, key, headers, features, limits } = context;
  const source = findCopySource(context);
  const replaces = header(headers, "x-amz-metadata-directive") === "REPLACE";
  if (source.version.data.size > MAX_COPY_BYTES) {
    throw new S3Error(
      400,
      "InvalidRequest",
      `The specified copy source is larger than the maximum allowable size for a copy source: ${MAX_COPY_BYTES}`,
    );
  }
  const asked = readAttributes(context);
  if (
    !replaces &&
    source.bucket === bucket.name &&
    source.key === key &&
    asked.storageClass === source.version.storageClass
  ) {
    const message =
      "This copy request is illegal because it is trying to copy an object to itself without changing it.";
    throw new S3Error(400, "InvalidRequest", message);
  }
  if (features.conditionalCopyTarget) {
    checkWrite(bucket, key, headers, { ...features, createOnly: true, replaceOnly: true });
  }
  const { data, checksums, checksumType } = source.version;
  const multipart = source.version.etag.includes("-");
  const etag = multipart ? `"${data.md5(limits.verifiedBytes).toString("hex")}"` : source.version.etag;
  const kept = replaces ? asked.headers : source.version.headers;
  const tagging =
    header(headers, "x-amz-tagging-directive") === "REPLACE" ? asked.tagging : source.version.tagging;
  const version = bucket.put(key, {
    ...{ data, etag, headers: kept, tagging, storageClass: asked.storageClass },
    ...{ lastModified: Date.now(), checksumType: "FULL_OBJECT" },
    checksums: checksumType === "FULL_OBJECT" ? checksums : {},
  });
  const result = element("ETag", etag) + element("LastModified", isoSeconds(version.lastModified));
  return {
    headers: versionHeaders(version),
    body: xmlDocument("CopyObjectResult", result + checksumElements(version.checksums)),
  };
}

/** @param {Context} context @returns {Answer} */
export function getTagging(context) {
  const { tagging } = findVersion(context);
  const tags = [...new URLSearchParams(tagging)].map(
    ([name, value]) => `<Tag>${element("Key", name)}${element("Value", value)}</Tag>`,
  );
  return { body: xmlDocument("Tagging", `<TagSet>${tags.join("")}</TagSet>`) };
}

/** @param {Context} context @returns {Answer} */
export function getVersioning({ bucket }) {
  return { body: xmlDocument("VersioningConfiguration", element("Status", bucket.versioning)) };
}

/** @param {Context} context @returns {Answer} */
export function putVersioning({ bucket, body }) {
  const status = findText(Buffer.concat(body.chunks).toString(), "Status");
  if (status !== "Enabled" && status !== "Suspended")
    throw invalidArgument("Status must be Enabled or Suspended");
  bucket.versioning = status;
  return {};
}

/**
 * @param {import("./checksums.mjs").ChecksumKind | undefined} kind
 * @param {Data} data
 * @returns {import("./body.mjs").Checksums}
 */
export function computeChecksums(kind, data) {
  return kind === undefined ? {} : { [kind]: checksum(kind, data.read()) };
}

/** @param {string} key */
export const locationOf = (key) => `/${encodeUri(key, true)}`;
