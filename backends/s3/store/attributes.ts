import type { IncomingHttpHeaders } from "node:http";
import type { ObjectAttributes } from "./object-store.js";

const METADATA = "x-amz-meta-";

/** Header of each attribute that has one of its own. */
const HEADERS = {
  contentType: "content-type",
  cacheControl: "cache-control",
  contentDisposition: "content-disposition",
  contentEncoding: "content-encoding",
  contentLanguage: "content-language",
  expires: "expires",
  storageClass: "x-amz-storage-class",
  tagging: "x-amz-tagging",
} as const satisfies Partial<Record<keyof ObjectAttributes, string>>;

type HeaderAttribute = keyof typeof HEADERS;
const HEADER_ATTRIBUTES = Object.entries(HEADERS) as [HeaderAttribute, string][];

/** The headers of a request that makes an object. */
export function attributeHeaders(attributes: ObjectAttributes): string[] {
  const headers: string[] = [];
  for (const [attribute, name] of HEADER_ATTRIBUTES) {
    const value = attributes[attribute];
    if (value !== undefined) headers.push(name, value);
  }
  for (const [name, value] of Object.entries(attributes.metadata)) headers.push(METADATA + name, value);
  return headers;
}

/** What the headers of a reply say about an object; tags are counted there and not told. */
export function readAttributes(headers: IncomingHttpHeaders): ObjectAttributes {
  const metadata: Record<string, string> = {};
  for (const name of Object.keys(headers)) {
    if (name.startsWith(METADATA)) metadata[name.slice(METADATA.length)] = headerText(headers, name) ?? "";
  }
  const found: Partial<Record<HeaderAttribute, string>> = {};
  for (const [attribute, name] of HEADER_ATTRIBUTES) {
    const value = headerText(headers, name);
    if (value !== undefined) found[attribute] = value;
  }
  return { metadata, ...found };
}

export function headerText(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(",") : value;
}
