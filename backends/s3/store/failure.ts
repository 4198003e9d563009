import { StoreError, type StoreErrorCode } from "./object-store.js";
import type { HttpReply } from "./transport.js";
import { childText, parseXml } from "./xml.js";

/** What a reply says about why it is none. */
export interface ReplyFailure {
  readonly status: number;
  /** S3's code, or the status where the reply has no document. */
  readonly s3Code: string;
  /** The server's words. */
  readonly text: string;
  /** Elements that only some errors have. */
  readonly region: string | undefined;
  readonly serverTime: string | undefined;
}

const CODES: Readonly<Record<string, StoreErrorCode>> = {
  NoSuchKey: "not-found",
  NoSuchVersion: "not-found",
  MethodNotAllowed: "not-found", // a version that is a delete marker
  NoSuchBucket: "no-bucket",
  NoSuchUpload: "no-upload",
  PreconditionFailed: "precondition",
  ConditionalRequestConflict: "precondition",
  InvalidRange: "range",
  AccessDenied: "access",
  ExpiredToken: "access",
  InvalidToken: "access",
  InvalidAccessKeyId: "access",
  SignatureDoesNotMatch: "access",
  RequestTimeTooSkewed: "access",
  InvalidObjectState: "archived",
  EntityTooLarge: "too-large",
  KeyTooLongError: "key-too-long",
  QuotaExceeded: "quota",
  NotImplemented: "unsupported",
  // HEAD has no document to say why; other requests of this kind are not refused so.
  "HTTP 400": "access",
  BadDigest: "checksum",
  XAmzContentSHA256Mismatch: "checksum",
};

const STATUSES: Readonly<Record<number, StoreErrorCode>> = {
  403: "access",
  404: "not-found",
  409: "precondition",
  412: "precondition",
  416: "range",
  501: "unsupported",
  507: "quota",
};

/** Codes of S3 that mean: later. */
const TRANSIENT = new Set([
  "SlowDown",
  "InternalError",
  "ServiceUnavailable",
  "RequestTimeout",
  "OperationAborted",
  "RequestLimitExceeded",
  "ThrottlingException",
  "TooManyRequests",
]);
const TRANSIENT_STATUSES = new Set([408, 429, 500, 502, 503, 504]);
/** The credentials were good once. */
const EXPIRED = new Set([
  "ExpiredToken",
  "TokenRefreshRequired",
  "RequestExpired",
  "InvalidToken",
  "HTTP 400",
]);

/** Takes an error document apart; a reply without one (HEAD, a proxy) counts by its status. */
export function readFailure({ status, headers, body }: HttpReply): ReplyFailure {
  const region = headers["x-amz-bucket-region"];
  const serverTime = headers.date;
  const plain = { status, s3Code: `HTTP ${status}`, text: "", region: region?.toString(), serverTime };
  if (body.length === 0) return plain;
  try {
    const root = parseXml(body.toString());
    const s3Code = childText(root, "Code") ?? plain.s3Code;
    const text = childText(root, "Message") ?? "";
    return { ...plain, s3Code, text, region: childText(root, "Region") ?? plain.region };
  } catch {
    return plain;
  }
}

export function isTransient({ status, s3Code }: ReplyFailure): boolean {
  return TRANSIENT.has(s3Code) || TRANSIENT_STATUSES.has(status);
}

export function isExpired({ s3Code }: ReplyFailure): boolean {
  return EXPIRED.has(s3Code);
}

/** Whether the request may have been carried out all the same: a gateway on the way may have lost the answer. */
export function mayHaveHappened({ status, s3Code }: ReplyFailure): boolean {
  return status >= 500 && s3Code !== "SlowDown";
}

export function codeOf({ status, s3Code }: ReplyFailure): StoreErrorCode {
  return CODES[s3Code] ?? STATUSES[status] ?? "io";
}

/** One line: the operation, the key, what the server said. */
export function toStoreError(what: string, failure: ReplyFailure): StoreError {
  const { status, s3Code } = failure;
  const said = s3Code.startsWith("HTTP ") ? s3Code : `${s3Code} (HTTP ${status})`;
  return new StoreError(codeOf(failure), `${what}: ${said}`, status);
}
