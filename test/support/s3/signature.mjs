// @ts-check
// Signature version 4 from the server's side: strict about everything that AWS is strict about.
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { S3Error } from "./error.mjs";

const ALGORITHM = "AWS4-HMAC-SHA256";
const MAX_SKEW_MS = 15 * 60 * 1000;

/**
 * @typedef {object} Credentials
 * @property {string} accessKeyId
 * @property {string} secretAccessKey
 * @property {string} [sessionToken] Requests must carry it.
 * @property {boolean} [expired] Requests fail with ExpiredToken.
 * @property {(operation: string, key: string | undefined) => boolean} [allows] Default: everything.
 */

/**
 * What a request says about who made it. Chunk signatures go on from `signature` with `key`.
 *
 * @typedef {object} Signed
 * @property {Credentials} credentials
 * @property {string} payload x-amz-content-sha256.
 * @property {string} signature
 * @property {string} scope
 * @property {string} date
 * @property {Buffer} key
 */

/**
 * @param {string | Buffer} key
 * @param {string} text
 */
export function hmac(key, text) {
  return createHmac("sha256", key).update(text).digest();
}

/** @param {string | Uint8Array} data */
export function sha256(data) {
  return createHash("sha256").update(data).digest("hex");
}

/**
 * The encoding of canonical requests, over bytes that are kept as latin1.
 *
 * @param {string} bytes
 * @param {boolean} keepSlash
 */
export function encodeUri(bytes, keepSlash) {
  return bytes.replace(/[^A-Za-z0-9\-._~]/g, (char) =>
    char === "/" && keepSlash ? char : `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}

/**
 * @param {import("node:http").IncomingMessage} request
 * @param {{path: string, query: ReadonlyMap<string, string>}} target Decoded, bytes as latin1.
 * @param {readonly string[]} signedHeaders
 * @param {string} payload
 */
function canonicalRequest(request, target, signedHeaders, payload) {
  const query = [...target.query]
    .map(([name, value]) => `${encodeUri(name, false)}=${encodeUri(value, false)}`)
    .sort();
  const headers = signedHeaders.map((name) => {
    const value = request.headers[name];
    const text = Array.isArray(value) ? value.join(",") : (value ?? "");
    return `${name}:${text.trim().replace(/ +/g, " ")}\n`;
  });
  return [
    request.method,
    encodeUri(target.path, true),
    query.join("&"),
    headers.join(""),
    signedHeaders.join(";"),
    payload,
  ].join("\n");
}

/** @param {string} date As 20260102T030405Z. */
function parseAmzDate(date) {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date);
  if (parts === null) throw new S3Error(403, "AccessDenied", "AWS authentication requires a valid Date");
  const [, year, month, day, hour, minute, second] = parts;
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}

/**
 * @param {string} authorization
 * @returns {{accessKeyId: string, scope: string, signedHeaders: string[], signature: string}}
 */
function parseAuthorization(authorization) {
  const parts =
    /^AWS4-HMAC-SHA256 Credential=([^/,]+)\/([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
      authorization,
    );
  if (parts === null) {
    throw new S3Error(400, "AuthorizationHeaderMalformed", "The authorization header is malformed.");
  }
  const [, accessKeyId = "", scope = "", signedHeaders = "", signature = ""] = parts;
  return { accessKeyId, scope, signedHeaders: signedHeaders.split(";"), signature };
}

/**
 * @param {import("node:http").IncomingMessage} request
 * @param {readonly string[]} signedHeaders
 */
function checkSignedHeaders(request, signedHeaders) {
  const unsigned = Object.keys(request.headers).filter(
    (name) => (name === "host" || name.startsWith("x-amz-")) && !signedHeaders.includes(name),
  );
  if (unsigned.length > 0) {
    const message = "There were headers present in the request which were not signed";
    throw new S3Error(403, "AccessDenied", message, { HeadersNotSigned: unsigned.join(", ") });
  }
}

/** @param {number} time @param {number} now @param {string} date */
function checkClock(time, now, date) {
  if (Math.abs(time - now) <= MAX_SKEW_MS) return;
  const message = "The difference between the request time and the current time is too large.";
  throw new S3Error(403, "RequestTimeTooSkewed", message, {
    RequestTime: date,
    ServerTime: new Date(now).toISOString(),
    MaxAllowedSkewMilliseconds: String(MAX_SKEW_MS),
  });
}

/** @param {Credentials} credentials @param {string | string[] | undefined} token */
function checkToken(credentials, token) {
  if (credentials.expired === true) {
    throw new S3Error(400, "ExpiredToken", "The provided token has expired.");
  }
  if (token !== credentials.sessionToken) {
    throw new S3Error(400, "InvalidToken", "The provided token is malformed or otherwise invalid.");
  }
}

/** @param {string} scope @param {string} region @param {string} date */
function checkScope(scope, region, date) {
  const [day, scopeRegion, service, end] = scope.split("/");
  const malformed = (/** @type {string} */ why) =>
    new S3Error(400, "AuthorizationHeaderMalformed", `The authorization header is malformed; ${why}`, {
      Region: region,
    });
  if (scopeRegion !== region) throw malformed(`the region '${scopeRegion}' is wrong; expecting '${region}'`);
  if (service !== "s3" || end !== "aws4_request") throw malformed("incorrect service or terminator");
  if (day !== date.slice(0, 8)) throw malformed("the date in the credential scope is wrong");
}

/**
 * Checks the Authorization header of a request.
 *
 * @param {import("node:http").IncomingMessage} request
 * @param {{path: string, query: ReadonlyMap<string, string>}} target
 * @param {{region: string, now: number, find: (accessKeyId: string) => Credentials | undefined}} server
 * @returns {Signed | undefined} Undefined for a request without signature.
 * @throws {S3Error}
 */
export function verifySignature(request, target, { region, now, find }) {
  const { authorization } = request.headers;
  if (authorization === undefined) return undefined;
  const { accessKeyId, scope, signedHeaders, signature } = parseAuthorization(authorization);
  const date = String(request.headers["x-amz-date"] ?? "");
  const payload = request.headers["x-amz-content-sha256"];
  if (typeof payload !== "string") {
    throw new S3Error(
      400,
      "InvalidRequest",
      "Missing required header for this request: x-amz-content-sha256",
    );
  }
  const credentials = find(accessKeyId);
  if (credentials === undefined) {
    const message = "The AWS Access Key Id you provided does not exist in our records.";
    throw new S3Error(403, "InvalidAccessKeyId", message, { AWSAccessKeyId: accessKeyId });
  }
  checkClock(parseAmzDate(date), now, date);
  checkScope(scope, region, date);
  checkToken(credentials, request.headers["x-amz-security-token"]);
  checkSignedHeaders(request, signedHeaders);

  const canonical = canonicalRequest(request, target, signedHeaders, payload);
  const text = [ALGORITHM, date, scope, sha256(canonical)].join("\n");
  const key = scope
    .split("/")
    .reduce(
      (/** @type {string | Buffer} */ from, part) => hmac(from, part),
      `AWS4${credentials.secretAccessKey}`,
    );
  const expected = hmac(key, text);
  if (!timingSafeEqual(expected, Buffer.from(signature, "hex"))) {
    const message = "The request signature we calculated does not match the signature you provided.";
    throw new S3Error(403, "SignatureDoesNotMatch", message, { CanonicalRequest: canonical });
  }
  return { credentials, payload, signature, scope, date, key: Buffer.from(key) };
}
