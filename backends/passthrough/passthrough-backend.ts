import { constants } from "node:fs";
import { getSystemErrorName } from "node:util";
import { copyAttributes, posix } from "../../src/native/posix.js";
import {
  type AttributeChange,
  type AttrRecord,
  type FileSystemStatistics,
  S_IFMT,
  S_IFREG,
} from "../../src/vfs/attributes.js";
import { Backend, type BackendCapabilities } from "../../src/vfs/backend.js";
import type { DirectoryBuffer } from "../../src/vfs/directory-buffer.js";
import type { Awaitable, Result, Status } from "../../src/vfs/errno.js";
import { EINVAL, ENOSYS } from "../../src/vfs/errno.js";
import { GatewayError } from "../../src/vfs/gateway-error.js";
import type { Logger } from "../../src/vfs/logger.js";
import type { Caller } from "../../src/vfs/node.js";
import { applyChange } from "./attribute-changes.js";
import { listDirectory } from "./directory-listing.js";
import { FileOpener } from "./file-opener.js";
import { type DirectoryHandle, FileHandle, type PassthroughNode } from "./node.js";
import { NodeTable } from "./node-table.js";

const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;

export interface PassthroughOptions {
  /** The directory to serve; symbolic links on the way to it are followed. */
  readonly sharedDir: string;
  /** Serve extended attributes. Off, the guest is told once that there are none. */
  readonly xattr: boolean;
  /** Pass O_DIRECT on to the host's files. */
  readonly allowDirectIo: boolean;
  /** Reach inodes by file handles instead of an open descriptor each. */
  readonly inodeFileHandles?: "never" | "prefer" | "mandatory";
  /** Keep POSIX ACLs: apply the caller's umask unless the parent has a default ACL. */
  readonly posixAcl?: boolean;
  readonly logger: Logger;
}

/**
 * Serves a directory of the host. The guest's kernel checks permissions; here creations act as the
 * caller where the process may, so that owners come out right. Names are resolved one at a time below
 * a pinned directory, links are never followed, and nothing but regular files and directories is opened.
 */
export class PassthroughBackend extends Backend {
  readonly capabilities: BackendCapabilities;
  readonly #options: PassthroughOptions;
  readonly #nodes: NodeTable;
  readonly #opener: FileOpener;
  #root: PassthroughNode | undefined;

  constructor(options: PassthroughOptions) {
    super();
    this.#options = options;
    this.#nodes = new NodeTable(options.logger);
    this.#opener = new FileOpener(this.#nodes, options.allowDirectIo);
    this.capabilities = {
      hardLinks: true,
      specialFiles: true,
      xattrs: options.xattr,
      changesOutside: true,
      posixAcl: false,
      parents: false,
    };
  }

  override start(): PassthroughNode {
    const prepared = posix.prepareThread();
    if (prepared < 0) {
      throw new GatewayError("environment", `cannot open /proc/self/fd: ${getSystemErrorName(prepared)}`);
    }
    const { sharedDir } = this.#options;
    const path = posix.openRoot(Buffer.from(sharedDir).toString("latin1"));
    const root = path < 0 ? path : this.#nodes.addOpened(path);
    const readable = typeof root === "number" ? root : posix.reopen(root.path, constants.O_DIRECTORY);
    if (typeof root === "number" || readable < 0) {
      this.#nodes.close();
      const reason = getSystemErrorName(readable);
      const value = JSON.stringify(sharedDir);
      throw new GatewayError(
        "environment",
        `--shared-dir: ${value} is not a directory that can be opened: ${reason}`,
      );
    }
    posix.close(readable);
    root.known = true;
    this.#root = root;
    return root;
  }

  override stop(): void {
    this.#nodes.close();
  }

  override forget(node: PassthroughNode): void {
    if (node !== this.#root) {
      this.#nodes.forget(node);
    }
  }

  override statfs(node: PassthroughNode): Result<FileSystemStatistics> {
    const fd = this.#nodes.descriptor(node);
    const status = fd < 0 ? fd : posix.statfs(fd);
    if (status < 0) {
      return status;
    }
    const [blocks, blocksFree, blocksAvailable, files, filesFree, blockSize, fragmentSize, nameLength] =
      posix.statistics as unknown as [number, number, number, number, number, number, number, number];
    return { blocks, blocksFree, blocksAvailable, files, filesFree, blockSize, fragmentSize, nameLength };
  }

  override lookup(
    _caller: Caller,
    parent: PassthroughNode,
    name: string,
    out: AttrRecord,
  ): Result<PassthroughNode> {
    return this.#give(this.#nodes.lookup(parent, name), out);
  }

  override getattr(
    _caller: Caller,
    node: PassthroughNode,
    handle: FileHandle | DirectoryHandle | undefined,
    out: AttrRecord,
  ): Status {
    const status = handle === undefined ? this.#nodes.stat(node) : posix.stat(handle.fd);
    if (status < 0) {
      return status;
    }
    copyAttributes(out);
    return 0;
  }

  override setattr(
    caller: Caller,
    node: PassthroughNode,
    handle: FileHandle | DirectoryHandle | undefined,
    change: AttributeChange,
    out: AttrRecord,
  ): Awaitable<Status> {
    const file = handle instanceof FileHandle ? handle : undefined;
    const applied = applyChange(this.#nodes, node, file, change);
    if (typeof applied === "number") {
      return applied < 0 ? applied : this.getattr(caller, node, handle, out);
    }
    return applied.then((status) => (status < 0 ? status : this.getattr(caller, node, undefined, out)));
  }

  override readlink(_caller: Caller, node: PassthroughNode): Result<string> {
    if (!node.isSymlink) {
      return -EINVAL;
    }
    const fd = this.#nodes.pin(node);
    return fd < 0 ? fd : posix.readLink(fd);
  }

  override mknod(
    caller: Caller,
    parent: PassthroughNode,
    name: string,
    mode: number,
    rdev: number,
    out: AttrRecord,
  ): Result<PassthroughNode> {
    const { uid, gid, supplementaryGroup } = caller;
    const fullMode = (mode & S_IFMT) === 0 ? mode | S_IFREG : mode;
    const directory = this.#nodes.pin(parent);
    const made =
      directory < 0
        ? directory
        : posix.makeNode(directory, name, fullMode, rdev, uid, gid, supplementaryGroup);
    return this.#created(made, parent, name, out);
  }

  override mkdir(
    caller: Caller,
    parent: PassthroughNode,
    name: string,
    mode: number,
    out: AttrRecord,
  ): Result<PassthroughNode> {
    const { uid, gid, supplementaryGroup } = caller;
    const directory = this.#nodes.pin(parent);
    const made =
      directory < 0 ? directory : posix.makeDirectory(directory, name, mode, uid, gid, supplementaryGroup);
    return this.#created(made, parent, name, out);
  }

  override symlink(
    caller: Caller,
    parent: PassthroughNode,
    name: string,
    target: string,
    out: AttrRecord,
  ): Result<PassthroughNode> {
    const { uid, gid, supplementaryGroup } = caller;
    const directory = this.#nodes.pin(parent);
    const made =
      directory < 0 ? directory : posix.makeSymlink(directory, name, target, uid, gid, supplementaryGroup);
    return this.#created(made, parent, name, out);
  }

  override link(
    _caller: Caller,
    node: PassthroughNode,
    newParent: PassthroughNode,
    newName: string,
    out: AttrRecord,
  ): Result<PassthroughNode> {
    const directory = this.#nodes.pin(newParent);
    const fd = directory < 0 ? directory : this.#nodes.pin(node);
    const linked = fd < 0 ? fd : posix.link(fd, directory, newName);
    const status = linked < 0 ? linked : posix.stat(fd);
    return this.#give(status < 0 ? status : node, out);
  }

  override unlink(_caller: Caller, parent: PassthroughNode, name: string): Status {
    return this.#remove(parent, name, 0);
  }

  override rmdir(_caller: Caller, parent: PassthroughNode, name: string): Status {
    return this.#remove(parent, name, 1);
  }

  override rename(
    _caller: Caller,
    parent: PassthroughNode,
    name: string,
    newParent: PassthroughNode,
    newName: string,
    flags: number,
  ): Status {
    const from = this.#nodes.pin(parent);
    const to = from < 0 ? from : this.#nodes.pin(newParent);
    if (to < 0) {
      return to;
    }
    const replaces = (flags & (RENAME_NOREPLACE | RENAME_EXCHANGE)) === 0;
    const victim = replaces ? this.#nodes.beforeRemoval(newParent, newName) : undefined;
    const status = posix.rename(from, name, to, newName, flags);
    if (status < 0) {
      return status;
    }
    this.#nodes.afterRemoval(victim);
    this.#nodes.renamed(parent, name, newParent, newName, (flags & RENAME_EXCHANGE) !== 0);
    return 0;
  }

  override open(_caller: Caller, node: PassthroughNode, flags: number): Result<FileHandle> {
    return this.#opener.open(node, flags);
  }

  override create(
    caller: Caller,
    parent: PassthroughNode,
    name: string,
    flags: number,
    mode: number,
    out: AttrRecord,
  ): Result<FileHandle> {
    const handle = this.#opener.create(caller, parent, name, flags, mode);
    if (typeof handle !== "number") {
      copyAttributes(out);
      handle.node.known = true;
    }
    return handle;
  }

  /** Nothing is held back here; what a disk refuses later is reported by fsync. */
  override flush(_caller: Caller, _handle: FileHandle): Status {
    return 0;
  }

  override release(handle: FileHandle): void {
    this.#nodes.closed(handle.node, handle);
  }

  override fsync(_caller: Caller, handle: FileHandle, dataOnly: boolean): Promise<Status> {
    return posix.fsync(handle.fd, dataOnly ? 1 : 0);
  }

  override opendir(_caller: Caller, node: PassthroughNode): Result<DirectoryHandle> {
    return this.#opener.openDirectory(node);
  }

  override readdir(_caller: Caller, handle: DirectoryHandle, sink: DirectoryBuffer): Status {
    return listDirectory(this.#nodes, handle, sink);
  }

  override releasedir(handle: DirectoryHandle): void {
    posix.close(handle.fd);
    this.#nodes.closed(handle.node, handle);
  }

  override fsyncdir(_caller: Caller, handle: DirectoryHandle, dataOnly: boolean): Promise<Status> {
    return posix.fsync(handle.fd, dataOnly ? 1 : 0);
  }

  override syncfs(_node: PassthroughNode): Awaitable<Status> {
    return this.#root === undefined ? 0 : posix.syncfs(this.#root.path);
  }

  override setxattr(
    _caller: Caller,
    node: PassthroughNode,
    name: string,
    value: Uint8Array,
    flags: number,
  ): Status {
    const fd = this.#xattrDescriptor(node);
    return fd < 0 ? fd : posix.setXattr(fd, name, value, flags);
  }

  override getxattr(_caller: Caller, node: PassthroughNode, name: string, into: Uint8Array): Status {
    const fd = this.#xattrDescriptor(node);
    return fd < 0 ? fd : posix.getXattr(fd, name, into);
  }

  override listxattr(_caller: Caller, node: PassthroughNode, into: Uint8Array): Status {
    const fd = this.#xattrDescriptor(node);
    return fd < 0 ? fd : posix.listXattr(fd, into);
  }

  override removexattr(_caller: Caller, node: PassthroughNode, name: string): Status {
    const fd = this.#xattrDescriptor(node);
    return fd < 0 ? fd : posix.removeXattr(fd, name);
  }

  override fallocate(
    _caller: Caller,
    handle: FileHandle,
    mode: number,
    offset: bigint,
    length: bigint,
  ): Promise<Status> {
    return posix.fallocate(handle.fd, mode, offset, length);
  }

  override lseek(_caller: Caller, handle: FileHandle, offset: bigint, whence: number): Result<bigint> {
    return posix.seek(handle.fd, offset, whence);
  }

  override async copyFileRange(
    _caller: Caller,
    from: FileHandle,
    fromOffset: bigint,
    to: FileHandle,
    toOffset: bigint,
    length: bigint,
  ): Promise<Result<bigint>> {
    const copied = await posix.copyFileRange(from.fd, fromOffset, to.fd, toOffset, length);
    return copied < 0 ? copied : BigInt(copied);
  }

  /** Hands a node whose attributes `posix.attr` has to the guest. */
  #give(node: Result<PassthroughNode>, out: AttrRecord): Result<PassthroughNode> {
    if (typeof node !== "number") {
      copyAttributes(out);
      node.known = true;
    }
    return node;
  }

  #created(made: Status, parent: PassthroughNode, name: string, out: AttrRecord): Result<PassthroughNode> {
    return made < 0 ? made : this.#give(this.#nodes.created(parent, name), out);
  }

  #remove(parent: PassthroughNode, name: string, isDirectory: number): Status {
    const directory = this.#nodes.pin(parent);
    if (directory < 0) {
      return directory;
    }
    const victim = this.#nodes.beforeRemoval(parent, name);
    const status = posix.unlink(directory, name, isDirectory);
    if (status === 0) {
      this.#nodes.afterRemoval(victim);
    }
    return status;
  }

  #xattrDescriptor(node: PassthroughNode): number {
    return this.#options.xattr ? this.#nodes.descriptor(node) : -ENOSYS;
  }
}
