// @ts-check
import { toText } from "./bucket.mjs";
import { invalidArgument, S3Error } from "./error.mjs";
import { element, findElements, findText, xmlDocument } from "./xml.mjs";

/** @typedef {import("./operations.mjs").Context} Context */
/** @typedef {import("./operations.mjs").Answer} Answer */

const MAX_KEYS = 1000;
/** Behind every key that begins with a prefix: no byte of UTF-8 is 0xff. */
const AFTER_PREFIX = "\xff";

/**
 * @param {string} bytes
 * @param {Context} context
 */
function encodeKey(bytes, { query }) {
  if (query.get("encoding-type") !== "url") return toText(bytes);
  return encodeURIComponent(toText(bytes))
    .replace(/[!'()~]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%2F", "/")
    .replaceAll("%20", "+");
}

/** @param {number} timeMs */
export function isoSeconds(timeMs) {
  return new Date(Math.floor(timeMs / 1000) * 1000).toISOString();
}

/** @param {string | undefined} token */
function decodeToken(token) {
  if (token === undefined) return undefined;
  const text = Buffer.from(token, "base64url").toString("latin1");
  if (!text.startsWith("1")) throw invalidArgument("The continuation token provided is incorrect");
  return text.slice(1);
}

/** @param {string} key A key, or a prefix with AFTER_PREFIX: go on behind it. */
const encodeToken = (key) => Buffer.from(`1${key}`, "latin1").toString("base64url");

/**
 * Where a listing of version 1 goes on. A marker that is a common prefix stands for all that it folds.
 *
 * @param {Context["query"]} query
 * @returns {string}
 */
function readMarker(query) {
  const marker = query.get("marker") ?? "";
  const prefix = query.get("prefix") ?? "";
  const delimiter = query.get("delimiter") ?? "";
  if (delimiter === "" || !marker.startsWith(prefix)) return marker;
  const end = marker.indexOf(delimiter, prefix.length);
  return end >= 0 && end + delimiter.length === marker.length ? marker + AFTER_PREFIX : marker;
}

/** @param {string | undefined} text */
function readMaxKeys(text = String(MAX_KEYS)) {
  if (!/^\d+$/.test(text)) throw invalidArgument("Provided max-keys not an integer or within integer range");
  return Math.min(Number(text), MAX_KEYS);
}

/**
 * @param {Context} context
 * @param {string} after What came last, or "".
 * @returns {{objects: [string, import("./bucket.mjs").Version][], prefixes: string[], last: string | undefined}} `last`
 *   is a key, or a prefix with AFTER_PREFIX; undefined when nothing follows.
 */
function collect({ bucket, query }, after) {
  const prefix = query.get("prefix") ?? "";
  const delimiter = query.get("delimiter") ?? "";
  const limit = readMaxKeys(query.get("max-keys"));
  /** @type {ReturnType<typeof collect>} */
  const page = { objects: [], prefixes: [], last: undefined };
  if (limit === 0) return page;

  const start = after === "" ? prefix : `${after}\0`;
  const entries = bucket.entries(start < prefix ? prefix : start);
  let last = "";
  for (let step = entries.next(); step.done !== true; ) {
    const [key, version] = step.value;
    if (!key.startsWith(prefix)) break;
    if (page.objects.length + page.prefixes.length === limit) {
      page.last = last;
      break;
    }
    const end = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    if (end < 0) {
      page.objects.push([key, version]);
      last = key;
      step = entries.next();
    } else {
      const common = key.slice(0, end + delimiter.length);
      page.prefixes.push(common);
      last = common + AFTER_PREFIX;
      step = entries.next(last);
    }
  }
  return page;
}

/**
 * The document of a listing of either version; `own` are the elements that only this version has.
 *
 * @param {Context} context
 * @param {Pick<ReturnType<typeof collect>, "objects" | "prefixes">} page
 * @param {{own: readonly string[], owner: string}} version
 * @returns {Answer}
 */
function listDocument(context, { objects, prefixes }, { own, owner }) {
  const { bucket, query } = context;
  const contents = objects.map(
    ([key, { data, etag, lastModified, storageClass }]) =>
      `<Contents>${element("Key", encodeKey(key, context))}${element("LastModified", isoSeconds(lastModified))}${element("ETag", etag)}${element("Size", data.size)}${owner}${element("StorageClass", storageClass)}</Contents>`,
  );
  const common = prefixes.map(
    (prefix) => `<CommonPrefixes>${element("Prefix", encodeKey(prefix, context))}</CommonPrefixes>`,
  );
  const head = [
    element("Name", bucket.name),
    element("Prefix", encodeKey(query.get("prefix") ?? "", context)),
    element("Delimiter", encodeOptional(query.get("delimiter"), context)),
    element("MaxKeys", query.get("max-keys") ?? MAX_KEYS),
    element("EncodingType", query.get("encoding-type")),
    ...own,
  ];
  return { body: xmlDocument("ListBucketResult", [...head, ...contents, ...common].join("")) };
}

/** @param {string | undefined} bytes @param {Context} context */
const encodeOptional = (bytes, context) => (bytes === undefined ? undefined : encodeKey(bytes, context));

/** @param {Context} context @returns {Answer} */
export function listObjectsV2(context) {
  const { query } = context;
  const token = query.get("continuation-token");
  const page = collect(context, decodeToken(token) ?? query.get("start-after") ?? "");
  const own = [
    element("StartAfter", encodeOptional(query.get("start-after"), context)),
    element("KeyCount", page.objects.length + page.prefixes.length),
    element("IsTruncated", page.last !== undefined),
    element("ContinuationToken", token),
    element("NextContinuationToken", page.last === undefined ? undefined : encodeToken(page.last)),
  ];
  return listDocument(context, page, { own, owner: "" });
}

/** Version 1, for programs that know no other. @param {Context} context @returns {Answer} */
export function listObjects(context) {
  const { query } = context;
  const page = collect(context, readMarker(query));
  // Without a delimiter the last key is the next marker, and S3 does not say it again.
  const next = (query.get("delimiter") ?? "") === "" ? undefined : page.last?.replace(AFTER_PREFIX, "");
  const own = [
    element("Marker", encodeKey(query.get("marker") ?? "", context)),
    element("IsTruncated", page.last !== undefined),
    element("NextMarker", encodeOptional(next, context)),
  ];
  return listDocument(context, page, { own, owner: `<Owner>${element("ID", "fake")}</Owner>` });
}

/** @param {Context} context @returns {Answer} */
export function listUploads({ bucket, query }) {
  const prefix = query.get("prefix") ?? "";
  const uploads = [...bucket.uploads]
    .filter(([, { key }]) => key.startsWith(prefix))
    .map(
      ([id, { key, initiated }]) =>
        `<Upload>${element("Key", toText(key))}${element("UploadId", id)}${element("Initiated", isoSeconds(initiated))}</Upload>`,
    );
  const head = element("Bucket", bucket.name) + element("IsTruncated", false);
  return { body: xmlDocument("ListMultipartUploadsResult", head + uploads.join("")) };
}

/** @param {Context} context @returns {Answer} */
export function listVersions(context) {
  const { bucket } = context;
  let content = element("Name", bucket.name) + element("IsTruncated", false);
  for (const key of bucket.allKeys(context.query.get("prefix") ?? "")) {
    let latest = true;
    for (let version = bucket.find(key); version !== undefined; version = version.previous) {
      const name = version.deleteMarker === true ? "DeleteMarker" : "Version";
      content += `<${name}>${element("Key", encodeKey(key, context))}${element("VersionId", version.versionId ?? "null")}${element("IsLatest", latest)}${element("LastModified", isoSeconds(version.lastModified))}${name === "Version" ? element("ETag", version.etag) + element("Size", version.data.size) : ""}</${name}>`;
      latest = false;
    }
  }
  return { body: xmlDocument("ListVersionsResult", content) };
}

/** @param {Context} context @returns {Answer} */
export function deleteObjects({ bucket, headers, body }) {
  const hasDigest =
    headers["content-md5"] !== undefined ||
    Object.keys(headers).some((name) => name.startsWith("x-amz-checksum-"));
  if (!hasDigest) {
    throw new S3Error(400, "InvalidRequest", "Missing required header for this request: Content-MD5");
  }
  const xml = Buffer.concat(body.chunks).toString();
  const objects = findElements(xml, "Object");
  if (objects.length === 0 || objects.length > 1000) {
    throw new S3Error(400, "MalformedXML", "The XML you provided was not well-formed.");
  }
  const quiet = findText(xml, "Quiet") === "true";
  const results = objects.map((object) => {
    const key = findText(object, "Key") ?? "";
    bucket.remove(Buffer.from(key).toString("latin1"), findText(object, "VersionId"));
    return quiet ? "" : `<Deleted>${element("Key", key)}</Deleted>`;
  });
  return { body: xmlDocument("DeleteResult", results.join("")) };
}
