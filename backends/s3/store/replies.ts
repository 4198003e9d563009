import type { IncomingHttpHeaders } from "node:http";
import { headerText, readAttributes } from "./attributes.js";
import { CHECKSUM_ALGORITHM, CHECKSUM_HEADER } from "./checksum.js";
import type {
  ListedObject,
  ListPage,
  ObjectInfo,
  PartResult,
  PutResult,
  UploadedPart,
} from "./object-store.js";
import { decodeListedKey } from "./uri.js";
import { childText, ElementTags, parseXml, requiredText, type XmlElement } from "./xml.js";

const CHECKSUM_ELEMENT = `Checksum${CHECKSUM_ALGORITHM}`;

/** A copy: as a part of the document, which is how V8 has it, a key that is remembered would keep all of that in memory. */
function copyOf(text: string): string {
  return ` ${text}`.slice(1);
}

const CONTENTS = new ElementTags("Contents");
const KEY = new ElementTags("Key");
const SIZE = new ElementTags("Size");
const ETAG = new ElementTags("ETag");
const LAST_MODIFIED = new ElementTags("LastModified");
const STORAGE_CLASS = new ElementTags("StorageClass");

function readListed(inner: string): ListedObject {
  const storageClass = STORAGE_CLASS.textIn(inner);
  return {
    key: copyOf(decodeListedKey(KEY.requiredTextIn(inner))),
    size: Number(SIZE.requiredTextIn(inner)),
    etag: copyOf(ETAG.requiredTextIn(inner)),
    lastModifiedMs: Date.parse(LAST_MODIFIED.requiredTextIn(inner)),
    ...(storageClass !== undefined && { storageClass: copyOf(storageClass) }),
  };
}

export function readListPage(body: Buffer): ListPage {
  const { inner, rest } = CONTENTS.takeOut(body.toString());
  const root = parseXml(rest);
  const objects = inner.map(readListed);
  const commonPrefixes: string[] = [];
  for (const child of root.children) {
    if (child.name === "CommonPrefixes") {
      commonPrefixes.push(copyOf(decodeListedKey(requiredText(child, "Prefix"))));
    }
  }
  const truncated = requiredText(root, "IsTruncated") === "true";
  const continuationToken = truncated ? requiredText(root, "NextContinuationToken") : undefined;
  return { objects, commonPrefixes, continuationToken };
}

export function readObjectInfo(key: string, headers: IncomingHttpHeaders): ObjectInfo {
  const versionId = headerText(headers, "x-amz-version-id");
  const storageClass = headerText(headers, "x-amz-storage-class");
  return {
    key,
    size: Number(headers["content-length"]),
    etag: headerText(headers, "etag") ?? "",
    lastModifiedMs: Date.parse(headers["last-modified"] ?? ""),
    ...(versionId !== undefined && { versionId }),
    ...(storageClass !== undefined && { storageClass }),
    tagCount: Number(headers["x-amz-tagging-count"] ?? 0),
    attributes: readAttributes(headers),
  };
}

/** Of PUT, in headers. */
export function readPutHeaders(headers: IncomingHttpHeaders): PutResult {
  const versionId = headerText(headers, "x-amz-version-id");
  return { etag: headerText(headers, "etag") ?? "", ...(versionId !== undefined && { versionId }) };
}

/** Of copies and completions, in the body. */
export function readPutBody(headers: IncomingHttpHeaders, body: Buffer): PutResult {
  const etag = requiredText(parseXml(body.toString()), "ETag");
  return { ...readPutHeaders(headers), etag };
}

export function readPartHeaders(headers: IncomingHttpHeaders): PartResult {
  const checksum = headerText(headers, CHECKSUM_HEADER);
  return { etag: headerText(headers, "etag") ?? "", ...(checksum !== undefined && { checksum }) };
}

function readPart(element: XmlElement): PartResult {
  const checksum = childText(element, CHECKSUM_ELEMENT);
  return { etag: requiredText(element, "ETag"), ...(checksum !== undefined && { checksum }) };
}

export function readPartBody(body: Buffer): PartResult {
  return readPart(parseXml(body.toString()));
}

export function readUploadId(body: Buffer): string {
  return requiredText(parseXml(body.toString()), "UploadId");
}

/** One page of ListParts. */
export function readParts(body: Buffer): {
  parts: (UploadedPart & { size: number })[];
  next: string | undefined;
} {
  const root = parseXml(body.toString());
  const parts = root.children
    .filter(({ name }) => name === "Part")
    .map((element) => ({
      partNumber: Number(requiredText(element, "PartNumber")),
      size: Number(requiredText(element, "Size")),
      ...readPart(element),
    }));
  const truncated = childText(root, "IsTruncated") === "true";
  return { parts, next: truncated ? requiredText(root, "NextPartNumberMarker") : undefined };
}

/** One page of ListMultipartUploads. */
export function readUploads(body: Buffer): {
  uploads: { key: string; uploadId: string; initiatedMs: number }[];
  next: { key: string; uploadId: string } | undefined;
} {
  const root = parseXml(body.toString());
  const uploads = root.children
    .filter(({ name }) => name === "Upload")
    .map((element) => ({
      key: decodeListedKey(requiredText(element, "Key")),
      uploadId: requiredText(element, "UploadId"),
      initiatedMs: Date.parse(requiredText(element, "Initiated")),
    }));
  if (childText(root, "IsTruncated") !== "true") return { uploads, next: undefined };
  const key = decodeListedKey(requiredText(root, "NextKeyMarker"));
  return { uploads, next: { key, uploadId: requiredText(root, "NextUploadIdMarker") } };
}

/** What DeleteObjects could not remove. */
export function readDeleteErrors(body: Buffer): { key: string; code: string }[] {
  return parseXml(body.toString())
    .children.filter(({ name }) => name === "Error")
    .map((element) => ({ key: requiredText(element, "Key"), code: requiredText(element, "Code") }));
}

/** Tags as x-amz-tagging has them. */
export function readTagging(body: Buffer): string {
  const [set] = parseXml(body.toString()).children;
  const pairs = set?.children.map((tag) => [requiredText(tag, "Key"), requiredText(tag, "Value")]) ?? [];
  return new URLSearchParams(pairs as [string, string][]).toString();
}
