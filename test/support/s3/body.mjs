// @ts-check
// Bodies of requests: aws-chunked framing, signatures of chunks, checksums in headers and trailers.
import { createHash } from "node:crypto";
import { CHECKSUM_KINDS, checksum } from "./checksums.mjs";
import { S3Error } from "./error.mjs";
import { hmac, sha256 } from "./signature.mjs";

const EMPTY_SHA256 = sha256("");

/** @typedef {import("./checksums.mjs").ChecksumKind} ChecksumKind */
/** @typedef {Partial<Record<ChecksumKind, string>>} Checksums */
/** @typedef {{chunks: Buffer[], checksums: Checksums}} Body */

const incomplete = () =>
  new S3Error(400, "IncompleteBody", "You did not provide the number of bytes specified by Content-Length.");

/**
 * Takes the frames of an aws-chunked body apart.
 *
 * @param {Buffer} raw
 * @param {import("./signature.mjs").Signed} signed
 * @returns {{chunks: Buffer[], trailers: Record<string, string>}}
 */
function decodeChunks(raw, signed) {
  const signedChunks = signed.payload.startsWith("STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
  let previous = signed.signature;
  /** @type {(kind: string, hash: string, given: string | undefined) => void} */
  const checkSignature = (kind, hash, given) => {
    const fields = [`AWS4-HMAC-SHA256-${kind}`, signed.date, signed.scope, previous];
    if (kind === "PAYLOAD") fields.push(EMPTY_SHA256);
    const expected = hmac(signed.key, [...fields, hash].join("\n")).toString("hex");
    if (given !== expected) {
      throw new S3Error(403, "SignatureDoesNotMatch", "The signature of a chunk does not match.");
    }
    previous = expected;
  };

  /** @type {Buffer[]} */
  const chunks = [];
  let at = 0;
  for (;;) {
    const end = raw.indexOf("\r\n", at);
    if (end < 0) throw incomplete();
    const header = /^([0-9a-fA-F]+)(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(
      raw.toString("latin1", at, end),
    );
    if (header === null) throw new S3Error(400, "InvalidRequest", "The chunk framing is malformed.");
    const length = Number.parseInt(header[1] ?? "", 16);
    const data = raw.subarray(end + 2, end + 2 + length);
    if (data.length !== length) throw incomplete();
    if (signedChunks) checkSignature("PAYLOAD", sha256(data), header[2]);
    at = end + 2 + length;
    if (length === 0) break;
    chunks.push(data);
    if (raw.toString("latin1", at, at + 2) !== "\r\n") throw incomplete();
    at += 2;
  }
  return { chunks, trailers: decodeTrailers(raw.toString("latin1", at), checkSignature, signedChunks) };
}

/**
 * @param {string} text
 * @param {(kind: string, hash: string, given: string | undefined) => void} checkSignature
 * @param {boolean} signedChunks
 */
function decodeTrailers(text, checkSignature, signedChunks) {
  /** @type {Record<string, string>} */
  const trailers = {};
  let covered = "";
  for (const line of text.split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon < 0) continue;
    const name = line.slice(0, colon).toLowerCase();
    trailers[name] = line.slice(colon + 1).trim();
    if (name !== "x-amz-trailer-signature") covered += `${name}:${trailers[name]}\n`;
  }
  if (signedChunks && covered !== "") {
    checkSignature("TRAILER", sha256(covered), trailers["x-amz-trailer-signature"]);
  }
  return trailers;
}

/**
 * @param {import("node:http").IncomingMessage} request
 * @param {readonly Buffer[]} raw
 * @param {import("./signature.mjs").Signed | undefined} signed
 */
function decodeFrames(request, raw, signed) {
  if (signed === undefined || !signed.payload.startsWith("STREAMING-")) {
    return { chunks: [...raw], trailers: {} };
  }
  if (!/\baws-chunked\b/.test(request.headers["content-encoding"] ?? "")) {
    throw new S3Error(400, "InvalidRequest", "A streaming payload needs Content-Encoding: aws-chunked.");
  }
  const decoded = decodeChunks(Buffer.concat(raw), signed);
  const length = decoded.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  if (length !== Number(request.headers["x-amz-decoded-content-length"])) throw incomplete();
  const announced = String(request.headers["x-amz-trailer"] ?? "").toLowerCase();
  if (announced !== "" && !(announced in decoded.trailers)) {
    throw new S3Error(400, "MalformedTrailerError", "The announced trailer is missing.");
  }
  return decoded;
}

/**
 * @param {readonly Buffer[]} chunks
 * @param {Record<string, string | string[] | undefined>} fields Headers and trailers.
 * @param {number} verifiedBytes
 */
function verifyChecksums(chunks, fields, verifiedBytes) {
  const isVerified = chunks.reduce((sum, { length }) => sum + length, 0) <= verifiedBytes;
  /** @type {Checksums} */
  const found = {};
  for (const kind of CHECKSUM_KINDS) {
    const given = fields[`x-amz-checksum-${kind.toLowerCase()}`];
    if (given === undefined) continue;
    if (isVerified && checksum(kind, chunks) !== given) {
      throw new S3Error(400, "BadDigest", `The ${kind} you specified did not match the calculated checksum.`);
    }
    found[kind] = String(given);
  }
  return found;
}

/**
 * Decodes a body and checks every digest that came with it.
 *
 * @param {import("node:http").IncomingMessage} request
 * @param {readonly Buffer[]} raw
 * @param {import("./signature.mjs").Signed | undefined} signed
 * @param {Pick<import("./server.mjs").FakeS3, "features" | "limits">} server
 * @returns {Body}
 * @throws {S3Error}
 */
export function decodeBody(request, raw, signed, { features, limits }) {
  const { chunks, trailers } = decodeFrames(request, raw, signed);
  if (signed !== undefined && /^[0-9a-f]{64}$/.test(signed.payload)) {
    const hash = createHash("sha256");
    for (const chunk of chunks) hash.update(chunk);
    if (hash.digest("hex") !== signed.payload) {
      const message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
      throw new S3Error(400, "XAmzContentSHA256Mismatch", message);
    }
  }
  const md5 = request.headers["content-md5"];
  if (md5 !== undefined) {
    const hash = createHash("md5");
    for (const chunk of chunks) hash.update(chunk);
    if (hash.digest("base64") !== md5) {
      throw new S3Error(400, "BadDigest", "The Content-MD5 you specified did not match what we received.");
    }
  }
  const fields = { ...request.headers, ...trailers };
  return {
    chunks,
    checksums: features.checksums ? verifyChecksums(chunks, fields, limits.verifiedBytes) : {},
  };
}
