import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { expect } from "vitest";
import type { StoreErrorCode } from "../../../backends/s3/store/object-store.js";
import { openS3Store, type S3StoreOptions } from "../../../backends/s3/store/open-store.js";
import type { S3Store } from "../../../backends/s3/store/s3-store.js";
import { TEST_CREDENTIALS } from "../../support/s3/server.mjs";

/** Credentials as the store takes them: without what only the fake server knows. */
export const CREDENTIALS = {
  accessKeyId: TEST_CREDENTIALS.accessKeyId,
  secretAccessKey: TEST_CREDENTIALS.secretAccessKey,
};

/** AWS's client: what it writes and reads is the measure. */
export function connectSdk(endpoint: string): S3Client {
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = "true";
  return new S3Client({
    ...{ endpoint, region: "us-east-1", forcePathStyle: true, credentials: CREDENTIALS },
  });
}

export async function createBucket(sdk: S3Client, name: string): Promise<void> {
  await sdk.send(new CreateBucketCommand({ Bucket: name }));
}

export function openStore(endpoint: string, options: Partial<S3StoreOptions> = {}): Promise<S3Store> {
  return openS3Store({ bucket: "bucket", endpoint, credentials: CREDENTIALS, ...options });
}

/** Bytes of which any two pieces differ. */
export function bytes(length: number, seed = 1): Buffer {
  const buffer = Buffer.alloc(length);
  let state = seed >>> 0;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    buffer[at] = state >>> 24;
  }
  return buffer;
}

/** What is read, with the result. */
export function read(store: S3Store, key: string, length: number, offset = 0, options = {}) {
  const into = new Uint8Array(length);
  return store.read(key, offset, into, options).then((result) => ({
    ...result,
    bytes: Buffer.from(into.subarray(0, result.length)),
  }));
}

export async function rejects(attempt: Promise<unknown>, code: StoreErrorCode): Promise<void> {
  await expect(attempt).rejects.toMatchObject({ name: "StoreError", code });
}

/** All pages, folded at slashes. */
export async function listAll(store: S3Store, prefix: string, maxKeys?: number) {
  const keys: string[] = [];
  const prefixes: string[] = [];
  let token: string | undefined;
  do {
    const page = await store.list({
      ...{ prefix, delimiter: "/" },
      ...(maxKeys !== undefined && { maxKeys }),
      ...(token !== undefined && { continuationToken: token }),
    });
    keys.push(...page.objects.map(({ key }) => key));
    prefixes.push(...page.commonPrefixes);
    token = page.continuationToken;
  } while (token !== undefined);
  return { keys, prefixes };
}
