import { createHash } from "node:crypto";
import type { FileRange } from "../../../src/native/http-connection.js";
import { attributeHeaders } from "./attributes.js";
import { CHECKSUM_ALGORITHM, CHECKSUM_HEADER, checksumOf } from "./checksum.js";
import { codeOf, type ReplyFailure, toStoreError } from "./failure.js";
import { findCompleted, findCopied, findWritten } from "./lost-answers.js";
import {
  type Condition,
  type CopySource,
  type HeadOptions,
  type ListOptions,
  type ListPage,
  type ObjectAttributes,
  type ObjectInfo,
  type ObjectStore,
  type PartResult,
  type PutResult,
  type ReadOptions,
  type ReadResult,
  type RequestClass,
  StoreError,
  type StoreFeatures,
  type UploadedPart,
} from "./object-store.js";
import { probe, probeReading } from "./probe.js";
import { readObject, readObjectToFile } from "./reading.js";
import * as replies from "./replies.js";
import type { S3Client, S3Reply, S3Request } from "./s3-client.js";
import { encodeKey, encodeValue } from "./uri.js";
import { escapeXml } from "./xml.js";

const MAX_LIST_KEYS = "1000";
/** Of a body that native code moves into a file: a piece of it, what came with the head, and what TLS reads ahead. */
const DIRECT_BYTES = 160 * 1024;
/** What XML cannot say: such keys are removed one by one. */
const NOT_IN_XML = /[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/;

/** An {@link ObjectStore} over the S3 API. */
export class S3Store implements ObjectStore {
  readonly #client: S3Client;
  #checksums = true;
  #conditionalPartCopy = false;

  constructor(client: S3Client) {
    this.#client = client;
  }

  get counts(): Readonly<Record<RequestClass, number>> {
    return this.#client.counts;
  }

  async probe(scratchPrefix: string | undefined): Promise<StoreFeatures> {
    if (scratchPrefix === undefined) return probeReading(this.#client);
    this.#checksums = this.#conditionalPartCopy = true; // what is asked for is seen
    const features = await probe(this, this.#client, scratchPrefix);
    this.#checksums = features.checksums;
    this.#conditionalPartCopy = features.conditionalPartCopy;
    return features;
  }

  async head(key: string, { versionId, signal }: HeadOptions = {}): Promise<ObjectInfo> {
    const query = { versionId };
    const { headers } = await this.#succeed({
      ...{ class: "head", method: "HEAD", key, query, signal, direct: true },
    });
    return replies.readObjectInfo(key, headers);
  }

  async readTags(key: string, { versionId, signal }: HeadOptions = {}): Promise<string> {
    const query = { tagging: "", versionId };
    const { body } = await this.#succeed({ class: "other", method: "GET", key, query, signal });
    return replies.readTagging(body);
  }

  read(key: string, offset: number, into: Uint8Array, options: ReadOptions = {}): Promise<ReadResult> {
    return readObject(this.#client, key, offset, into, options);
  }

  readToFile(key: string, offset: number, into: FileRange, options: ReadOptions = {}): Promise<ReadResult> {
    return readObjectToFile(this.#client, key, offset, into, options);
  }

  heldBytes(length: number): number {
    return this.#client.isDirect ? Math.min(length, DIRECT_BYTES) : length;
  }

  async list(options: ListOptions): Promise<ListPage> {
    const { prefix, delimiter, startAfter, continuationToken, maxKeys, signal } = options;
    const query = {
      ...{ "list-type": "2", "encoding-type": "url", prefix, delimiter },
      ...{ "start-after": startAfter, "continuation-token": continuationToken },
      "max-keys": maxKeys?.toString() ?? MAX_LIST_KEYS,
    };
    const { body } = await this.#succeed({ class: "list", method: "GET", query, signal });
    return replies.readListPage(body);
  }

  async put(
    key: string,
    body: Uint8Array,
    attributes: ObjectAttributes,
    condition?: Condition,
  ): Promise<PutResult> {
    const headers = [...attributeHeaders(attributes), ...conditionHeaders(condition)];
    const request: S3Request = {
      ...put("put", key, [...headers, ...this.#checksumHeaders(body)]),
      ...{ body, direct: true },
    };
    const { failure, ...reply } = await this.#client.send(request);
    if (failure === undefined) return replies.readPutHeaders(reply.headers);
    return this.#conditional(request, { ...reply, failure }, condition, () =>
      findWritten(this.#client, key, body, attributes),
    );
  }

  async copy(
    source: CopySource,
    target: string,
    attributes: ObjectAttributes | undefined,
    condition?: Condition,
  ): Promise<PutResult> {
    const headers = [...this.#sourceHeaders(source), ...conditionHeaders(condition)];
    if (attributes !== undefined)
      headers.push("x-amz-metadata-directive", "REPLACE", ...attributeHeaders(attributes));
    if (attributes?.tagging !== undefined) headers.push("x-amz-tagging-directive", "REPLACE");
    const request: S3Request = { ...put("copy", target, headers), slow: true };
    const { failure, ...reply } = await this.#client.send(request);
    if (failure === undefined) return replies.readPutBody(reply.headers, reply.body);
    if (/larger than the maximum/.test(failure.text)) {
      throw new StoreError("too-large", `${this.#client.describe(request)}: the source is above 5 GiB`);
    }
    return this.#conditional(request, { ...reply, failure }, condition, () =>
      findCopied(this.#client, source, target, attributes),
    );
  }

  async remove(key: string, condition?: Condition): Promise<void> {
    const headers = conditionHeaders(condition);
    const request: S3Request = { class: "delete", method: "DELETE", key, headers: () => [...headers] };
    const reply = await this.#client.send(request);
    if (reply.failure === undefined || codeOf(reply.failure) === "not-found") return;
    // Servers differ in what they say of a key that is gone; so does one whose answer was lost.
    if (codeOf(reply.failure) === "precondition" && (await this.#isGone(key))) return;
    throw toStoreError(this.#client.describe(request), reply.failure);
  }

  async removeMany(keys: readonly string[]): Promise<readonly { key: string; error: StoreError }[]> {
    const inXml = keys.filter((key) => !NOT_IN_XML.test(key));
    const alone = keys.filter((key) => NOT_IN_XML.test(key));
    const failed = await Promise.all(
      alone.map((key) =>
        this.remove(key).then(
          () => undefined,
          (error: unknown) => ({ key, error: error as StoreError }),
        ),
      ),
    );
    const failures = failed.filter((failure) => failure !== undefined);
    return inXml.length === 0 ? failures : [...failures, ...(await this.#removeListed(inXml))];
  }

  async #removeListed(keys: readonly string[]): Promise<{ key: string; error: StoreError }[]> {
    const objects = keys.map((key) => `<Object><Key>${escapeXml(key)}</Key></Object>`).join("");
    const body = Buffer.from(`<Delete><Quiet>true</Quiet>${objects}</Delete>`);
    const digest = createHash("md5").update(body).digest("base64");
    const headers = () => ["content-type", "application/xml", "content-md5", digest];
    const query = { delete: "" };
    const reply = await this.#succeed({ class: "delete", method: "POST", query, headers, body });
    return replies.readDeleteErrors(reply.body).map(({ key, code }) => {
      const failure = { status: 200, s3Code: code, text: "", region: undefined, serverTime: undefined };
      return { key, error: toStoreError(`delete ${JSON.stringify(key)}`, failure) };
    });
  }

  async createUpload(key: string, attributes: ObjectAttributes): Promise<string> {
    const headers = attributeHeaders(attributes);
    if (this.#checksums) {
      headers.push("x-amz-checksum-algorithm", CHECKSUM_ALGORITHM, "x-amz-checksum-type", "FULL_OBJECT");
    }
    const query = { uploads: "" };
    const { body } = await this.#succeed({
      ...{ class: "createUpload", method: "POST", key, query, headers: () => [...headers], once: true },
    });
    return replies.readUploadId(body);
  }

  async uploadPart(key: string, uploadId: string, partNumber: number, body: Uint8Array): Promise<PartResult> {
    const query = { partNumber: String(partNumber), uploadId };
    const request = { ...put("uploadPart", key, this.#checksumHeaders(body)), query, body, direct: true };
    return replies.readPartHeaders((await this.#succeedInUpload(request)).headers);
  }

  async copyPart(
    key: string,
    uploadId: string,
    partNumber: number,
    source: CopySource,
    offset: number,
    length: number,
  ): Promise<PartResult> {
    const query = { partNumber: String(partNumber), uploadId };
    const range = `bytes=${offset}-${offset + length - 1}`;
    const headers = [...this.#sourceHeaders(source), "x-amz-copy-source-range", range];
    const { body } = await this.#succeed({ ...put("copyPart", key, headers), query, slow: true });
    if (source.ifMatch !== undefined && !this.#conditionalPartCopy) await this.#checkSource(source);
    return replies.readPartBody(body);
  }

  async completeUpload(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
    condition?: Condition,
  ): Promise<PutResult> {
    const listed = parts.map(({ partNumber, etag, checksum }) => {
      const sum = checksum === undefined ? "" : `<ChecksumCRC32C>${escapeXml(checksum)}</ChecksumCRC32C>`;
      return `<Part><PartNumber>${partNumber}</PartNumber><ETag>${escapeXml(etag)}</ETag>${sum}</Part>`;
    });
    const body = Buffer.from(`<CompleteMultipartUpload>${listed.join("")}</CompleteMultipartUpload>`);
    const headers = ["content-type", "application/xml", ...conditionHeaders(condition)];
    const request: S3Request = {
      ...{ class: "completeUpload", method: "POST", key, query: { uploadId }, slow: true },
      ...{ headers: () => [...headers], body },
      isStillOpen: () => this.#hasUpload(key, uploadId),
    };
    try {
      const { headers: sent, body: document } = await this.#succeed(request);
      return replies.readPutBody(sent, document);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      const { code, message, status } = error;
      if (code !== "no-upload" && code !== "precondition" && code !== "not-found") throw error;
      // Whoever asks again after a restart does not know either whether it was done before.
      const found = await findCompleted(this.#client, key, parts);
      if (found !== undefined) {
        // The same parts may have come by an earlier upload, and then this one is still open.
        if (code === "precondition") await this.abortUpload(key, uploadId);
        return found;
      }
      if (code !== "not-found") throw error;
      throw new StoreError(isReplacement(condition) ? "precondition" : "no-upload", message, status);
    }
  }

  /** radosgw answers a completion of what is no upload with InternalError, again and again. */
  async #hasUpload(key: string, uploadId: string): Promise<boolean> {
    const query = { uploadId, "max-parts": "1" };
    const { failure } = await this.#client.send({ class: "listParts", method: "GET", key, query });
    return failure?.status !== 404;
  }

  async abortUpload(key: string, uploadId: string): Promise<void> {
    const request: S3Request = { class: "abortUpload", method: "DELETE", key, query: { uploadId } };
    const { failure } = await this.#client.send(request);
    if (failure !== undefined && failure.status !== 404)
      throw toStoreError(this.#client.describe(request), failure);
  }

  async listParts(key: string, uploadId: string): Promise<readonly (UploadedPart & { size: number })[]> {
    const all: (UploadedPart & { size: number })[] = [];
    let marker: string | undefined;
    do {
      const query = { uploadId, "part-number-marker": marker };
      const { body } = await this.#succeedInUpload({ class: "listParts", method: "GET", key, query });
      const { parts, next } = replies.readParts(body);
      all.push(...parts);
      marker = next;
    } while (marker !== undefined);
    return all;
  }

  async listUploads(key: string): Promise<readonly { uploadId: string; initiatedMs: number }[]> {
    const found: { uploadId: string; initiatedMs: number }[] = [];
    let after: { key: string; uploadId: string } | undefined;
    do {
      const query = {
        ...{ uploads: "", prefix: key, "encoding-type": "url" },
        ...{ "key-marker": after?.key, "upload-id-marker": after?.uploadId },
      };
      const { body } = await this.#succeed({ class: "other", method: "GET", query });
      const { uploads, next } = replies.readUploads(body);
      for (const { key: of, uploadId, initiatedMs } of uploads) {
        if (of === key) found.push({ uploadId, initiatedMs });
      }
      // Keys come in order: behind this one there are only longer ones.
      after = next?.key === key ? next : undefined;
    } while (after !== undefined);
    return found;
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  async #succeed(request: S3Request): Promise<S3Reply> {
    const reply = await this.#client.send(request);
    if (reply.failure !== undefined) throw toStoreError(this.#client.describe(request), reply.failure);
    return reply;
  }

  /** Of what needs no object: radosgw says NoSuchKey when it means the upload. */
  async #succeedInUpload(request: S3Request): Promise<S3Reply> {
    const reply = await this.#client.send(request);
    if (reply.failure === undefined) return reply;
    const error = toStoreError(this.#client.describe(request), reply.failure);
    throw error.code === "not-found" ? new StoreError("no-upload", error.message, error.status) : error;
  }

  /**
   * The result of a change that failed: what `find` finds, when the condition does not hold any more because an
   * attempt whose answer was lost had changed the object.
   */
  async #conditional(
    request: S3Request,
    { failure, uncertain }: S3Reply & { failure: ReplyFailure },
    condition: Condition | undefined,
    find: () => Promise<PutResult | undefined>,
  ): Promise<PutResult> {
    const error = toStoreError(this.#client.describe(request), failure);
    // An object to be replaced that is gone is another object than the caller saw.
    const isGone = error.code === "not-found" && isReplacement(condition);
    if (error.code !== "precondition" && !isGone) throw error;
    const found = uncertain && condition !== undefined ? await find() : undefined;
    if (found !== undefined) return found;
    throw new StoreError("precondition", error.message, error.status);
  }

  /** What has this ETag after a copy had it before. */
  async #checkSource({ key, versionId, ifMatch }: CopySource): Promise<void> {
    const { etag } = await this.head(key, versionId === undefined ? {} : { versionId });
    if (etag !== ifMatch)
      throw new StoreError("precondition", `copyPart of ${JSON.stringify(key)}: its ETag is ${etag}`);
  }

  async #isGone(key: string): Promise<boolean> {
    const { failure } = await this.#client.send({ class: "head", method: "HEAD", key });
    return failure !== undefined && codeOf(failure) === "not-found";
  }

  #checksumHeaders(body: Uint8Array): string[] {
    if (!this.#checksums) return [];
    // radosgw looks at a checksum only when the SDK's header announces it.
    return ["x-amz-sdk-checksum-algorithm", CHECKSUM_ALGORITHM, CHECKSUM_HEADER, checksumOf(body)];
  }

  #sourceHeaders({ key, versionId, ifMatch }: CopySource): string[] {
    const version = versionId === undefined ? "" : `?versionId=${encodeValue(versionId)}`;
    const headers = ["x-amz-copy-source", `/${this.#client.bucket}/${encodeKey(key)}${version}`];
    if (ifMatch !== undefined) headers.push("x-amz-copy-source-if-match", ifMatch);
    return headers;
  }
}

function put(name: S3Request["class"], key: string, headers: readonly string[]): S3Request {
  return { class: name, method: "PUT", key, headers: () => [...headers] };
}

function isReplacement(condition: Condition | undefined): boolean {
  return condition !== undefined && "ifMatch" in condition;
}

function conditionHeaders(condition: Condition | undefined): string[] {
  if (condition === undefined) return [];
  return "ifMatch" in condition ? ["if-match", condition.ifMatch] : ["if-none-match", condition.ifNoneMatch];
}
