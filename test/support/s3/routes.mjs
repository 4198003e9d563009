// @ts-check
// Which operation a request is. The names are those of the API; counts and faults go by them.
import * as listing from "./listing.mjs";
import * as multipart from "./multipart.mjs";
import * as operations from "./operations.mjs";
import { element, xmlDocument } from "./xml.mjs";

/** @typedef {(context: operations.Context) => operations.Answer} Handler */

/** @type {Record<string, Handler>} */
export const HANDLERS = {
  HeadBucket: () => ({}),
  GetBucketVersioning: operations.getVersioning,
  PutBucketVersioning: operations.putVersioning,
  GetBucketLocation: () => ({ body: xmlDocument("LocationConstraint", "") }),
  ListObjects: listing.listObjects,
  ListObjectsV2: listing.listObjectsV2,
  ListObjectVersions: listing.listVersions,
  ListMultipartUploads: listing.listUploads,
  DeleteObjects: listing.deleteObjects,
  GetObject: operations.getObject,
  HeadObject: operations.headObject,
  PutObject: operations.putObject,
  CopyObject: operations.copyObject,
  DeleteObject: operations.deleteObject,
  GetObjectTagging: operations.getTagging,
  CreateMultipartUpload: multipart.createUpload,
  UploadPart: multipart.uploadPart,
  UploadPartCopy: multipart.uploadPartCopy,
  CompleteMultipartUpload: multipart.completeUpload,
  AbortMultipartUpload: multipart.abortUpload,
  ListParts: multipart.listParts,
};

/** A GET of a bucket that has other parameters asks for something else. */
const LIST_PARAMETERS = new Set(["delimiter", "encoding-type", "marker", "max-keys", "prefix"]);

/**
 * @param {string} method
 * @param {ReadonlyMap<string, string>} query
 */
function bucketOperation(method, query) {
  switch (method) {
    case "HEAD":
      return "HeadBucket";
    case "PUT":
      return query.has("versioning") ? "PutBucketVersioning" : "CreateBucket";
    case "DELETE":
      return "DeleteBucket";
    case "POST":
      return query.has("delete") ? "DeleteObjects" : undefined;
    case "GET":
      if (query.has("versioning")) return "GetBucketVersioning";
      if (query.has("location")) return "GetBucketLocation";
      if (query.has("uploads")) return "ListMultipartUploads";
      if (query.has("versions")) return "ListObjectVersions";
      if (query.get("list-type") === "2") return "ListObjectsV2";
      return [...query.keys()].every((name) => LIST_PARAMETERS.has(name)) ? "ListObjects" : undefined;
    default:
      return undefined;
  }
}

/**
 * @param {string} method
 * @param {ReadonlyMap<string, string>} query
 * @param {boolean} isCopy
 */
function objectOperation(method, query, isCopy) {
  const inUpload = query.has("uploadId");
  switch (method) {
    case "HEAD":
      return "HeadObject";
    case "GET":
      if (query.has("tagging")) return "GetObjectTagging";
      return inUpload ? "ListParts" : "GetObject";
    case "PUT":
      if (inUpload) return isCopy ? "UploadPartCopy" : "UploadPart";
      return isCopy ? "CopyObject" : "PutObject";
    case "DELETE":
      return inUpload ? "AbortMultipartUpload" : "DeleteObject";
    case "POST":
      if (query.has("uploads")) return "CreateMultipartUpload";
      return inUpload ? "CompleteMultipartUpload" : undefined;
    default:
      return undefined;
  }
}

/**
 * @param {string} method
 * @param {{bucket: string, key: string, query: ReadonlyMap<string, string>}} target
 * @param {boolean} isCopy
 * @returns {string | undefined}
 */
export function findOperation(method, { bucket, key, query }, isCopy) {
  if (bucket === "") return method === "GET" ? "ListBuckets" : undefined;
  return key === "" ? bucketOperation(method, query) : objectOperation(method, query, isCopy);
}

/** @param {Iterable<string>} names */
export function listBuckets(names) {
  const buckets = [...names].map((name) => `<Bucket>${element("Name", name)}</Bucket>`);
  return { body: xmlDocument("ListAllMyBucketsResult", `<Buckets>${buckets.join("")}</Buckets>`) };
}
