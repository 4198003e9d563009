import { getSystemErrorName } from "node:util";
import { copyAttributes, posix } from "../../src/native/posix.js";
import {
  type AttributeChange,
  type AttrRecord,
  type FileSystemStatistics,
  S_IFMT,
  S_IFREG,
} from "../../src/vfs/attributes.js";
import {
  type Backend,
  type BackendCapabilities,
  type CloneOptions,
  type ClonePlace,
  RenameFlag,
} from "../../src/vfs/backend.js";
import type { Awaitable, Result, Status } from "../../src/vfs/errno.js";
import { EAGAIN, EINVAL, ENOSYS, EOPNOTSUPP } from "../../src/vfs/errno.js";
import { GatewayError } from "../../src/vfs/gateway-error.js";
import type { Logger } from "../../src/vfs/logger.js";
import type { Caller, FileIdentifier, VfsNode } from "../../src/vfs/node.js";
import { applyChange, clearSetgid } from "./attribute-changes.js";
import { PATIENCE_MS } from "./disk-patience.js";
import { Entries } from "./entries.js";
import { FileOpener } from "./file-opener.js";
import { HandleOperations } from "./handle-operations.js";
import { Mounts } from "./mounts.js";
import { type DirectoryHandle, FileHandle, type PassthroughNode } from "./node.js";
import { NodeTable } from "./node-table.js";
import { openDirectory } from "./open-directory.js";
import { maskedMode } from "./umask.js";

/** Most descriptors to keep when the process may have far more: each is kernel memory that cannot be reclaimed. */
const MOST_DESCRIPTORS = 20_000;
/** Longer targets of symbolic links are read each time. */
const KEPT_TARGET_BYTES = 128;
/** Forgotten files to remember for lookups by id, at some 300 bytes each. */
const MOST_RETAINED = 1 << 16;
const POSIX_ACL_ACCESS = "system.posix_acl_access";

export type FileHandleUse = "never" | "prefer" | "mandatory";

export interface PassthroughOptions {
  /** The directory to serve; symbolic links on the way to it are followed. */
  readonly sharedDir: string;
  /** The option that messages name, when the directory was not given by --shared-dir. */
  readonly option?: string;
  /** Serve extended attributes. Off, the guest is told once that there are none. */
  readonly xattr: boolean;
  /** Keep POSIX ACLs and let default ones count instead of the caller's umask; implies `xattr`. Default false. */
  readonly posixAcl?: boolean;
  /** Pass O_DIRECT on to the host's files. */
  readonly allowDirectIo: boolean;
  /**
   * File handles for files whose descriptor was given up: "never", "prefer" (the default) where the file
   * system has them and the process may use them, or "mandatory", which refuses to start without.
   */
  readonly inodeFileHandles?: FileHandleUse;
  /** Refuse directories that another process of this server has in exclusive use. Default false. */
  readonly exclusive?: boolean;
  /** Part of the process's descriptors that this backend may keep open, above 0 and up to 1, which is the default. */
  readonly descriptorShare?: number;
  /** O_PATH descriptors to keep open at most. Default: half of what the process may have, up to 20,000. */
  readonly descriptorLimit?: number;
  /** How long looking up a name on a disk may hold up everything else before more care is taken. Default 20. */
  readonly patienceMs?: number;
  readonly logger: Logger;
}

/**
 * Serves a directory of the host. The guest's kernel checks permissions; here creations act as the
 * caller where the process may, so that owners come out right. Names are resolved one at a time below
 * a pinned directory, links are never followed, and nothing but regular files and directories is opened.
 */
export class PassthroughBackend extends HandleOperations {
  readonly capabilities: BackendCapabilities;
  readonly #options: PassthroughOptions;
  readonly #opener: FileOpener;
  readonly #hasXattrs: boolean;
  /** Descriptors of directories that are locked. */
  readonly #locks: number[] = [];
  #root: PassthroughNode | undefined;

  constructor(options: PassthroughOptions) {
    const nodes = new NodeTable(options.logger);
    super(nodes, new Entries(nodes, options.patienceMs ?? PATIENCE_MS));
    this.#options = options;
    this.#opener = new FileOpener(this.nodes, this.entries, options.allowDirectIo);
    this.#hasXattrs = options.xattr || options.posixAcl === true;
    this.capabilities = {
      hardLinks: true,
      specialFiles: true,
      xattrs: this.#hasXattrs,
      changesOutside: true,
      posixAcl: options.posixAcl === true,
      parents: true,
      birthTimes: true,
      choosesAttributes: false,
    };
  }

  override start(): PassthroughNode {
    const prepared = posix.prepareThread();
    if (prepared < 0) {
      throw new GatewayError("environment", `cannot open /proc/self/fd: ${getSystemErrorName(prepared)}`);
    }
    const { sharedDir, descriptorLimit, descriptorShare = 1, option = "--shared-dir" } = this.#options;
    const path = this.#openDirectory(sharedDir, option);
    const mostDescriptors = Math.min(posix.descriptorLimit() >> 1, MOST_DESCRIPTORS);
    const limit = descriptorLimit ?? Math.ceil(mostDescriptors * descriptorShare);
    this.#root = this.nodes.start(path, limit, (root) => this.#fileHandles(root));
    return this.#root;
  }

  /**
   * Opens another directory of the host, outside the share: entries can be renamed between the two. It stays open
   * until the backend stops. To be called after start.
   * @throws GatewayError that names `option` when it cannot be opened, or is on another mount
   */
  attach(path: string, option: string): PassthroughNode {
    const node = this.nodes.addOpened(this.#openDirectory(path, option));
    const root = this.#root;
    if (root !== undefined && (node.dev !== root.dev || node.mount !== root.mount)) {
      const value = JSON.stringify(path);
      throw new GatewayError("environment", `${option}: ${value} is on another mount than the layer`);
    }
    node.known = true;
    return node;
  }

  #openDirectory(path: string, option: string): number {
    const opened = openDirectory(path, option, this.#options.exclusive ?? false);
    if (opened.lock >= 0) {
      this.#locks.push(opened.lock);
    }
    return opened.path;
  }

  override stop(): void {
    this.nodes.close();
    for (const lock of this.#locks.splice(0)) {
      posix.close(lock);
    }
  }

  override retain(node: PassthroughNode): boolean {
    return this.nodes.retain(node);
  }

  override get retainLimit(): number {
    return MOST_RETAINED;
  }

  override opensUnasked(): void {
    this.nodes.opensUnasked = true;
  }

  override forget(node: PassthroughNode): void {
    if (node !== this.#root) {
      this.nodes.forget(node);
    }
  }

  override statfs(node: PassthroughNode): Result<FileSystemStatistics> {
    const fd = this.nodes.descriptor(node);
    const status = fd < 0 ? fd : posix.statfs(fd);
    if (status < 0) {
      return status;
    }
    const { statistics } = posix;
    return {
      blocks: statistics[0] as number,
      blocksFree: statistics[1] as number,
      blocksAvailable: statistics[2] as number,
      files: statistics[3] as number,
      filesFree: statistics[4] as number,
      blockSize: statistics[5] as number,
      fragmentSize: statistics[6] as number,
      nameLength: statistics[7] as number,
    };
  }

  override lookup(
    _caller: Caller,
    parent: PassthroughNode,
    name: string,
    out: AttrRecord,
  ): Awaitable<Result<PassthroughNode>> {
    const found = this.entries.lookupNow(parent, name);
    return found === -EAGAIN
      ? this.slow.lookup(parent, name, (node) => this.#give(node, out))
      : this.#give(found, out);
  }

  override getattr(
    _caller: Caller,
    node: PassthroughNode,
    handle: FileHandle | DirectoryHandle | undefined,
    out: AttrRecord,
  ): Awaitable<Status> {
    if (this.nodes.isRemote(node)) {
      const fd = handle?.fd ?? this.nodes.descriptor(node);
      return fd < 0 ? fd : this.slow.stat(fd, out);
    }
    const status = handle === undefined ? this.nodes.stat(node) : posix.stat(handle.fd);
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
    const applied = applyChange(this.nodes, node, file, change);
    if (typeof applied === "number") {
      return applied < 0 ? applied : this.getattr(caller, node, handle, out);
    }
    return applied.then((status) => (status < 0 ? status : this.getattr(caller, node, undefined, out)));
  }

  override readlink(_caller: Caller, node: PassthroughNode): Result<string> {
    if (!node.isSymlink) {
      return -EINVAL;
    }
    if (node.target !== undefined) {
      return node.target;
    }
    const fd = this.nodes.pin(node);
    const target = fd < 0 ? fd : posix.readLink(fd);
    if (typeof target === "string" && target.length <= KEPT_TARGET_BYTES) {
      node.target = target;
    }
    return target;
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
    const directory = this.nodes.pin(parent);
    if (directory < 0) {
      return directory;
    }
    const bits = maskedMode(caller, directory, fullMode);
    const made = posix.makeNode(directory, name, bits, rdev, uid, gid, supplementaryGroup);
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
    const directory = this.nodes.pin(parent);
    if (directory < 0) {
      return directory;
    }
    const bits = maskedMode(caller, directory, mode);
    const made = posix.makeDirectory(directory, name, bits, uid, gid, supplementaryGroup);
    return made < 0 ? made : this.#give(this.entries.createdDirectory(parent, name), out);
  }

  override symlink(
    caller: Caller,
    parent: PassthroughNode,
    name: string,
    target: string,
    out: AttrRecord,
  ): Result<PassthroughNode> {
    const { uid, gid, supplementaryGroup } = caller;
    const directory = this.nodes.pin(parent);
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
    const directory = this.nodes.pin(newParent);
    const fd = directory < 0 ? directory : this.nodes.pin(node);
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
    caller: Caller,
    parent: PassthroughNode,
    name: string,
    newParent: PassthroughNode,
    newName: string,
    flags: number,
  ): Status {
    const from = this.nodes.pin(parent);
    const to = from < 0 ? from : this.nodes.pin(newParent);
    if (to < 0) {
      return to;
    }
    const replaces = (flags & (RenameFlag.NOREPLACE | RenameFlag.EXCHANGE)) === 0;
    const victim = replaces ? this.entries.beforeRemoval(newParent, newName) : undefined;
    const { uid, gid, supplementaryGroup } = caller;
    const status = posix.rename(from, name, to, newName, flags, uid, gid, supplementaryGroup);
    if (status < 0) {
      return status;
    }
    if (replaces) {
      this.entries.afterRemoval(newParent, newName, victim);
    }
    this.entries.renamed([parent, name], [newParent, newName], (flags & RenameFlag.EXCHANGE) !== 0);
    return 0;
  }

  override open(caller: Caller, node: PassthroughNode, flags: number): Awaitable<Result<FileHandle>> {
    return this.#opener.open(caller, node, flags);
  }

  override create(
    caller: Caller,
    parent: PassthroughNode,
    name: string,
    flags: number,
    mode: number,
    out: AttrRecord,
  ): Result<FileHandle> {
    return this.#opened(this.#opener.create(caller, parent, name, flags, mode), out);
  }

  override tmpfile(
    caller: Caller,
    parent: PassthroughNode,
    flags: number,
    mode: number,
    out: AttrRecord,
  ): Result<FileHandle> {
    return this.#opened(this.#opener.createTemporary(caller, parent, flags, mode), out);
  }

  override cloneFile(
    source: Backend,
    node: VfsNode,
    directory: PassthroughNode,
    options: CloneOptions,
    out: AttrRecord,
  ): Awaitable<Result<FileHandle>> {
    if (!(source instanceof PassthroughBackend)) {
      return -EOPNOTSUPP;
    }
    const file = node as PassthroughNode;
    const fd = source.nodes.pin(file);
    const cloned = fd < 0 ? fd : this.#opener.clone(fd, source.nodes.isInMemory(file), directory, options);
    return cloned instanceof Promise
      ? cloned.then((handle) => this.#opened(handle, out))
      : this.#opened(cloned, out);
  }

  override cloneInto(
    source: Backend,
    node: VfsNode,
    place: ClonePlace,
    options: CloneOptions,
    out: AttrRecord,
  ): Result<PassthroughNode> {
    const file = node as PassthroughNode;
    if (!(source instanceof PassthroughBackend) || !source.nodes.isInMemory(file)) {
      return -EOPNOTSUPP;
    }
    const fd = source.nodes.pin(file);
    return fd < 0 ? fd : this.#give(this.#opener.cloneInto(fd, place, options), out);
  }

  override parentOf(_caller: Caller, node: PassthroughNode, out: AttrRecord): Result<PassthroughNode> {
    return this.#give(this.entries.parentOf(node), out);
  }

  override identify(node: PassthroughNode): Result<FileIdentifier> {
    return this.nodes.identify(node);
  }

  override statIdentified(file: FileIdentifier, out: AttrRecord): Status {
    const status = this.nodes.statIdentified(file);
    if (status >= 0) {
      copyAttributes(out);
    }
    return status;
  }

  override opendir(_caller: Caller, node: PassthroughNode, flags = 0): Awaitable<Result<DirectoryHandle>> {
    return this.#opener.openDirectory(node, flags);
  }

  override syncfs(_node: PassthroughNode): Awaitable<Status> {
    return this.#root === undefined ? 0 : posix.syncfs(this.#root.path);
  }

  override setxattr(
    caller: Caller,
    node: PassthroughNode,
    name: string,
    value: Uint8Array,
    flags: number,
  ): Status {
    const fd = this.#xattrDescriptor(node);
    const status = fd < 0 ? fd : posix.setXattr(fd, name, value, flags);
    return status === 0 && caller.clearsPrivileges && name === POSIX_ACL_ACCESS ? clearSetgid(fd) : status;
  }

  override getxattr(
    _caller: Caller,
    node: PassthroughNode,
    name: string,
    into: Uint8Array,
  ): Awaitable<Status> {
    const isRemote = this.nodes.isRemote(node);
    if (this.#hasXattrs && !isRemote && node.latest !== undefined) {
      return posix.getXattrOfOpen(node.latest.fd, name, into);
    }
    const fd = this.#xattrDescriptor(node);
    if (fd < 0) {
      return fd;
    }
    return isRemote ? posix.getXattrSlowly(fd, name, into) : posix.getXattr(fd, name, into);
  }

  override listxattr(_caller: Caller, node: PassthroughNode, into: Uint8Array): Status {
    const fd = this.#xattrDescriptor(node);
    return fd < 0 ? fd : posix.listXattr(fd, into);
  }

  override removexattr(_caller: Caller, node: PassthroughNode, name: string): Status {
    const fd = this.#xattrDescriptor(node);
    return fd < 0 ? fd : posix.removeXattr(fd, name);
  }

  /** Hands a node whose attributes `posix.attr` has to the guest. */
  #give(node: Result<PassthroughNode>, out: AttrRecord): Result<PassthroughNode> {
    if (typeof node !== "number") {
      copyAttributes(out);
      this.nodes.know(node);
    }
    return node;
  }

  #opened(handle: Result<FileHandle>, out: AttrRecord): Result<FileHandle> {
    if (typeof handle !== "number") {
      copyAttributes(out);
      this.nodes.know(handle.node);
    }
    return handle;
  }

  #created(made: Status, parent: PassthroughNode, name: string, out: AttrRecord): Result<PassthroughNode> {
    return made < 0 ? made : this.#give(this.entries.created(parent, name), out);
  }

  #remove(parent: PassthroughNode, name: string, isDirectory: number): Status {
    const directory = this.nodes.pin(parent);
    if (directory < 0) {
      return directory;
    }
    const victim = this.entries.beforeRemoval(parent, name);
    const status = posix.unlink(directory, name, isDirectory);
    if (status === 0) {
      this.entries.afterRemoval(parent, name, victim);
    }
    return status;
  }

  #xattrDescriptor(node: PassthroughNode): number {
    return this.#hasXattrs ? this.nodes.descriptor(node) : -ENOSYS;
  }

  #fileHandles(root: PassthroughNode): Mounts | undefined {
    const { inodeFileHandles = "prefer" } = this.#options;
    if (inodeFileHandles === "never") {
      return undefined;
    }
    const mounts = new Mounts();
    const status = mounts.start(root);
    if (status >= 0) {
      return mounts;
    }
    mounts.close();
    if (inodeFileHandles === "mandatory") {
      const reason = getSystemErrorName(status);
      throw new GatewayError(
        "environment",
        `--inode-file-handles: expected prefer or never, got mandatory, and file handles do not work here: ${reason}`,
      );
    }
    return undefined;
  }
}
