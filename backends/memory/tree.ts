import { ArenaTime } from "../../src/native/arena.js";
import {
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  S_ISGID,
} from "../../src/vfs/attributes.js";
import {
  EEXIST,
  EINVAL,
  EISDIR,
  EMLINK,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  type Result,
  type Status,
} from "../../src/vfs/errno.js";
import type { Caller, VfsNode } from "../../src/vfs/node.js";
import { ACCESS_ACL, DEFAULT_ACL, type Inheritance, inherit, inheritedBytes } from "./acl.js";
import { type DirectoryEntry, MAX_DIRECTORY_ENTRIES } from "./directory-entries.js";
import { inheritedFlags, isImmutable, mayChangeAttributes, mayRemove } from "./inode-flags.js";
import {
  DirectoryNode,
  FileNode,
  type MemoryNode,
  type Ownership,
  SpecialNode,
  SymlinkNode,
} from "./nodes.js";
import { LONG_SYMLINK_BYTES, type MemoryStore } from "./store.js";

const S_IXGRP = 0o010;
/** nlink is 32 bits wide; tmpfs has no other limit. */
export const MAX_LINKS = 0xffff_ffff;

/** An entry that is in its directory. */
export type LiveEntry = DirectoryEntry<MemoryNode> & { node: MemoryNode };

/** Names and what they stand for. */
export class MemoryTree {
  readonly store: MemoryStore;
  readonly root: DirectoryNode;

  constructor(store: MemoryStore, rootMode: number) {
    this.store = store;
    store.takeInode();
    this.root = new DirectoryNode(store.nextIno(), { mode: S_IFDIR | rootMode, uid: 0, gid: 0 }, undefined);
    store.stampNew(this.root);
  }

  /** A node as a directory that names can be looked up in. -ENOTDIR, -ENOENT when it was removed. */
  directory(node: VfsNode): Result<DirectoryNode> {
    if (!(node instanceof DirectoryNode)) {
      return -ENOTDIR;
    }
    return node.removed ? -ENOENT : node;
  }

  /** -ENOENT. */
  entry(directory: DirectoryNode, name: string): Result<LiveEntry> {
    return (directory.entries.get(name) as LiveEntry | undefined) ?? -ENOENT;
  }

  /**
   * Makes a node of any type under a name, which takes `pages` of the share besides the inode. Errors
   * in Linux' order: ENOTDIR, ENOENT, EEXIST, ENOSPC.
   */
  create<Node extends MemoryNode>(
    caller: Caller,
    parent: VfsNode,
    name: string,
    mode: number,
    make: (ino: number, ownership: Ownership, directory: DirectoryNode) => Node,
    pages = 0,
  ): Result<Node> {
    const directory = this.directory(parent);
    if (typeof directory === "number") {
      return directory;
    }
    if (directory.entries.get(name) !== undefined) {
      return -EEXIST;
    }
    if (isImmutable(directory)) {
      return -EPERM;
    }
    if (directory.entries.size >= MAX_DIRECTORY_ENTRIES) {
      return -ENOSPC;
    }
    const node = this.#make(caller, directory, mode, make, pages);
    if (typeof node !== "number") {
      this.addEntry(directory, name, node);
    }
    return node;
  }

  /** A node without a name, of which the inode, `pages` and its ACLs are counted. -ENOSPC. */
  #make<Node extends MemoryNode>(
    caller: Caller,
    directory: DirectoryNode,
    mode: number,
    make: (ino: number, ownership: Ownership, directory: DirectoryNode) => Node,
    pages: number,
  ): Result<Node> {
    const { store } = this;
    const type = mode & S_IFMT;
    const acls: Inheritance =
      type === S_IFLNK
        ? { mode, access: undefined, inherited: undefined }
        : inherit(directory, mode, caller.umask, type === S_IFDIR);
    const aclBytes = inheritedBytes(acls);
    if (!store.takeInode()) {
      return -ENOSPC;
    }
    if (pages > 0 && store.arena.charge(pages) < 0) {
      store.returnInode();
      return -ENOSPC;
    }
    if (aclBytes > 0 && !store.takeXattrBytes(aclBytes)) {
      store.arena.charge(-pages);
      store.returnInode();
      return -ENOSPC;
    }
    const node = make(store.nextIno(), this.#ownership(caller, directory, acls.mode), directory);
    node.flags = inheritedFlags(directory);
    if (aclBytes > 0) {
      node.xattrs = new Map();
      if (acls.access !== undefined) {
        node.xattrs.set(ACCESS_ACL, acls.access);
      }
      if (acls.inherited !== undefined) {
        node.xattrs.set(DEFAULT_ACL, acls.inherited);
      }
    }
    store.stampNew(node);
    return node;
  }

  /** A regular file without a name (O_TMPFILE), which link() can give one if it is `linkable`. */
  createUnnamed(caller: Caller, parent: VfsNode, mode: number, linkable: boolean): Result<FileNode> {
    const directory = this.directory(parent);
    if (typeof directory === "number") {
      return directory;
    }
    if (isImmutable(directory)) {
      return -EPERM;
    }
    const fileMode = S_IFREG | (mode & ~S_IFMT);
    const make = (ino: number, ownership: Ownership) => new FileNode(ino, ownership);
    const node = this.#make(caller, directory, fileMode, make, 0);
    if (typeof node !== "number") {
      node.nlink = 0;
      node.linkable = linkable;
    }
    return node;
  }

  /** mknod(2). -EPERM for a directory, -EINVAL for what mknod does not make. */
  createNode(caller: Caller, parent: VfsNode, name: string, mode: number, rdev: number): Result<MemoryNode> {
    switch (mode & S_IFMT) {
      case 0:
      case S_IFREG:
        return this.createFile(caller, parent, name, mode);
      case S_IFCHR:
      case S_IFBLK:
        return this.createSpecial(caller, parent, name, mode, rdev);
      case S_IFIFO:
      case S_IFSOCK:
        return this.createSpecial(caller, parent, name, mode, 0);
      case S_IFDIR:
        return -EPERM;
      default:
        return -EINVAL;
    }
  }

  createFile(caller: Caller, parent: VfsNode, name: string, mode: number): Result<FileNode> {
    const fileMode = S_IFREG | (mode & ~S_IFMT);
    return this.create(caller, parent, name, fileMode, (ino, ownership) => new FileNode(ino, ownership));
  }

  createDirectory(caller: Caller, parent: VfsNode, name: string, mode: number): Result<DirectoryNode> {
    return this.create(
      caller,
      parent,
      name,
      S_IFDIR | (mode & ~S_IFMT),
      (ino, ownership, directory) => new DirectoryNode(ino, ownership, directory),
    );
  }

  createSpecial(
    caller: Caller,
    parent: VfsNode,
    name: string,
    mode: number,
    rdev: number,
  ): Result<SpecialNode> {
    return this.create(caller, parent, name, mode, (ino, ownership) => new SpecialNode(ino, ownership, rdev));
  }

  createSymlink(caller: Caller, parent: VfsNode, name: string, target: string): Result<SymlinkNode> {
    const isLong = target.length >= LONG_SYMLINK_BYTES;
    const stored = isLong ? Buffer.from(target, "latin1") : target;
    return this.create(
      caller,
      parent,
      name,
      S_IFLNK | 0o777,
      (ino, ownership) => new SymlinkNode(ino, ownership, stored),
      isLong ? 1 : 0,
    );
  }

  /** link(2). */
  link(node: MemoryNode, newParent: VfsNode, newName: string): Status {
    const directory = this.directory(newParent);
    if (typeof directory === "number") {
      return directory;
    }
    if (directory.entries.get(newName) !== undefined) {
      return -EEXIST;
    }
    if (node instanceof DirectoryNode || isImmutable(directory) || !mayChangeAttributes(node)) {
      return -EPERM;
    }
    // The first name of an unnamed file is counted with the file already.
    const isFirst = node instanceof FileNode && node.linkable;
    if (node.nlink === 0 && !isFirst) {
      return -ENOENT;
    }
    if (node.nlink >= MAX_LINKS) {
      return -EMLINK;
    }
    if (directory.entries.size >= MAX_DIRECTORY_ENTRIES || !(isFirst || this.store.takeInode())) {
      return -ENOSPC;
    }
    if (isFirst) {
      node.linkable = false;
    }
    node.nlink++;
    this.store.touch(node, ArenaTime.CTIME);
    this.addEntry(directory, newName, node);
    return 0;
  }

  unlink(parent: VfsNode, name: string): Status {
    const directory = this.directory(parent);
    if (typeof directory === "number") {
      return directory;
    }
    const entry = this.entry(directory, name);
    if (typeof entry === "number") {
      return entry;
    }
    const { node } = entry;
    if (!mayRemove(directory, node)) {
      return -EPERM;
    }
    if (node instanceof DirectoryNode) {
      return -EISDIR;
    }
    this.removeEntry(directory, entry);
    this.dropName(node);
    return 0;
  }

  rmdir(parent: VfsNode, name: string): Status {
    const directory = this.directory(parent);
    if (typeof directory === "number") {
      return directory;
    }
    const entry = this.entry(directory, name);
    if (typeof entry === "number") {
      return entry;
    }
    const { node } = entry;
    if (!mayRemove(directory, node)) {
      return -EPERM;
    }
    if (!(node instanceof DirectoryNode)) {
      return -ENOTDIR;
    }
    if (node.entries.size > 0) {
      return -ENOTEMPTY;
    }
    this.removeEntry(directory, entry);
    this.dropName(node);
    return 0;
  }

  /** The directory that holds a directory. -ENOTDIR, -ENOENT when it was removed. */
  parentOf(node: VfsNode): Result<DirectoryNode> {
    const directory = this.directory(node);
    return typeof directory === "number" ? directory : directory.parent;
  }

  /** Adds a name; the directory's link count and times follow. */
  addEntry(directory: DirectoryNode, name: string, node: MemoryNode): void {
    directory.entries.add(name, node);
    if (node instanceof DirectoryNode) {
      directory.nlink++;
      node.parent = directory;
    }
    this.store.touch(directory, ArenaTime.MTIME | ArenaTime.CTIME);
  }

  /** Takes a name away; the node's own link count stays as it is. */
  removeEntry(directory: DirectoryNode, entry: LiveEntry): void {
    if (entry.node instanceof DirectoryNode) {
      directory.nlink--;
    }
    directory.entries.remove(entry);
    this.store.touch(directory, ArenaTime.MTIME | ArenaTime.CTIME);
  }

  /** A node lost a name (a directory its only one). */
  dropName(node: MemoryNode): void {
    if (node instanceof DirectoryNode) {
      node.nlink = 0;
      node.removed = true;
    } else if (--node.nlink > 0) {
      this.store.returnInode();
    }
    this.store.touch(node, ArenaTime.CTIME);
    this.disposeIfUnused(node);
  }

  /** Frees a node without a name when nobody has it open, and neither the guest nor an overlay knows it. */
  disposeIfUnused(node: MemoryNode): void {
    if (node.nlink === 0 && node.openCount === 0 && node.tableIndex < 0 && node.holds === 0) {
      this.store.dispose(node);
    }
  }

  /** Owner and mode of what `caller` makes in a directory: inode_init_owner() of Linux. */
  #ownership(caller: Caller, directory: DirectoryNode, mode: number): Ownership {
    if ((directory.mode & S_ISGID) === 0) {
      return { mode, uid: caller.uid, gid: caller.gid };
    }
    const { gid } = directory;
    if ((mode & S_IFMT) === S_IFDIR) {
      return { mode: mode | S_ISGID, uid: caller.uid, gid };
    }
    const isMember = caller.uid === 0 || caller.gid === gid || caller.supplementaryGroup === gid;
    const stripped = !isMember && (mode & S_ISGID) !== 0 && (mode & S_IXGRP) !== 0;
    return { mode: stripped ? mode & ~S_ISGID : mode, uid: caller.uid, gid };
  }
}
