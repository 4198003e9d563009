import { request } from "undici";
import { GatewayError } from "../../../src/vfs/gateway-error.js";
import { ChainCredentials, type CredentialSource, FixedCredentials } from "./credentials.js";
import { awsEndpoint, customEndpoint, type Endpoint } from "./endpoint.js";
import { S3Client } from "./s3-client.js";
import { S3Store } from "./s3-store.js";
import type { Credentials } from "./signer.js";

export interface S3StoreOptions {
  readonly bucket: string;
  /** Default: what the SDK's configuration says, else where the bucket is. */
  readonly region?: string;
  /** URL of a server other than AWS; default: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, else AWS. */
  readonly endpoint?: string;
  /** The bucket is in the path and not in the host name. */
  readonly pathStyle?: boolean;
  /** Requests are not signed. */
  readonly anonymous?: boolean;
  /** Default: the SDK's chain. */
  readonly credentials?: Credentials;
  /** Requests at a time. Default: 128. */
  readonly concurrency?: number;
  /** For an operation with all its attempts. Default: one minute. */
  readonly deadlineMs?: number;
  /** For the first byte of an answer, and between two pieces of it. Default: 10 seconds. */
  readonly timeoutMs?: number;
  /** Native code receives what goes into files. Default: where it can. */
  readonly direct?: boolean;
  /** PEM of the authorities that are trusted. Default: whom Node trusts. */
  readonly ca?: string;
}

const DEFAULT_CONCURRENCY = 128;
const DEFAULT_DEADLINE_MS = 60_000;
const DEFAULT_TIMEOUT_MS = 10_000;
/** Region of servers that have none, and where AWS answers for all buckets. */
const FIRST_REGION = "us-east-1";

/** The SDK takes a tenth of a second to load: only for what it is needed for. */
async function createSdkClient(region: string | undefined) {
  // The oldest Node that this program supports is its own decision; the SDK would warn about it on stderr.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true";
  const { S3Client: SdkClient } = await import("@aws-sdk/client-s3");
  return new SdkClient(region === undefined ? {} : { region });
}

type SdkClient = Awaited<ReturnType<typeof createSdkClient>>;

async function configuredRegion(client: SdkClient): Promise<string | undefined> {
  try {
    return await client.config.region();
  } catch {
    return undefined; // the SDK throws where nothing says one
  }
}

/** Asks AWS where a bucket is: the answer says so even to those who may not read it. */
async function discoverRegion(bucket: string): Promise<string> {
  const url = `https://s3.amazonaws.com/${bucket}`;
  try {
    const { headers, body } = await request(url, { method: "HEAD", headersTimeout: DEFAULT_TIMEOUT_MS });
    await body.dump();
    return headers["x-amz-bucket-region"]?.toString() ?? FIRST_REGION;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `--region is not set and cannot be found out: ${url}: ${reason}`;
    throw new GatewayError("environment", message, { cause });
  }
}

async function chooseEndpoint(options: S3StoreOptions, sdk: () => Promise<SdkClient>): Promise<Endpoint> {
  const { bucket, pathStyle = false } = options;
  const url = options.endpoint ?? process.env.AWS_ENDPOINT_URL_S3 ?? process.env.AWS_ENDPOINT_URL;
  if (url !== undefined && url !== "") {
    const needsSdk = options.region === undefined && options.credentials === undefined && !options.anonymous;
    const region = options.region ?? (needsSdk ? await configuredRegion(await sdk()) : undefined);
    return customEndpoint(url, bucket, region ?? FIRST_REGION, pathStyle);
  }
  const client = await sdk();
  const region = options.region ?? (await configuredRegion(client)) ?? (await discoverRegion(bucket));
  return awsEndpoint(client, bucket, region, pathStyle);
}

/**
 * Opens a bucket. Nothing is asked of it yet: that is what {@link ObjectStore.probe} is for.
 * @throws GatewayError where options contradict the world: a malformed URL, no region.
 */
export async function openS3Store(options: S3StoreOptions): Promise<S3Store> {
  let client: Promise<SdkClient> | undefined;
  const sdk = () => {
    client ??= createSdkClient(options.region);
    return client;
  };
  const endpoint = await chooseEndpoint(options, sdk);
  const fixed = options.anonymous === true || options.credentials !== undefined;
  const credentials: CredentialSource = fixed
    ? new FixedCredentials(options.anonymous === true ? undefined : options.credentials)
    : new ChainCredentials(await sdk());
  return new S3Store(
    new S3Client({
      ...{ endpoint, bucket: options.bucket, credentials },
      concurrency: options.concurrency ?? DEFAULT_CONCURRENCY,
      deadlineMs: options.deadlineMs ?? DEFAULT_DEADLINE_MS,
      timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      direct: options.direct ?? true,
      ca: options.ca,
    }),
  );
}
