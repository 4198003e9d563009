import { S_ISGID } from "../../src/vfs/attributes.js";
import { EACCES, EINVAL, ENOSPC, EOPNOTSUPP, EPERM, type Status } from "../../src/vfs/errno.js";
import type { Caller } from "../../src/vfs/node.js";
import { DirectoryNode, type MemoryNode, SymlinkNode } from "./nodes.js";
import { type MemoryStore, xattrBytes } from "./store.js";

export const ACCESS_ACL = "system.posix_acl_access";
export const DEFAULT_ACL = "system.posix_acl_default";

/** linux/posix_acl_xattr.h: a version, then entries of tag u16, permissions u16, id u32. */
const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
const UNDEFINED_ID = 0xffff_ffff;
const Tag = { USER_OBJ: 1, USER: 2, GROUP_OBJ: 4, GROUP: 8, MASK: 0x10, OTHER: 0x20 } as const;

interface AclEntry {
  readonly tag: number;
  permissions: number;
  readonly id: number;
}

/** Reads the form that setxattr brings: posix_acl_from_xattr(). -EINVAL, -EOPNOTSUPP. */
function decode(value: Uint8Array): AclEntry[] | Status {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (value.length < HEADER_BYTES) {
    return -EINVAL;
  }
  if (view.getUint32(0, true) !== VERSION) {
    return -EOPNOTSUPP;
  }
  if ((value.length - HEADER_BYTES) % ENTRY_BYTES !== 0) {
    return -EINVAL;
  }
  const entries: AclEntry[] = [];
  for (let at = HEADER_BYTES; at < value.length; at += ENTRY_BYTES) {
    entries.push({
      tag: view.getUint16(at, true),
      permissions: view.getUint16(at + 2, true),
      id: view.getUint32(at + 4, true),
    });
  }
  return entries;
}

function encode(entries: readonly AclEntry[]): Uint8Array {
  const value = new Uint8Array(HEADER_BYTES + entries.length * ENTRY_BYTES);
  const view = new DataView(value.buffer);
  view.setUint32(0, VERSION, true);
  entries.forEach(({ tag, permissions, id }, index) => {
    const at = HEADER_BYTES + index * ENTRY_BYTES;
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, permissions, true);
    view.setUint32(at + 4, tag === Tag.USER || tag === Tag.GROUP ? id : UNDEFINED_ID, true);
  });
  return value;
}

/** Entries come in the order of their tags, and a mask where there are named ones: posix_acl_valid(). */
function isValid(entries: readonly AclEntry[]): boolean {
  const count = (wanted: number) => entries.filter(({ tag }) => tag === wanted).length;
  const known = new Set<number>(Object.values(Tag));
  const isNamed = (tag: number) => tag === Tag.USER || tag === Tag.GROUP;
  const eachIsSound = entries.every(
    ({ tag, permissions, id }, index) =>
      known.has(tag) &&
      (permissions & ~7) === 0 &&
      !(isNamed(tag) && id === UNDEFINED_ID) &&
      tag >= (entries[index - 1]?.tag ?? 0),
  );
  const needsMask = entries.some(({ tag }) => isNamed(tag));
  const masks = count(Tag.MASK);
  return (
    eachIsSound &&
    [Tag.USER_OBJ, Tag.GROUP_OBJ, Tag.OTHER].every((tag) => count(tag) === 1) &&
    (masks === 1 || (masks === 0 && !needsMask))
  );
}

/** Whether the entries say no more than permission bits do. */
function isMinimal(entries: readonly AclEntry[]): boolean {
  return entries.length === 3;
}

/** The entry that the group bits of a mode stand for: the mask, or the owning group without one. */
function groupClass(entries: readonly AclEntry[]): AclEntry | undefined {
  return entries.find(({ tag }) => tag === Tag.MASK) ?? entries.find(({ tag }) => tag === Tag.GROUP_OBJ);
}

/** The entries that permission bits stand for, each with the place of its bits. */
function classes(entries: readonly AclEntry[]): [AclEntry | undefined, shift: number][] {
  return [
    [entries.find(({ tag }) => tag === Tag.USER_OBJ), 6],
    [groupClass(entries), 3],
    [entries.find(({ tag }) => tag === Tag.OTHER), 0],
  ];
}

/** The permission bits that an ACL shows as. */
function modeOf(entries: readonly AclEntry[]): number {
  return classes(entries).reduce((mode, [entry, shift]) => mode | ((entry?.permissions ?? 0) << shift), 0);
}

/** What a new node gets from the directory it is made in. */
export interface Inheritance {
  readonly mode: number;
  readonly access: Uint8Array | undefined;
  readonly inherited: Uint8Array | undefined;
}

/**
 * The mode and ACLs of a new node (not a symbolic link): the directory's default ACL narrows the mode and
 * is narrowed by it; without one the umask applies. posix_acl_create().
 */
export function inherit(
  directory: DirectoryNode,
  mode: number,
  umask: number,
  isDirectory: boolean,
): Inheritance {
  const value = directory.xattrs?.get(DEFAULT_ACL);
  const entries = value === undefined ? undefined : decode(value);
  if (value === undefined || entries === undefined || typeof entries === "number") {
    return { mode: mode & ~umask, access: undefined, inherited: undefined };
  }
  let masked = mode;
  for (const [entry, shift] of classes(entries)) {
    if (entry !== undefined) {
      entry.permissions &= mode >>> shift;
      masked &= ~(7 << shift) | (entry.permissions << shift);
    }
  }
  return {
    mode: masked,
    access: isMinimal(entries) ? undefined : encode(entries),
    inherited: isDirectory ? value : undefined,
  };
}

/** Bytes that {@link Inheritance} takes of the share. */
export function inheritedBytes({ access, inherited }: Inheritance): number {
  return (
    (access === undefined ? 0 : xattrBytes(ACCESS_ACL, access)) +
    (inherited === undefined ? 0 : xattrBytes(DEFAULT_ACL, inherited))
  );
}

/** chmod: the access ACL says what the mode says. posix_acl_chmod(). */
export function alignWithMode(node: MemoryNode): void {
  const value = node.xattrs?.get(ACCESS_ACL);
  const entries = value === undefined ? undefined : decode(value);
  if (entries === undefined || typeof entries === "number") {
    return;
  }
  for (const [entry, shift] of classes(entries)) {
    if (entry !== undefined) {
      entry.permissions = (node.mode >>> shift) & 7;
    }
  }
  node.xattrs?.set(ACCESS_ACL, encode(entries));
}

/** An access ACL is the mode in more words, and is kept only where it says more. */
function setAccessAcl(
  store: MemoryStore,
  caller: Caller,
  node: MemoryNode,
  entries: readonly AclEntry[],
): Status {
  const kept = entries.length === 0 || isMinimal(entries) ? undefined : encode(entries);
  if (!store.putXattr(node, ACCESS_ACL, kept)) {
    return -ENOSPC;
  }
  if (entries.length > 0) {
    node.mode = (node.mode & ~0o777) | modeOf(entries);
    if (caller.uid !== 0 && caller.gid !== node.gid) {
      node.mode &= ~S_ISGID;
    }
  }
  return 0;
}

/**
 * Sets an ACL; none when `value` has no entries or is undefined. The caller stamps the node.
 * Errors: EOPNOTSUPP (symbolic link), EINVAL, EACCES (a default ACL of what is no directory), EPERM, ENOSPC.
 */
export function setAcl(
  store: MemoryStore,
  caller: Caller,
  node: MemoryNode,
  name: string,
  value: Uint8Array | undefined,
): Status {
  if (node instanceof SymlinkNode) {
    return -EOPNOTSUPP;
  }
  const entries = value === undefined ? [] : decode(value);
  if (typeof entries === "number") {
    return entries;
  }
  if (entries.length > 0 && !isValid(entries)) {
    return -EINVAL;
  }
  if (caller.uid !== 0 && caller.uid !== node.uid) {
    return -EPERM;
  }
  if (name === ACCESS_ACL) {
    return setAccessAcl(store, caller, node, entries);
  }
  if (!(node instanceof DirectoryNode)) {
    return entries.length === 0 ? 0 : -EACCES;
  }
  return store.putXattr(node, name, entries.length === 0 ? undefined : encode(entries)) ? 0 : -ENOSPC;
}
