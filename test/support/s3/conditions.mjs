// @ts-check
import { noSuchKey, preconditionFailed, S3Error } from "./error.mjs";

/** @typedef {import("./server.mjs").Features} Features */
/** @typedef {import("node:http").IncomingHttpHeaders} Headers */

/** @param {string} list As in If-Match. @param {string} etag */
function matches(list, etag) {
  if (list.trim() === "*") return true;
  const plain = etag.replaceAll('"', "");
  return list.split(",").some((item) => item.trim().replace(/^W\//, "").replaceAll('"', "") === plain);
}

/**
 * @param {import("./bucket.mjs").Version} version
 * @param {Headers} headers
 * @param {Features} features
 * @returns {boolean} The answer is 304.
 */
export function checkRead({ etag, lastModified }, headers, features) {
  if (!features.conditionalRead) return false;
  const ifMatch = headers["if-match"];
  const ifNoneMatch = headers["if-none-match"];
  const seconds = Math.floor(lastModified / 1000) * 1000;
  if (ifMatch !== undefined) {
    if (!matches(ifMatch, etag)) throw preconditionFailed("If-Match");
  } else if (seconds > Date.parse(headers["if-unmodified-since"] ?? "")) {
    throw preconditionFailed("If-Unmodified-Since");
  }
  if (ifNoneMatch !== undefined) return matches(ifNoneMatch, etag);
  return seconds <= Date.parse(headers["if-modified-since"] ?? "");
}

/**
 * @param {import("./bucket.mjs").Version} version
 * @param {Headers} headers
 * @param {Features} features
 */
export function checkSource({ etag }, headers, features) {
  if (!features.conditionalCopy) return;
  const ifMatch = headers["x-amz-copy-source-if-match"];
  if (ifMatch !== undefined && !matches(String(ifMatch), etag)) {
    throw preconditionFailed("x-amz-copy-source-If-Match");
  }
  const ifNoneMatch = headers["x-amz-copy-source-if-none-match"];
  if (ifNoneMatch !== undefined && matches(String(ifNoneMatch), etag)) {
    throw preconditionFailed("x-amz-copy-source-If-None-Match");
  }
}

/**
 * The conditions of a request that replaces or removes an object.
 *
 * @param {import("./bucket.mjs").Bucket} bucket
 * @param {string} key
 * @param {Headers} headers
 * @param {Features} features
 */
export function checkWrite(bucket, key, headers, features) {
  const found = bucket.find(key);
  const version = found?.deleteMarker === true ? undefined : found;
  const ifNoneMatch = headers["if-none-match"];
  if (ifNoneMatch !== undefined && features.createOnly) {
    if (ifNoneMatch !== "*") {
      const message = "A header you provided implies functionality that is not implemented.";
      throw new S3Error(501, "NotImplemented", message);
    }
    if (version !== undefined) throw preconditionFailed("If-None-Match");
  }
  const ifMatch = headers["if-match"];
  if (ifMatch !== undefined && features.replaceOnly) {
    if (version === undefined) throw noSuchKey();
    if (!matches(ifMatch, version.etag)) throw preconditionFailed("If-Match");
  }
}
