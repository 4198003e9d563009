import { ArenaTime } from "../../src/native/arena.js";
import {
  E2BIG,
  EEXIST,
  EINVAL,
  ENODATA,
  ENOSPC,
  EOPNOTSUPP,
  EPERM,
  ERANGE,
  type Status,
} from "../../src/vfs/errno.js";
import type { Caller } from "../../src/vfs/node.js";
import { DirectoryNode, FileNode, type MemoryNode } from "./nodes.js";
import { type MemoryStore, xattrBytes } from "./store.js";

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const NAME_LIMIT_BYTES = 255;
const VALUE_LIMIT_BYTES = 65_536;
const NAMESPACES = ["user.", "trusted.", "security."];
/** File capabilities: whoever changes contents or owner loses them. */
const CAPABILITY = "security.capability";

/** Whether the name is one that a node can have at all: 0, -ERANGE, -EOPNOTSUPP or -EINVAL. */
function checkName(name: string): Status {
  if (name.length === 0 || name.length > NAME_LIMIT_BYTES) {
    return -ERANGE;
  }
  const namespace = NAMESPACES.find((prefix) => name.startsWith(prefix));
  if (namespace === undefined) {
    return -EOPNOTSUPP;
  }
  return name.length === namespace.length ? -EINVAL : 0;
}

/** Only regular files and directories have attributes of users; only root sees "trusted.". */
function isReachable(caller: Caller, node: MemoryNode, name: string): boolean {
  if (name.startsWith("user.")) {
    return node instanceof FileNode || node instanceof DirectoryNode;
  }
  return !name.startsWith("trusted.") || caller.uid === 0;
}

/** setxattr(2). */
export function setXattr(
  store: MemoryStore,
  caller: Caller,
  node: MemoryNode,
  name: string,
  value: Uint8Array,
  flags: number,
): Status {
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) {
    return -EINVAL;
  }
  const refused = checkName(name);
  if (refused !== 0) {
    return refused;
  }
  if (value.length > VALUE_LIMIT_BYTES) {
    return -E2BIG;
  }
  if (!isReachable(caller, node, name)) {
    return -EPERM;
  }
  const old = node.xattrs?.get(name);
  if (old !== undefined && (flags & XATTR_CREATE) !== 0) {
    return -EEXIST;
  }
  if (old === undefined && (flags & XATTR_REPLACE) !== 0) {
    return -ENODATA;
  }
  const before = old === undefined ? 0 : xattrBytes(name, old);
  if (!store.takeXattrBytes(xattrBytes(name, value) - before)) {
    return -ENOSPC;
  }
  node.xattrs ??= new Map();
  node.xattrs.set(name, Uint8Array.from(value));
  store.touch(node, ArenaTime.CTIME);
  return 0;
}

/** getxattr(2); with an empty `into` the length. */
export function getXattr(caller: Caller, node: MemoryNode, name: string, into: Uint8Array): Status {
  const refused = checkName(name);
  if (refused !== 0) {
    return refused;
  }
  const value = isReachable(caller, node, name) ? node.xattrs?.get(name) : undefined;
  if (value === undefined) {
    return -ENODATA;
  }
  if (into.length > 0) {
    if (into.length < value.length) {
      return -ERANGE;
    }
    into.set(value);
  }
  return value.length;
}

/** listxattr(2); with an empty `into` the length. */
export function listXattrs(caller: Caller, node: MemoryNode, into: Uint8Array): Status {
  let length = 0;
  for (const name of node.xattrs?.keys() ?? []) {
    if (!isReachable(caller, node, name)) {
      continue;
    }
    if (into.length > 0) {
      if (length + name.length + 1 > into.length) {
        return -ERANGE;
      }
      into.set(Buffer.from(`${name}\0`, "latin1"), length);
    }
    length += name.length + 1;
  }
  return length > VALUE_LIMIT_BYTES ? -E2BIG : length;
}

/** removexattr(2). */
export function removeXattr(store: MemoryStore, caller: Caller, node: MemoryNode, name: string): Status {
  const refused = checkName(name);
  if (refused !== 0) {
    return refused;
  }
  if (!isReachable(caller, node, name)) {
    return -EPERM;
  }
  if (!dropXattr(store, node, name)) {
    return -ENODATA;
  }
  store.touch(node, ArenaTime.CTIME);
  return 0;
}

/** Takes file capabilities away, as a change of contents or owner does. */
export function dropCapabilities(store: MemoryStore, node: MemoryNode): void {
  dropXattr(store, node, CAPABILITY);
}

function dropXattr(store: MemoryStore, node: MemoryNode, name: string): boolean {
  const value = node.xattrs?.get(name);
  if (value === undefined) {
    return false;
  }
  store.takeXattrBytes(-xattrBytes(name, value));
  node.xattrs?.delete(name);
  if (node.xattrs?.size === 0) {
    node.xattrs = undefined;
  }
  return true;
}
