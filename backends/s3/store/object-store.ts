import type { FileRange } from "../../../src/native/http-connection.js";

/**
 * What an object store offers to the S3 backend: one bucket, ordinary objects. Keys are JavaScript strings of
 * the whole key (the share's prefix is the backend's business). Sizes and offsets are bytes, times milliseconds
 * since 1970. Every method retries what is worth retrying until its deadline and then rejects with a
 * {@link StoreError}; nothing else is ever rejected with, but for the AbortSignal's reason.
 */
export interface ObjectStore {
  /**
   * Finds out what the endpoint honours, with objects under `scratchPrefix` that it removes again. Without a prefix
   * (a read-only share) nothing is written and all that needs writing counts as not honoured. Rejects with a
   * GatewayError whose one line says which of bucket, region, clock, credentials and endpoint is wrong.
   */
  probe(scratchPrefix: string | undefined): Promise<StoreFeatures>;

  /** Metadata of an object. Rejects with "not-found". */
  head(key: string, options?: HeadOptions): Promise<ObjectInfo>;

  /**
   * Reads `into.length` bytes from `offset`, fewer only where the object ends. With `ifMatch` another object
   * under the key rejects with "precondition"; an offset at or behind the end with "range".
   */
  read(key: string, offset: number, into: Uint8Array, options?: ReadOptions): Promise<ReadResult>;

  /** The same with a file in place of memory. `whole` is not for it: a range has no checksum to be checked. */
  readToFile(key: string, offset: number, into: FileRange, options?: ReadOptions): Promise<ReadResult>;

  /** Memory that {@link readToFile} takes for so many bytes, until it has them. */
  heldBytes(length: number): number;

  /** An object's tags as {@link ObjectAttributes.tagging} has them; `head` says whether there are any. */
  readTags(key: string, options?: HeadOptions): Promise<string>;

  /** One page of keys in the order of their UTF-8 bytes. */
  list(options: ListOptions): Promise<ListPage>;

  /** Writes an object as a whole. */
  put(key: string, body: Uint8Array, attributes: ObjectAttributes, condition?: Condition): Promise<PutResult>;

  /**
   * Copies within the bucket, on the server. `attributes` replaces the metadata, undefined keeps the source's.
   * Sources above 5 GiB reject with "too-large": copy their parts instead.
   */
  copy(
    source: CopySource,
    target: string,
    attributes: ObjectAttributes | undefined,
    condition?: Condition,
  ): Promise<PutResult>;

  /** Removes an object. A key that does not exist is no error, whatever `condition` says. */
  remove(key: string, condition?: Condition): Promise<void>;

  /** Removes up to 1,000 objects in one request; resolves to those that failed. */
  removeMany(keys: readonly string[]): Promise<readonly { key: string; error: StoreError }[]>;

  /**
   * Begins a multipart upload. Should the answer be lost, it rejects with "io" without a second attempt, and an upload
   * may exist that only `listUploads` tells of.
   */
  createUpload(key: string, attributes: ObjectAttributes): Promise<string>;
  uploadPart(key: string, uploadId: string, partNumber: number, body: Uint8Array): Promise<PartResult>;
  /** Makes a part of `length` bytes of an object, from `offset`. They must all be there. */
  copyPart(
    key: string,
    uploadId: string,
    partNumber: number,
    source: CopySource,
    offset: number,
    length: number,
  ): Promise<PartResult>;
  /** Ends an upload. Completing again what was completed resolves as the first time where the server can tell. */
  completeUpload(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
    condition?: Condition,
  ): Promise<PutResult>;
  /** Drops an upload; one that no longer exists is no error. */
  abortUpload(key: string, uploadId: string): Promise<void>;
  /** The parts that arrived so far. Rejects with "no-upload" when the upload does not exist. */
  listParts(key: string, uploadId: string): Promise<readonly (UploadedPart & { size: number })[]>;

  /** The open uploads of this very key, whoever began them. */
  listUploads(key: string): Promise<readonly { uploadId: string; initiatedMs: number }[]>;

  /** Requests by class since the start: what a share costs. */
  readonly counts: Readonly<Record<RequestClass, number>>;

  /** Ends what is under way and closes all connections. */
  close(): Promise<void>;
}

export type RequestClass =
  | "head"
  | "get"
  | "list"
  | "put"
  | "copy"
  | "delete"
  | "createUpload"
  | "uploadPart"
  | "copyPart"
  | "completeUpload"
  | "abortUpload"
  | "listParts"
  | "other"
  /** Attempts beside the first; they are in the classes, too. */
  | "retries"
  /** Second requests for reads whose first was slow; they are in "get", too. */
  | "hedges";

/** What an endpoint honours; the backend chooses its ways by it. */
export interface StoreFeatures {
  /** PUT and CompleteMultipartUpload honour If-None-Match: *. */
  readonly createOnly: boolean;
  /** PUT and CompleteMultipartUpload honour If-Match. */
  readonly replaceOnly: boolean;
  /** DELETE honours If-Match. */
  readonly conditionalDelete: boolean;
  /** GET honours If-Match. */
  readonly conditionalRead: boolean;
  /** CopyObject honours x-amz-copy-source-if-match. */
  readonly conditionalCopy: boolean;
  /** CopyObject honours If-Match and If-None-Match for its target. */
  readonly conditionalCopyTarget: boolean;
  /** UploadPartCopy honours x-amz-copy-source-if-match; elsewhere the store looks at the source afterwards. */
  readonly conditionalPartCopy: boolean;
  /** UploadPartCopy works. */
  readonly partCopy: boolean;
  /** Full-object CRC32C or CRC64NVME checksums are checked and returned. */
  readonly checksums: boolean;
  /** The bucket keeps old versions. */
  readonly versioned: boolean;
  /** The share may write (PUT was allowed). */
  readonly writable: boolean;
}

/** What is stored beside an object's bytes and can be set. Undefined fields are not sent. */
export interface ObjectAttributes {
  /** User metadata without "x-amz-meta-", names in lower case. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly contentType?: string;
  readonly cacheControl?: string;
  readonly contentDisposition?: string;
  readonly contentEncoding?: string;
  readonly contentLanguage?: string;
  readonly expires?: string;
  readonly storageClass?: string;
  /** Tags as the header x-amz-tagging has them. */
  readonly tagging?: string;
}

/** Of an object that is bytes only. */
export const NO_ATTRIBUTES: ObjectAttributes = { metadata: {} };

export interface ObjectInfo {
  readonly key: string;
  readonly size: number;
  /** As the server sends it, with its quotes. */
  readonly etag: string;
  readonly lastModifiedMs: number;
  readonly versionId?: string;
  readonly storageClass?: string;
  /** How many tags it has; `attributes` does not have them. */
  readonly tagCount: number;
  readonly attributes: ObjectAttributes;
}

export interface HeadOptions {
  readonly versionId?: string;
  readonly signal?: AbortSignal;
}

export interface ReadOptions {
  readonly ifMatch?: string;
  /**
   * The object ends within `into`, as far as the caller knows. With offset 0 it is read as a whole, and then the
   * checksum that the server has is checked; a longer object rejects with "precondition".
   */
  readonly whole?: boolean;
  readonly versionId?: string;
  readonly signal?: AbortSignal;
}

export interface ReadResult {
  /** Bytes that were read. */
  readonly length: number;
  /** Of the whole object. */
  readonly size: number;
  readonly etag: string;
}

export interface ListOptions {
  readonly prefix: string;
  /** "/" folds what is below a directory into common prefixes. */
  readonly delimiter?: "/";
  /** Keys behind this one only. */
  readonly startAfter?: string;
  /** Of the page before. */
  readonly continuationToken?: string;
  /** At most 1,000. */
  readonly maxKeys?: number;
  readonly signal?: AbortSignal;
}

export interface ListedObject {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
  readonly lastModifiedMs: number;
  readonly storageClass?: string;
}

export interface ListPage {
  readonly objects: readonly ListedObject[];
  /** With the delimiter at their end. */
  readonly commonPrefixes: readonly string[];
  /** Undefined on the last page. */
  readonly continuationToken: string | undefined;
}

export interface CopySource {
  readonly key: string;
  readonly versionId?: string;
  /** Another object under the key rejects with "precondition". */
  readonly ifMatch?: string;
}

/**
 * What must hold for a change to happen; otherwise it rejects with "precondition", also where If-Match asks for an
 * object that is gone. A change that happened although its answer was lost resolves. What the endpoint does not
 * honour (see {@link StoreFeatures}) has no effect.
 */
export type Condition = { readonly ifMatch: string } | { readonly ifNoneMatch: "*" };

export interface PutResult {
  readonly etag: string;
  readonly versionId?: string;
}

export interface PartResult {
  readonly etag: string;
  /** Base64 of the part's checksum, where the endpoint has them. */
  readonly checksum?: string;
}

export interface UploadedPart extends PartResult {
  readonly partNumber: number;
}

export type StoreErrorCode =
  /** No such key or version: ENOENT. */
  | "not-found"
  /** No such bucket: ENODEV. */
  | "no-bucket"
  /** The upload does not exist (any more). */
  | "no-upload"
  /** 412, and 409 of a lost race: ESTALE, or EEXIST at a creation. */
  | "precondition"
  /** 416. */
  | "range"
  /** 403, wrong or expired credentials: EACCES. */
  | "access"
  /** The object is archived: EACCES. */
  | "archived"
  /** EntityTooLarge, or a copy above 5 GiB: EFBIG. */
  | "too-large"
  /** KeyTooLongError: ENAMETOOLONG. */
  | "key-too-long"
  /** QuotaExceeded: ENOSPC. */
  | "quota"
  /** NotImplemented: EOPNOTSUPP. */
  | "unsupported"
  /** The data do not have their checksum: EIO, they are never used. */
  | "checksum"
  /** Everything else, and what was retried in vain until the deadline: EIO. */
  | "io";

/** Why a request failed for good. `message` has operation, key, HTTP status and the server's code, no secrets. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  constructor(
    readonly code: StoreErrorCode,
    message: string,
    readonly status?: number,
  ) {
    super(message);
  }
}
