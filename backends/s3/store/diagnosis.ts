import { GatewayError } from "../../../src/vfs/gateway-error.js";
import type { ReplyFailure } from "./failure.js";
import { StoreError } from "./object-store.js";
import type { S3Client } from "./s3-client.js";

function seconds(skewMs: number): string {
  const behind = skewMs > 0 ? "behind" : "ahead of";
  return `${Math.round(Math.abs(skewMs) / 1000)} s ${behind}`;
}

function explainReply(client: S3Client, failure: ReplyFailure): string {
  const { s3Code, status, region, serverTime, text } = failure;
  const { bucket, endpoint } = client;
  const said = s3Code.startsWith("HTTP ") ? s3Code : `${s3Code}, HTTP ${status}`;
  switch (s3Code) {
    case "NoSuchBucket":
      return `the bucket ${bucket} does not exist at ${endpoint.origin} (${said})`;
    case "PermanentRedirect":
    case "AuthorizationHeaderMalformed":
    case "IllegalLocationConstraintException":
    case "HTTP 301":
      return region === undefined || region === endpoint.region
        ? `the region ${endpoint.region} is wrong for the bucket ${bucket} (${said})`
        : `the bucket ${bucket} is in region ${region}, not ${endpoint.region}: use --region ${region} (${said})`;
    case "RequestTimeTooSkewed": {
      const skewMs = Date.parse(serverTime ?? "") - Date.now();
      const off = Number.isNaN(skewMs) ? "differs too much from" : `is ${seconds(skewMs)}`;
      return `this machine's clock ${off} the server's (${said})`;
    }
    case "InvalidAccessKeyId":
      return `the credentials are wrong: ${endpoint.origin} does not know the access key (${said})`;
    case "SignatureDoesNotMatch":
      return `the credentials are wrong: the secret key does not belong to the access key (${said})`;
    case "ExpiredToken":
    case "TokenRefreshRequired":
      return `the credentials have expired (${said})`;
    case "InvalidToken":
      return `the credentials are wrong: the session token is not valid (${said})`;
    case "AccessDenied":
    case "HTTP 403":
      return `the credentials do not allow to list the bucket ${bucket} (${said})`;
    default:
      return `${endpoint.origin} does not answer as an S3 server for the bucket ${bucket} (${said}${text === "" ? "" : `: ${text.slice(0, 200)}`})`;
  }
}

function explainError(client: S3Client, { code, message }: StoreError): string {
  if (code === "access") return message; // there are no credentials
  const { origin } = client.endpoint;
  if (/\bENOTFOUND\b|\bEAI_AGAIN\b/.test(message))
    return `the endpoint ${origin} is not known: its name does not resolve`;
  if (/\bECONNREFUSED\b/.test(message)) return `nothing listens at the endpoint ${origin} (ECONNREFUSED)`;
  if (/CONNECT_TIMEOUT|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT/.test(message)) {
    return `the endpoint ${origin} cannot be reached`;
  }
  if (/\b(ERR_TLS_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/.test(message)) {
    return `the endpoint ${origin} is not trusted (NODE_EXTRA_CA_CERTS=FILE adds authorities): ${message}`;
  }
  return `the endpoint ${origin} does not serve S3: ${message}`;
}

/** One line for a person who starts a share: which of bucket, region, clock, credentials and endpoint is wrong. */
export function explainFailure(client: S3Client, problem: unknown): unknown {
  if (problem instanceof StoreError) {
    return new GatewayError("environment", `S3: ${explainError(client, problem)}`, { cause: problem });
  }
  if (problem instanceof Error) return problem;
  return new GatewayError("environment", `S3: ${explainReply(client, problem as ReplyFailure)}`);
}
