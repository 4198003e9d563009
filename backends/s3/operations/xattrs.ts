import { XattrFlag } from "../../../src/vfs/backend.js";
import {
  E2BIG,
  EEXIST,
  EINVAL,
  ENODATA,
  EOPNOTSUPP,
  EPERM,
  ERANGE,
  type Status,
} from "../../../src/vfs/errno.js";
import { replyXattr, replyXattrNames } from "../../../src/vfs/xattr-reply.js";
import { type FileAttributes, timeNow, typeOf } from "../attributes/file-attributes.js";
import { S3Directory, S3File, type S3Node } from "../namespace/node.js";
import type { S3Volume } from "../volume.js";
import { storeAttributes } from "./store-attributes.js";

const NAME_BYTES = 255;
const VALUE_BYTES = 65_536;
const USER = "user.";
const OBJECT = "s3.";
const SYMBOLIC_LINK = 0o120000;

/** What can be asked of an object but not set. They are not listed: copies would want to set them. */
function objectXattr(node: S3Node, name: string): string | undefined {
  const object = node instanceof S3File ? node.object : undefined;
  switch (name) {
    case "s3.key":
      return node.key;
    case "s3.etag":
      return object?.etag ?? (node instanceof S3Directory ? node.markerEtag : undefined);
    case "s3.version-id":
      return object?.versionId;
    case "s3.storage-class":
      return object?.storageClass;
    default:
      return undefined;
  }
}

/** Whether a name can be set: 0, -ERANGE, -EPERM, -EOPNOTSUPP or -EINVAL. */
function checkName(node: S3Node, name: string): Status {
  if (name.length > NAME_BYTES) {
    return -ERANGE;
  }
  if (name.startsWith(OBJECT)) {
    return -EPERM;
  }
  if (!name.startsWith(USER)) {
    return -EOPNOTSUPP;
  }
  if (typeOf(node.attributes?.mode ?? 0) === SYMBOLIC_LINK) {
    return -EPERM;
  }
  return name.length === USER.length ? -EINVAL : 0;
}

function replaceXattrs(volume: S3Volume, node: S3Node, xattrs: ReadonlyMap<string, Buffer>): Status {
  const before = node.attributes as FileAttributes;
  return storeAttributes(volume, node, { ...before, xattrs, ctime: timeNow() });
}

/** setxattr(2) of an inode whose attributes are loaded. -ENOSPC: more than an object can have. */
export function setXattr(
  volume: S3Volume,
  node: S3Node,
  name: string,
  value: Uint8Array,
  flags: number,
): Status {
  if ((flags & ~(XattrFlag.CREATE | XattrFlag.REPLACE)) !== 0) {
    return -EINVAL;
  }
  const refused = checkName(node, name);
  if (refused !== 0) {
    return refused;
  }
  if (value.length > VALUE_BYTES) {
    return -E2BIG;
  }
  const { xattrs } = node.attributes as FileAttributes;
  if (xattrs.has(name) && (flags & XattrFlag.CREATE) !== 0) {
    return -EEXIST;
  }
  if (!xattrs.has(name) && (flags & XattrFlag.REPLACE) !== 0) {
    return -ENODATA;
  }
  return replaceXattrs(volume, node, new Map(xattrs).set(name, Buffer.from(value)));
}

/** getxattr(2); with an empty `into` the length. */
export function getXattr(node: S3Node, name: string, into: Uint8Array): Status {
  const text = name.startsWith(OBJECT) ? objectXattr(node, name) : undefined;
  const value = text === undefined ? node.attributes?.xattrs.get(name) : Buffer.from(text);
  if (value === undefined) {
    return name.startsWith(USER) || name.startsWith(OBJECT) ? -ENODATA : -EOPNOTSUPP;
  }
  return replyXattr(value, into);
}

/** listxattr(2); with an empty `into` the length. */
export function listXattrs(node: S3Node, into: Uint8Array): Status {
  return replyXattrNames(node.attributes?.xattrs.keys() ?? [], into);
}

/** removexattr(2). */
export function removeXattr(volume: S3Volume, node: S3Node, name: string): Status {
  const refused = checkName(node, name);
  if (refused !== 0) {
    return refused;
  }
  const xattrs = new Map(node.attributes?.xattrs);
  return xattrs.delete(name) ? replaceXattrs(volume, node, xattrs) : -ENODATA;
}
