import { randomUUID } from "node:crypto";
import { explainFailure } from "./diagnosis.js";
import { toStoreError } from "./failure.js";
import {
  type CopySource,
  NO_ATTRIBUTES,
  type ObjectStore,
  StoreError,
  type StoreErrorCode,
  type StoreFeatures,
} from "./object-store.js";
import type { S3Client } from "./s3-client.js";
import { childText, parseXml } from "./xml.js";

const BODY = Buffer.from("virtiofs-gateway looks what this server honours");
/** No object has it. */
const OTHER_ETAG = '"00000000000000000000000000000000"';
/** Of what is asked before it is known that there is a server at all. */
const FIRST_ATTEMPTS = 3;

/** What needs writing, for a share that does not write. */
const READ_ONLY = {
  ...{ createOnly: false, replaceOnly: false, conditionalDelete: false, conditionalCopy: false },
  ...{ conditionalCopyTarget: false, partCopy: false, checksums: false, writable: false },
};

/** Whether `attempt` rejects with this code; other errors are thrown on. */
async function rejects(attempt: Promise<unknown>, ...codes: readonly StoreErrorCode[]): Promise<boolean> {
  try {
    await attempt;
    return false;
  } catch (error) {
    if (error instanceof StoreError && codes.includes(error.code)) return true;
    throw error;
  }
}

/** Whether it works; "no" also where the server does not know it. */
async function works(attempt: Promise<unknown>): Promise<boolean> {
  return !(await rejects(attempt, "unsupported", "io", "precondition", "access"));
}

/** {@link ObjectStore.probe} */
export async function probe(
  store: ObjectStore,
  client: S3Client,
  scratchPrefix: string | undefined,
): Promise<StoreFeatures> {
  await checkReading(client);
  const versioned = await isVersioned(client);
  if (scratchPrefix === undefined) return { ...READ_ONLY, conditionalRead: true, versioned };
  const key = `${scratchPrefix}${randomUUID()}`;
  const { writable, etag } = await writeScratch(store, key);
  if (etag === undefined) return { ...READ_ONLY, conditionalRead: true, versioned, writable };
  try {
    return { ...(await probeWriting(store, client, key, etag)), versioned, writable };
  } finally {
    await Promise.all([key, `${key}.copy`].map((scratch) => store.remove(scratch)));
  }
}

/** One key is listed: whatever is wrong with the share shows here. */
async function checkReading(client: S3Client): Promise<void> {
  const query = { "list-type": "2", "max-keys": "1" };
  try {
    const request = { class: "list", method: "GET", query, attempts: FIRST_ATTEMPTS } as const;
    const { failure } = await client.send(request);
    if (failure !== undefined) throw explainFailure(client, failure);
  } catch (error) {
    throw explainFailure(client, error);
  }
}

async function isVersioned(client: S3Client): Promise<boolean> {
  const { failure, body } = await client.send({ class: "other", method: "GET", query: { versioning: "" } });
  // Not everybody who may read may ask, and not every server answers.
  return failure === undefined && childText(parseXml(body.toString()), "Status") === "Enabled";
}

async function writeScratch(store: ObjectStore, key: string): Promise<{ writable: boolean; etag?: string }> {
  try {
    return { writable: true, etag: (await store.put(key, BODY, NO_ATTRIBUTES)).etag };
  } catch (error) {
    if (error instanceof StoreError && error.code === "access") return { writable: false };
    throw error;
  }
}

type WritingFeatures = Omit<StoreFeatures, "versioned" | "writable">;

async function probeWriting(
  store: ObjectStore,
  client: S3Client,
  key: string,
  etag: string,
): Promise<WritingFeatures> {
  const copy = `${key}.copy`;
  const stale: CopySource = { key, ifMatch: OTHER_ETAG };
  const wrong = { ifMatch: OTHER_ETAG };
  const none = { ifNoneMatch: "*" } as const;
  const refuses = (attempt: Promise<unknown>) => rejects(attempt, "precondition", "unsupported");
  // The order matters: from here on the object stays the same unless a condition is ignored.
  const createOnly = await refuses(store.put(key, BODY, NO_ATTRIBUTES, none));
  const replaceOnly = await refuses(store.put(key, BODY, NO_ATTRIBUTES, wrong));
  const conditionalRead = await refusesStaleRead(client, key);
  const checksums = await returnsChecksum(client, key);
  const conditionalCopy = await refuses(store.copy(stale, copy, undefined));
  await store.put(copy, BODY, NO_ATTRIBUTES);
  const conditionalCopyTarget = await refuses(store.copy({ key, ifMatch: etag }, copy, undefined, none));
  const partCopy = await probePartCopy(store, key);
  // The last, as it removes the object where it is ignored.
  const conditionalDelete = await refuses(store.remove(copy, wrong));
  return {
    ...{ createOnly, replaceOnly, conditionalRead, checksums },
    ...{ conditionalCopy, conditionalCopyTarget, partCopy, conditionalDelete },
  };
}

async function refusesStaleRead(client: S3Client, key: string): Promise<boolean> {
  const headers = () => ["if-match", OTHER_ETAG];
  const { status } = await client.send({ class: "get", method: "GET", key, headers });
  return status === 412;
}

/** A wrong checksum is refused, and the right one comes back. */
async function returnsChecksum(client: S3Client, key: string): Promise<boolean> {
  const headers = () => ["x-amz-checksum-mode", "ENABLED"];
  const request = { class: "head", method: "HEAD", key, headers } as const;
  const reply = await client.send(request);
  if (reply.failure !== undefined) throw toStoreError(client.describe(request), reply.failure);
  return reply.headers["x-amz-checksum-crc32c"] !== undefined;
}

async function probePartCopy(store: ObjectStore, key: string): Promise<boolean> {
  const upload = `${key}.copy`;
  const id = await store.createUpload(upload, NO_ATTRIBUTES);
  try {
    return await works(store.copyPart(upload, id, 1, { key }, 0, BODY.length));
  } finally {
    await store.abortUpload(upload, id);
  }
}
