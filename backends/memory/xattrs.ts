import { ArenaTime } from "../../src/native/arena.js";
import { XattrFlag } from "../../src/vfs/backend.js";
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
import { replyXattr, replyXattrNames } from "../../src/vfs/xattr-reply.js";
import { ACCESS_ACL, DEFAULT_ACL, setAcl } from "./acl.js";
import { mayChangeAttributes } from "./inode-flags.js";
import { DirectoryNode, FileNode, type MemoryNode } from "./nodes.js";
import { CAPABILITY, hasCapabilities, type MemoryStore } from "./store.js";

const NAME_LIMIT_BYTES = 255;
const VALUE_LIMIT_BYTES = 65_536;
const NAMESPACES = ["user.", "trusted.", "security."];

function isAcl(name: string): boolean {
  return name === ACCESS_ACL || name === DEFAULT_ACL;
}

/** Whether the name is one that a node can have at all: 0, -ERANGE, -EOPNOTSUPP or -EINVAL. */
function checkName(store: MemoryStore, name: string): Status {
  if (name.length === 0 || name.length > NAME_LIMIT_BYTES) {
    return -ERANGE;
  }
  if (isAcl(name)) {
    return store.posixAcl ? 0 : -EOPNOTSUPP;
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
  if ((flags & ~(XattrFlag.CREATE | XattrFlag.REPLACE)) !== 0) {
    return -EINVAL;
  }
  const refused = checkName(store, name);
  if (refused !== 0) {
    return refused;
  }
  if (value.length > VALUE_LIMIT_BYTES) {
    return -E2BIG;
  }
  if (!mayChangeAttributes(node)) {
    return -EPERM;
  }
  if (isAcl(name)) {
    return stamped(store, node, setAcl(store, caller, node, name, value));
  }
  if (!isReachable(caller, node, name)) {
    return -EPERM;
  }
  const old = node.xattrs?.get(name);
  if (old !== undefined && (flags & XattrFlag.CREATE) !== 0) {
    return -EEXIST;
  }
  if (old === undefined && (flags & XattrFlag.REPLACE) !== 0) {
    return -ENODATA;
  }
  return stamped(store, node, store.putXattr(node, name, Uint8Array.from(value)) ? 0 : -ENOSPC);
}

/** getxattr(2); with an empty `into` the length. */
export function getXattr(
  store: MemoryStore,
  caller: Caller,
  node: MemoryNode,
  name: string,
  into: Uint8Array,
): Status {
  const refused = checkName(store, name);
  if (refused !== 0) {
    return refused;
  }
  const value = isReachable(caller, node, name) ? node.xattrs?.get(name) : undefined;
  if (value === undefined) {
    return -ENODATA;
  }
  return replyXattr(value, into);
}

/** listxattr(2); with an empty `into` the length. */
export function listXattrs(caller: Caller, node: MemoryNode, into: Uint8Array): Status {
  const names = [...(node.xattrs?.keys() ?? [])].filter((name) => isReachable(caller, node, name));
  const status = replyXattrNames(names, into);
  return status > VALUE_LIMIT_BYTES ? -E2BIG : status;
}

/** removexattr(2). */
export function removeXattr(store: MemoryStore, caller: Caller, node: MemoryNode, name: string): Status {
  const refused = checkName(store, name);
  if (refused !== 0) {
    return refused;
  }
  if (!mayChangeAttributes(node)) {
    return -EPERM;
  }
  if (isAcl(name)) {
    return stamped(store, node, setAcl(store, caller, node, name, undefined));
  }
  if (!isReachable(caller, node, name)) {
    return -EPERM;
  }
  if (node.xattrs?.has(name) !== true) {
    return -ENODATA;
  }
  store.putXattr(node, name, undefined);
  return stamped(store, node, 0);
}

/** Takes file capabilities away, as a change of contents or owner does. */
export function dropCapabilities(store: MemoryStore, node: MemoryNode): void {
  if (hasCapabilities(node)) {
    store.putXattr(node, CAPABILITY, undefined);
  }
}

/** Sets ctime when the change was made. */
function stamped(store: MemoryStore, node: MemoryNode, status: Status): Status {
  if (status === 0) {
    store.touch(node, ArenaTime.CTIME);
  }
  return status;
}
