import { ENOSPC, type Result } from "../../../src/vfs/errno.js";
import type { ObjectAttributes } from "../store/object-store.js";
import type { FileAttributes, Time } from "./file-attributes.js";
import { ATTRIBUTE_NAMES } from "./read-metadata.js";

/** Which dialect is written; all are read. */
export type AttributeDialect = "s3fs" | "aws" | "none";

/** What S3 allows user metadata in all: names and values. */
const METADATA_BYTES = 2048;

const DIRECTORY_TYPE = "application/x-directory";

function s3fsTime({ sec, nsec }: Time): string {
  return nsec === 0 ? String(sec) : `${sec}.${String(nsec).padStart(9, "0")}`;
}

function awsTime({ sec, nsec }: Time): string {
  return `${BigInt(sec) * 1_000_000_000n + BigInt(nsec)}ns`;
}

function writeXattrs(xattrs: ReadonlyMap<string, Buffer>): string {
  const pairs = [...xattrs].map(([name, value]) => [
    Buffer.from(name, "latin1").toString(),
    value.toString("base64"),
  ]);
  return encodeURIComponent(JSON.stringify(Object.fromEntries(pairs)));
}

function dialectOf(attributes: FileAttributes, dialect: AttributeDialect): Record<string, string> {
  const { mode, uid, gid, atime, mtime, ctime, xattrs } = attributes;
  switch (dialect) {
    case "s3fs":
      return {
        mode: String(mode),
        uid: String(uid),
        gid: String(gid),
        mtime: s3fsTime(mtime),
        atime: s3fsTime(atime),
        ctime: s3fsTime(ctime),
        ...(xattrs.size > 0 && { xattr: writeXattrs(xattrs) }),
      };
    case "aws":
      return {
        "file-permissions": `0${mode.toString(8)}`,
        "file-owner": String(uid),
        "file-group": String(gid),
        "file-mtime": awsTime(mtime),
        "file-atime": awsTime(atime),
        ...(xattrs.size > 0 && { xattr: writeXattrs(xattrs) }),
      };
    case "none":
      return {};
  }
}

/**
 * What to store with an object: the attributes in `dialect`, and everything of `before` that is not about them.
 * -ENOSPC when it is more than S3 takes.
 */
export function writeAttributes(
  attributes: FileAttributes,
  dialect: AttributeDialect,
  isMarker: boolean,
  before: ObjectAttributes | undefined,
): Result<ObjectAttributes> {
  const kept = Object.entries(before?.metadata ?? {}).filter(([name]) => !ATTRIBUTE_NAMES.has(name));
  const metadata = { ...Object.fromEntries(kept), ...dialectOf(attributes, dialect) };
  let bytes = 0;
  for (const [name, value] of Object.entries(metadata)) {
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  }
  if (bytes > METADATA_BYTES) {
    return -ENOSPC;
  }
  const contentType = before?.contentType ?? (isMarker ? DIRECTORY_TYPE : undefined);
  return { ...before, metadata, ...(contentType !== undefined && { contentType }) };
}
