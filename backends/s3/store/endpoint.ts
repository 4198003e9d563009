import { isIP } from "node:net";
import type { S3Client as SdkClient } from "@aws-sdk/client-s3";
import { GatewayError } from "../../../src/vfs/gateway-error.js";

/** Where and how the requests for one bucket are sent. */
export interface Endpoint {
  /** Scheme, host and port of the connections. */
  readonly origin: string;
  /** The Host header. */
  readonly host: string;
  /** Ends in a slash; keys come behind it. */
  readonly basePath: string;
  readonly region: string;
  /** Bodies are hashed into the signature: nothing else protects them on the way. */
  readonly signsBodies: boolean;
}

/** Bucket names that can be a label of a host name, and match a wildcard certificate. */
const HOST_LABEL = /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/;

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname.endsWith(".localhost") || /^(127\.|\[::1\])/.test(hostname);
}

/** The endpoint of a URL that a user gives. */
export function customEndpoint(url: string, bucket: string, region: string, pathStyle: boolean): Endpoint {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch (cause) {
    throw new GatewayError("usage", `--endpoint: expected a URL such as https://host:port, got "${url}"`, {
      cause,
    });
  }
  if (parsed.protocol !== "https:" && parsed.protocol !== "http:") {
    throw new GatewayError("usage", `--endpoint: expected http or https, got "${parsed.protocol}"`);
  }
  if (parsed.username !== "" || parsed.password !== "") {
    throw new GatewayError("usage", "--endpoint: credentials do not belong into the URL");
  }
  const { hostname } = parsed;
  const isAddress = isIP(hostname.replace(/^\[|\]$/g, "")) !== 0;
  const inHost = !pathStyle && !isAddress && hostname !== "localhost" && HOST_LABEL.test(bucket);
  if (inHost) parsed.hostname = `${bucket}.${hostname}`;
  const folder = parsed.pathname.endsWith("/") ? parsed.pathname : `${parsed.pathname}/`;
  return {
    origin: parsed.origin,
    host: parsed.host,
    basePath: inHost ? folder : `${folder}${bucket}/`,
    region,
    signsBodies: parsed.protocol === "http:" && !isLoopback(hostname),
  };
}

/** The endpoint that the SDK's rules have for a bucket of AWS, in whatever partition its region is. */
export function awsEndpoint(client: SdkClient, bucket: string, region: string, pathStyle: boolean): Endpoint {
  const { url } = client.config.endpointProvider(
    { Bucket: bucket, Region: region, ForcePathStyle: pathStyle, UseFIPS: false, UseDualStack: false },
    {},
  );
  const basePath = url.pathname.endsWith("/") ? url.pathname : `${url.pathname}/`;
  return { origin: url.origin, host: url.host, basePath, region, signsBodies: false };
}
