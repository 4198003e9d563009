import { randomUUID } from "node:crypto";
import { CHECKSUM_ALGORITHM, CHECKSUM_HEADER, checksumOf } from "./checksum.js";
import { explainFailure } from "./diagnosis.js";
import {
  type CopySource,
  NO_ATTRIBUTES,
  type ObjectStore,
  StoreError,
  type StoreErrorCode,
  type StoreFeatures,
} from "./object-store.js";
import { readListPage } from "./replies.js";
import type { S3Client } from "./s3-client.js";
import { childText, parseXml } from "./xml.js";

const BODY = Buffer.from("virtiofs-gateway looks what this server honours");
/** No object has it. */
const OTHER_ETAG = '"00000000000000000000000000000000"';
/** Of what is asked before it is known that there is a server at all. */
const FIRST_ATTEMPTS = 8;

/** What needs writing, for a share that does not write. */
const READ_ONLY = {
  ...{ createOnly: false, replaceOnly: false, conditionalDelete: false, conditionalCopy: false },
  ...{ conditionalCopyTarget: false, conditionalPartCopy: false, partCopy: false },
  ...{ checksums: false, writable: false },
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

/** {@link ObjectStore.probe} of a share that does not write. */
export async function probeReading(client: S3Client): Promise<StoreFeatures> {
  await checkReading(client);
  // Another object is recognized by its ETag even where the condition is ignored.
  return { ...READ_ONLY, conditionalRead: true, versioned: await isVersioned(client) };
}

/** {@link ObjectStore.probe} of a share that writes, or would. */
export async function probe(
  store: ObjectStore,
  client: S3Client,
  scratchPrefix: string,
): Promise<StoreFeatures> {
  const reading = await probeReading(client);
  const key = `${scratchPrefix}${randomUUID()}`;
  const etag = await writeScratch(store, key);
  if (etag === undefined) return reading;
  try {
    return { ...reading, ...(await probeWriting(store, client, key, etag)), writable: true };
  } finally {
    await Promise.all([key, `${key}.copy`].map((scratch) => store.remove(scratch)));
  }
}

/** One key is listed: whatever is wrong with the share shows here. */
async function checkReading(client: S3Client): Promise<void> {
  const query = { "list-type": "2", "max-keys": "1" };
  try {
    const request = { class: "list", method: "GET", query, attempts: FIRST_ATTEMPTS } as const;
    const { failure, body } = await client.send(request);
    if (failure !== undefined) throw explainFailure(client, failure);
    readListPage(body); // whatever else listens there, this is S3
  } catch (error) {
    throw explainFailure(client, error);
  }
}

async function isVersioned(client: S3Client): Promise<boolean> {
  const { failure, body } = await client.send({ class: "other", method: "GET", query: { versioning: "" } });
  // Not everybody who may read may ask, and not every server answers.
  return failure === undefined && childText(parseXml(body.toString()), "Status") === "Enabled";
}

/** The ETag of a new object; undefined where writing is not allowed. */
async function writeScratch(store: ObjectStore, key: string): Promise<string | undefined> {
  try {
    return (await store.put(key, BODY, NO_ATTRIBUTES)).etag;
  } catch (error) {
    if (error instanceof StoreError && error.code === "access") return undefined;
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
  const checksums = await checksChecksums(client, key);
  const conditionalCopy = await refuses(store.copy(stale, copy, undefined));
  await store.put(copy, BODY, NO_ATTRIBUTES);
  const conditionalCopyTarget = await refuses(store.copy({ key, ifMatch: etag }, copy, undefined, none));
  const parts = await probePartCopy(store, key);
  // The last, as it removes the object where it is ignored.
  const conditionalDelete = await refuses(store.remove(copy, wrong));
  return {
    ...{ createOnly, replaceOnly, conditionalRead, checksums },
    ...{ conditionalCopy, conditionalCopyTarget, conditionalDelete, ...parts },
  };
}

async function refusesStaleRead(client: S3Client, key: string): Promise<boolean> {
  const headers = () => ["if-match", OTHER_ETAG];
  const { status } = await client.send({ class: "get", method: "GET", key, headers });
  return status === 412;
}

/** A wrong checksum is refused, and the right one comes back. */
async function checksChecksums(client: S3Client, key: string): Promise<boolean> {
  const wrong = () => ["x-amz-sdk-checksum-algorithm", CHECKSUM_ALGORITHM, CHECKSUM_HEADER, "AAAAAA=="];
  const written = await client.send({ class: "put", method: "PUT", key, headers: wrong, body: BODY });
  if (written.failure === undefined) return false;
  const mode = () => ["x-amz-checksum-mode", "ENABLED"];
  const { headers } = await client.send({ class: "head", method: "HEAD", key, headers: mode });
  return headers[CHECKSUM_HEADER] === checksumOf(BODY);
}

/** When the answer to a creation is lost, what it made is dropped and there is another one. */
async function beginUpload(store: ObjectStore, key: string): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await store.createUpload(key, NO_ATTRIBUTES);
    } catch (error) {
      if (attempt === FIRST_ATTEMPTS || !(error instanceof StoreError) || error.code !== "io") throw error;
      for (const { uploadId } of await store.listUploads(key)) await store.abortUpload(key, uploadId);
    }
  }
}

async function probePartCopy(
  store: ObjectStore,
  key: string,
): Promise<Pick<StoreFeatures, "partCopy" | "conditionalPartCopy">> {
  const upload = `${key}.copy`;
  const id = await beginUpload(store, upload);
  const copyPart = (source: CopySource) => store.copyPart(upload, id, 1, source, 0, BODY.length);
  try {
    const partCopy = await works(copyPart({ key }));
    const refused = partCopy && (await rejects(copyPart({ key, ifMatch: OTHER_ETAG }), "precondition"));
    return { partCopy, conditionalPartCopy: refused };
  } finally {
    await store.abortUpload(upload, id);
  }
}
