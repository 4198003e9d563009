import { ARENA_PAGE_BYTES, openArena } from "../../src/native/arena.js";
import {
  ATTR_WORDS,
  type AttributeChange,
  type AttrRecord,
  type FileSystemStatistics,
} from "../../src/vfs/attributes.js";
import { Backend, type BackendCapabilities } from "../../src/vfs/backend.js";
import type { DirectoryBuffer } from "../../src/vfs/directory-buffer.js";
import {
  type Awaitable,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENOENT,
  ENOTDIR,
  ENXIO,
  ESTALE,
  type Result,
  type Status,
} from "../../src/vfs/errno.js";
import { GatewayError } from "../../src/vfs/gateway-error.js";
import type { Caller, VfsHandle, VfsNode } from "../../src/vfs/node.js";
import { changeAttributes, checkAccess } from "./change-attributes.js";
import { allocate, copyRange, O_NOATIME, openFile, readFile, seek, writeFile } from "./file-data.js";
import { inodeIoctl } from "./inode-flags.js";
import { checkSavePath, saveTree, seedTree } from "./keep.js";
import {
  DirectoryNode,
  FileNode,
  MemoryDirectoryHandle,
  type MemoryFileHandle,
  type MemoryNode,
  SymlinkNode,
} from "./nodes.js";
import { DEFAULT_ROOT_MODE, defaultInodeLimit, type MemoryBackendOptions } from "./options.js";
import { fillDirectory } from "./read-directory.js";
import { rename } from "./rename.js";
import { MemoryStore } from "./store.js";
import { MemoryTree } from "./tree.js";
import { getXattr, listXattrs, removeXattr, setXattr } from "./xattrs.js";

/** Forgotten nodes to remember for lookups by id, however few files there are. */
const LEAST_RETAINED = 4096;
const O_ACCMODE = 3;
const O_EXCL = 0o200;

/**
 * A share in memory that follows tmpfs: files in an arena that native code reads and writes, names and
 * attributes here. Every operation answers at once. Whether the caller may do it is the guest kernel's
 * to decide (default_permissions).
 */
export class MemoryBackend extends Backend {
  readonly capabilities: BackendCapabilities;
  readonly #limitPages: number;
  readonly #inodeLimit: number;
  readonly #options: MemoryBackendOptions;
  readonly #scratch: AttrRecord = new Uint32Array(ATTR_WORDS);
  #tree: MemoryTree | undefined;

  constructor(options: MemoryBackendOptions) {
    super();
    this.capabilities = {
      hardLinks: true,
      specialFiles: true,
      xattrs: true,
      changesOutside: false,
      posixAcl: options.posixAcl ?? false,
      parents: true,
      birthTimes: true,
      choosesAttributes: false,
    };
    this.#limitPages = Math.ceil(options.sizeBytes / ARENA_PAGE_BYTES);
    this.#inodeLimit = options.inodeLimit ?? defaultInodeLimit();
    this.#options = options;
  }

  get #store(): MemoryStore {
    return this.#started.store;
  }

  get #started(): MemoryTree {
    if (this.#tree === undefined) {
      throw new GatewayError("environment", "the memory share is not started");
    }
    return this.#tree;
  }

  override start(): Awaitable<VfsNode> {
    const { seed, save, rootMode = DEFAULT_ROOT_MODE } = this.#options;
    if (save !== undefined) {
      checkSavePath(save);
    }
    const store = new MemoryStore(openArena(this.#limitPages), this.#inodeLimit, this.capabilities.posixAcl);
    const tree = new MemoryTree(store, rootMode);
    this.#tree = tree;
    return seed === undefined ? tree.root : this.#seed(tree, seed);
  }

  async #seed(tree: MemoryTree, path: string): Promise<VfsNode> {
    try {
      await seedTree(tree, path, this.#options.logger);
    } catch (err) {
      this.#close();
      throw err;
    }
    return tree.root;
  }

  override stop(): Awaitable<void> {
    const { save } = this.#options;
    if (save === undefined || this.#tree === undefined) {
      this.#close();
      return;
    }
    return saveTree(this.#tree, save, this.#options.logger).finally(() => this.#close());
  }

  #close(): void {
    this.#tree?.store.arena.close();
    this.#tree = undefined;
  }

  override retain(node: VfsNode): boolean {
    return (node as MemoryNode).nlink > 0;
  }

  /** All files there are; a guest can have as many again unlinked since it forgot them. */
  override get retainLimit(): number {
    return Math.max(LEAST_RETAINED, this.#store.inodes);
  }

  override forget(node: VfsNode): void {
    const forgotten = node as MemoryNode;
    if (forgotten.nlink === 0 && forgotten.openCount === 0) {
      this.#tree?.store.dispose(forgotten);
    }
  }

  override statfs(): FileSystemStatistics {
    return this.#store.statistics(this.#limitPages);
  }

  override lookup(_caller: Caller, parent: VfsNode, name: string, out: AttrRecord): Result<VfsNode> {
    if (!(parent instanceof DirectoryNode)) {
      return -ENOTDIR;
    }
    const node = parent.entries.get(name)?.node;
    return node === undefined ? -ENOENT : this.#show(node, out);
  }

  override getattr(_caller: Caller, node: VfsNode, _handle: VfsHandle | undefined, out: AttrRecord): Status {
    if (!(node as MemoryNode).alive) {
      return -ESTALE;
    }
    this.#store.fillAttributes(node as MemoryNode, out);
    return 0;
  }

  override setattr(
    caller: Caller,
    node: VfsNode,
    _handle: VfsHandle | undefined,
    change: AttributeChange,
    out: AttrRecord,
  ): Status {
    const status = changeAttributes(this.#store, caller, node as MemoryNode, change);
    if (status === 0) {
      this.#store.fillAttributes(node as MemoryNode, out);
    }
    return status;
  }

  override readlink(_caller: Caller, node: VfsNode): Result<string> {
    if (!(node instanceof SymlinkNode)) {
      return -EINVAL;
    }
    this.#store.touchRead(node);
    return typeof node.target === "string" ? node.target : node.target.toString("latin1");
  }

  override mknod(
    caller: Caller,
    parent: VfsNode,
    name: string,
    mode: number,
    rdev: number,
    out: AttrRecord,
  ): Result<VfsNode> {
    return this.#show(this.#started.createNode(caller, parent, name, mode, rdev), out);
  }

  override mkdir(
    caller: Caller,
    parent: VfsNode,
    name: string,
    mode: number,
    out: AttrRecord,
  ): Result<VfsNode> {
    return this.#show(this.#started.createDirectory(caller, parent, name, mode), out);
  }

  override symlink(
    caller: Caller,
    parent: VfsNode,
    name: string,
    target: string,
    out: AttrRecord,
  ): Result<VfsNode> {
    return this.#show(this.#started.createSymlink(caller, parent, name, target), out);
  }

  override link(
    _caller: Caller,
    node: VfsNode,
    newParent: VfsNode,
    newName: string,
    out: AttrRecord,
  ): Result<VfsNode> {
    const status = this.#started.link(node as MemoryNode, newParent, newName);
    return status < 0 ? status : this.#show(node as MemoryNode, out);
  }

  override unlink(_caller: Caller, parent: VfsNode, name: string): Status {
    return this.#started.unlink(parent, name);
  }

  override rmdir(_caller: Caller, parent: VfsNode, name: string): Status {
    return this.#started.rmdir(parent, name);
  }

  override rename(
    caller: Caller,
    parent: VfsNode,
    name: string,
    newParent: VfsNode,
    newName: string,
    flags: number,
  ): Status {
    return rename(this.#started, caller, { parent, name }, { parent: newParent, name: newName }, flags);
  }

  override open(caller: Caller, node: VfsNode, flags: number): Result<VfsHandle> {
    if (node instanceof FileNode) {
      return openFile(this.#store, caller, node, flags);
    }
    if (node instanceof DirectoryNode) {
      return -EISDIR;
    }
    return node instanceof SymlinkNode ? -ELOOP : -ENXIO;
  }

  override create(
    caller: Caller,
    parent: VfsNode,
    name: string,
    flags: number,
    mode: number,
    out: AttrRecord,
  ): Result<VfsHandle> {
    const created = this.#started.createFile(caller, parent, name, mode);
    const found =
      created === -EEXIST && (flags & O_EXCL) === 0 && parent instanceof DirectoryNode
        ? (parent.entries.get(name)?.node ?? -ENOENT)
        : created;
    if (typeof found === "number") {
      return found;
    }
    const handle = this.open(caller, found, flags);
    if (typeof handle !== "number") {
      this.#store.fillAttributes(found, out);
    }
    return handle;
  }

  override tmpfile(
    caller: Caller,
    parent: VfsNode,
    flags: number,
    mode: number,
    out: AttrRecord,
  ): Result<VfsHandle> {
    if ((flags & O_ACCMODE) === 0) {
      return -EINVAL;
    }
    const node = this.#started.createUnnamed(caller, parent, mode, (flags & O_EXCL) === 0);
    if (typeof node === "number") {
      return node;
    }
    const handle = openFile(this.#store, caller, node, flags & ~O_EXCL);
    if (typeof handle === "number") {
      this.#store.dispose(node);
      return handle;
    }
    this.#store.fillAttributes(node, out);
    return handle;
  }

  override parentOf(_caller: Caller, node: VfsNode, out: AttrRecord): Result<VfsNode> {
    return this.#show(this.#started.parentOf(node), out);
  }

  override ioctl(
    caller: Caller,
    handle: VfsHandle,
    command: number,
    input: Uint8Array,
    into: Uint8Array,
  ): Status {
    return inodeIoctl(this.#store, caller, handle.node as MemoryNode, command, input, into);
  }

  override read(_caller: Caller, handle: VfsHandle, offset: number, into: Uint8Array): Status {
    return readFile(this.#store, handle as MemoryFileHandle, offset, into);
  }

  override write(caller: Caller, handle: VfsHandle, offset: number, from: Uint8Array): Status {
    return writeFile(this.#store, caller, handle as MemoryFileHandle, offset, from);
  }

  override release(handle: VfsHandle): void {
    const { node } = handle as MemoryFileHandle;
    if (--node.openCount === 0) {
      this.#tree?.store.dropEmptyFile(node);
      this.#tree?.disposeIfUnused(node);
    }
  }

  override fsync(): Status {
    return 0;
  }

  override opendir(_caller: Caller, node: VfsNode, flags = 0): Result<VfsHandle> {
    if (!(node instanceof DirectoryNode)) {
      return -ENOTDIR;
    }
    node.openCount++;
    return new MemoryDirectoryHandle(node, (flags & O_NOATIME) !== 0);
  }

  override readdir(_caller: Caller, handle: VfsHandle, sink: DirectoryBuffer): Status {
    return fillDirectory(this.#store, handle as MemoryDirectoryHandle, sink, this.#scratch);
  }

  override releasedir(handle: VfsHandle): void {
    const { node } = handle as MemoryDirectoryHandle;
    node.openCount--;
    this.#tree?.disposeIfUnused(node);
  }

  override fsyncdir(): Status {
    return 0;
  }

  override syncfs(): Status {
    return 0;
  }

  override setxattr(caller: Caller, node: VfsNode, name: string, value: Uint8Array, flags: number): Status {
    return setXattr(this.#store, caller, node as MemoryNode, name, value, flags);
  }

  override getxattr(caller: Caller, node: VfsNode, name: string, into: Uint8Array): Status {
    return getXattr(this.#store, caller, node as MemoryNode, name, into);
  }

  override listxattr(caller: Caller, node: VfsNode, into: Uint8Array): Status {
    return listXattrs(caller, node as MemoryNode, into);
  }

  override removexattr(caller: Caller, node: VfsNode, name: string): Status {
    return removeXattr(this.#store, caller, node as MemoryNode, name);
  }

  override access(caller: Caller, node: VfsNode, mask: number): Status {
    return checkAccess(caller, node as MemoryNode, mask);
  }

  override fallocate(
    caller: Caller,
    handle: VfsHandle,
    mode: number,
    offset: bigint,
    length: bigint,
  ): Status {
    return allocate(this.#store, caller, handle as MemoryFileHandle, mode, offset, length);
  }

  override lseek(_caller: Caller, handle: VfsHandle, offset: bigint, whence: number): Result<bigint> {
    return seek(this.#store, handle as MemoryFileHandle, offset, whence);
  }

  override copyFileRange(
    caller: Caller,
    from: VfsHandle,
    fromOffset: bigint,
    to: VfsHandle,
    toOffset: bigint,
    length: bigint,
  ): Result<bigint> {
    const [source, target] = [from as MemoryFileHandle, to as MemoryFileHandle];
    return copyRange(this.#store, caller, source, fromOffset, target, toOffset, length);
  }

  /** Fills `out` when there is a node to show; errors pass through. */
  #show(node: Result<MemoryNode>, out: AttrRecord): Result<VfsNode> {
    if (typeof node !== "number") {
      this.#store.fillAttributes(node, out);
    }
    return node;
  }
}
