import {
  ATTR_WORDS,
  type AttributeChange,
  type AttrRecord,
  type FileSystemStatistics,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../../src/vfs/attributes.js";
import { Backend, type BackendCapabilities } from "../../src/vfs/backend.js";
import type { DirectoryBuffer } from "../../src/vfs/directory-buffer.js";
import {
  type Awaitable,
  EBADF,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENOTDIR,
  EPERM,
  ESTALE,
  type Result,
  type Status,
} from "../../src/vfs/errno.js";
import { GatewayError } from "../../src/vfs/gateway-error.js";
import { KeyedLocks } from "../../src/vfs/keyed-locks.js";
import type { Caller, VfsHandle, VfsNode } from "../../src/vfs/node.js";
import { checkAccess } from "./attributes/check-access.js";
import { typeOf } from "./attributes/file-attributes.js";
import { fillAttributes } from "./attributes/fill-attributes.js";
import type { Namespace } from "./namespace/namespace.js";
import { S3Directory, S3File, type S3Node } from "./namespace/node.js";
import { readDirectory, S3DirectoryHandle } from "./namespace/read-directory.js";
import { changeAttributes } from "./operations/change-attributes.js";
import { createDirectory, createFile, createSymlink } from "./operations/create.js";
import type { S3FileHandle } from "./operations/file-handle.js";
import { closeFile, openFile } from "./operations/open-file.js";
import { readFile, readWhole } from "./operations/read-file.js";
import { removeDirectory, removeFile } from "./operations/remove.js";
import { rename } from "./operations/rename.js";
import { allocate, copyRange, flushFile, seekFile, syncFile, writeFile } from "./operations/write-file.js";
import { getXattr, listXattrs, removeXattr, setXattr } from "./operations/xattrs.js";
import type { S3BackendOptions } from "./options.js";
import { type StartedShare, startShare } from "./start.js";

const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const LONGEST_TARGET = 4096;
/** An exbibyte, in blocks: a bucket has no end. */
const STATFS_BLOCKS = 2 ** 48;
const STATFS_BLOCK_BYTES = 4096;

const STATISTICS: FileSystemStatistics = {
  blocks: STATFS_BLOCKS,
  blocksFree: STATFS_BLOCKS,
  blocksAvailable: STATFS_BLOCKS,
  files: STATFS_BLOCKS,
  filesFree: STATFS_BLOCKS,
  blockSize: STATFS_BLOCK_BYTES,
  fragmentSize: STATFS_BLOCK_BYTES,
  nameLength: 255,
};

/**
 * A bucket, or what is below a prefix of it, as a file system whose files are ordinary objects. Changes are
 * staged on the local disk and published in the background or by fsync; the namespace shows them at once.
 */
export class S3Backend extends Backend {
  readonly capabilities: BackendCapabilities = {
    hardLinks: false,
    specialFiles: false,
    xattrs: true,
    changesOutside: true,
    posixAcl: false,
    parents: true,
    birthTimes: false,
    choosesAttributes: true,
  };
  readonly #options: S3BackendOptions;
  readonly #locks = new KeyedLocks<string>();
  readonly #scratch: AttrRecord = new Uint32Array(ATTR_WORDS);
  #share: StartedShare | undefined;

  constructor(options: S3BackendOptions) {
    super();
    this.#options = options;
  }

  get #started(): StartedShare {
    if (this.#share === undefined) {
      throw new GatewayError("environment", "the S3 share is not started");
    }
    return this.#share;
  }

  get #namespace(): Namespace {
    return this.#started.namespace;
  }

  override async start(): Promise<VfsNode> {
    this.#share = await startShare(this.#options);
    return this.#share.namespace.volume.root;
  }

  override async stop(): Promise<void> {
    await this.#share?.stop();
    this.#share = undefined;
  }

  override forget(node: VfsNode): void {
    this.#share?.namespace.drop(node as S3Node);
  }

  override statfs(): FileSystemStatistics {
    return STATISTICS;
  }

  override lookup(
    _caller: Caller,
    parent: VfsNode,
    name: string,
    out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    if (!(parent instanceof S3Directory)) {
      return -ENOTDIR;
    }
    parent.lookedUp++;
    return this.#lookup(parent, name, out);
  }

  override getattr(
    _caller: Caller,
    node: VfsNode,
    _handle: VfsHandle | undefined,
    out: AttrRecord,
  ): Awaitable<Status> {
    return this.#whenLoaded(node as S3Node, () => {
      fillAttributes(node as S3Node, out);
      return 0;
    });
  }

  override setattr(
    caller: Caller,
    node: VfsNode,
    _handle: VfsHandle | undefined,
    change: AttributeChange,
    out: AttrRecord,
  ): Awaitable<Status> {
    const changed = node as S3Node;
    return this.#whenLoaded(changed, () =>
      then(changeAttributes(this.#namespace.volume, caller, changed, change), (status) => {
        if (status === 0) {
          fillAttributes(changed, out);
        }
        return status;
      }),
    );
  }

  override readlink(_caller: Caller, node: VfsNode): Awaitable<Result<string>> {
    if (!(node instanceof S3File) || typeOf(node.attributes?.mode ?? 0) !== S_IFLNK) {
      return -EINVAL;
    }
    const { attributes } = node;
    if (attributes?.target !== undefined) {
      return attributes.target;
    }
    return readWhole(this.#namespace.volume, node, LONGEST_TARGET).then((target) =>
      typeof target === "number" ? target : target.toString("latin1"),
    );
  }

  override mknod(
    caller: Caller,
    parent: VfsNode,
    name: string,
    mode: number,
    _rdev: number,
    out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    const type = mode & S_IFMT;
    if (type !== S_IFREG && type !== 0) {
      return -EPERM;
    }
    return this.#create(parent, name, out, async (directory) => {
      const creation = { parent: directory, name, mode: S_IFREG | mode };
      const made = await createFile(this.#namespace, caller, creation);
      if (typeof made === "number") {
        return made;
      }
      made.staged.release();
      return made.node;
    });
  }

  override mkdir(
    caller: Caller,
    parent: VfsNode,
    name: string,
    mode: number,
    out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    return this.#create(parent, name, out, (directory) =>
      createDirectory(this.#namespace, caller, {
        parent: directory,
        name,
        mode: 0o040000 | (mode & 0o7777),
      }),
    );
  }

  override symlink(
    caller: Caller,
    parent: VfsNode,
    name: string,
    target: string,
    out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    return this.#create(parent, name, out, (directory) =>
      createSymlink(this.#namespace, caller, directory, name, target),
    );
  }

  override link(): Awaitable<Result<VfsNode>> {
    return -EPERM;
  }

  override unlink(_caller: Caller, parent: VfsNode, name: string): Awaitable<Status> {
    return this.#alone([[parent, name]], () => removeFile(this.#namespace, parent as S3Directory, name));
  }

  override rmdir(_caller: Caller, parent: VfsNode, name: string): Awaitable<Status> {
    return this.#alone([[parent, name]], () => removeDirectory(this.#namespace, parent as S3Directory, name));
  }

  override rename(
    _caller: Caller,
    parent: VfsNode,
    name: string,
    newParent: VfsNode,
    newName: string,
    flags: number,
  ): Awaitable<Status> {
    const places: readonly (readonly [VfsNode, string])[] = [
      [parent, name],
      [newParent, newName],
    ];
    return this.#alone(places, () =>
      rename(
        this.#namespace,
        { parent: parent as S3Directory, name },
        { parent: newParent as S3Directory, name: newName },
        flags,
      ),
    );
  }

  override open(caller: Caller, node: VfsNode, flags: number): Awaitable<Result<VfsHandle>> {
    if (node instanceof S3Directory) {
      return -EISDIR;
    }
    const file = node as S3File;
    return this.#whenLoaded(file, () =>
      typeOf(file.attributes?.mode ?? 0) === S_IFLNK
        ? -ELOOP
        : openFile(this.#namespace.volume, caller, file, flags),
    );
  }

  override create(
    caller: Caller,
    parent: VfsNode,
    name: string,
    flags: number,
    mode: number,
    out: AttrRecord,
  ): Awaitable<Result<VfsHandle>> {
    return this.#alone([[parent, name]], async () => {
      const creation = { parent: parent as S3Directory, name, mode: S_IFREG | (mode & 0o7777) };
      const made = await createFile(this.#namespace, caller, creation);
      if (made === -EEXIST && (flags & O_EXCL) === 0) {
        return this.#openExisting(caller, creation.parent, name, flags, out);
      }
      if (typeof made === "number") {
        return made;
      }
      const handle = await openFile(this.#namespace.volume, caller, made.node, flags & ~(O_CREAT | O_TRUNC));
      made.staged.release();
      fillAttributes(made.node, out);
      return handle;
    });
  }

  async #openExisting(
    caller: Caller,
    parent: S3Directory,
    name: string,
    flags: number,
    out: AttrRecord,
  ): Promise<Result<VfsHandle>> {
    const node = await this.#lookup(parent, name, out);
    if (typeof node === "number") {
      return node;
    }
    const handle = await this.open(caller, node, flags);
    if (typeof handle !== "number") {
      fillAttributes(node as S3Node, out);
    }
    return handle;
  }

  override parentOf(_caller: Caller, node: VfsNode, out: AttrRecord): Awaitable<Result<VfsNode>> {
    if (!(node instanceof S3Directory)) {
      return -ENOTDIR;
    }
    if (node.removed) {
      return -ESTALE;
    }
    const parent = node.parent ?? node;
    return then(this.#namespace.load(parent), (status) => {
      if (status < 0) {
        return status;
      }
      fillAttributes(parent, out);
      return parent;
    });
  }

  override read(_caller: Caller, handle: VfsHandle, offset: number, into: Uint8Array): Awaitable<Status> {
    return readFile(this.#namespace.volume, handle as S3FileHandle, offset, into);
  }

  override write(caller: Caller, handle: VfsHandle, offset: number, from: Uint8Array): Awaitable<Status> {
    return writeFile(caller, handle as S3FileHandle, offset, from);
  }

  override flush(_caller: Caller, handle: VfsHandle): Status {
    return flushFile(this.#namespace.volume, handle as S3FileHandle);
  }

  override release(handle: VfsHandle): void {
    if (this.#share !== undefined) {
      closeFile(this.#namespace, handle as S3FileHandle);
    }
  }

  override fsync(_caller: Caller, handle: VfsHandle): Awaitable<Status> {
    return syncFile(this.#namespace.volume, handle as S3FileHandle);
  }

  override opendir(_caller: Caller, node: VfsNode): Result<VfsHandle> {
    if (!(node instanceof S3Directory)) {
      return -ENOTDIR;
    }
    node.openCount++;
    return new S3DirectoryHandle(node, this.#namespace);
  }

  override readdir(_caller: Caller, handle: VfsHandle, sink: DirectoryBuffer): Awaitable<Status> {
    return readDirectory(this.#namespace, handle as S3DirectoryHandle, sink, this.#scratch);
  }

  override releasedir(handle: VfsHandle): void {
    const { node } = handle as S3DirectoryHandle;
    node.openCount--;
    this.#share?.namespace.drop(node);
  }

  override fsyncdir(_caller: Caller, handle: VfsHandle): Awaitable<Status> {
    return this.#namespace.volume.area.sync((handle.node as S3Directory).key);
  }

  override syncfs(): Awaitable<Status> {
    return this.#namespace.volume.area.sync("");
  }

  override setxattr(
    _caller: Caller,
    node: VfsNode,
    name: string,
    value: Uint8Array,
    flags: number,
  ): Awaitable<Status> {
    const changed = node as S3Node;
    return this.#whenLoaded(changed, () => setXattr(this.#namespace.volume, changed, name, value, flags));
  }

  override getxattr(_caller: Caller, node: VfsNode, name: string, into: Uint8Array): Awaitable<Status> {
    return this.#whenLoaded(node as S3Node, () => getXattr(node as S3Node, name, into));
  }

  override listxattr(_caller: Caller, node: VfsNode, into: Uint8Array): Awaitable<Status> {
    return this.#whenLoaded(node as S3Node, () => listXattrs(node as S3Node, into));
  }

  override removexattr(_caller: Caller, node: VfsNode, name: string): Awaitable<Status> {
    const changed = node as S3Node;
    return this.#whenLoaded(changed, () => removeXattr(this.#namespace.volume, changed, name));
  }

  override access(caller: Caller, node: VfsNode, mask: number): Awaitable<Status> {
    return this.#whenLoaded(node as S3Node, () => checkAccess(caller, node as S3Node, mask));
  }

  override fallocate(
    caller: Caller,
    handle: VfsHandle,
    mode: number,
    offset: bigint,
    length: bigint,
  ): Awaitable<Status> {
    return allocate(caller, handle as S3FileHandle, mode, offset, length);
  }

  override lseek(_caller: Caller, handle: VfsHandle, offset: bigint, whence: number): Result<bigint> {
    return seekFile(handle as S3FileHandle, offset, whence);
  }

  override copyFileRange(
    caller: Caller,
    from: VfsHandle,
    fromOffset: bigint,
    to: VfsHandle,
    toOffset: bigint,
    length: bigint,
  ): Awaitable<Result<bigint>> {
    const [source, target] = [from as S3FileHandle, to as S3FileHandle];
    if (!target.writes) {
      return -EBADF;
    }
    const { volume } = this.#namespace;
    return copyRange(volume, caller, source, fromOffset, target, toOffset, length);
  }

  #lookup(parent: S3Directory, name: string, out: AttrRecord): Awaitable<Result<S3Node>> {
    return then(this.#namespace.child(parent, name), (node) =>
      typeof node === "number"
        ? node
        : this.#whenLoadedNode(node, () => {
            fillAttributes(node, out);
            return node;
          }),
    );
  }

  /** Runs `use` on a node whose attributes are known; while they are asked for, the node stays. */
  #whenLoadedNode<T>(node: S3Node, use: () => T | Status): Awaitable<T | Status> {
    const loaded = this.#namespace.load(node);
    if (!(loaded instanceof Promise)) {
      return loaded < 0 ? loaded : use();
    }
    node.openCount++;
    return loaded.then((status) => {
      node.openCount--;
      if (status < 0) {
        this.#namespace.drop(node);
        return status;
      }
      return use();
    });
  }

  /** The same with what the bucket says now, if what is known is too old. */
  #whenLoaded<T>(node: S3Node, use: () => Awaitable<T | Status>): Awaitable<T | Status> {
    return then(this.#namespace.refresh(node), (status) => (status < 0 ? status : use()));
  }

  /** Runs a creation that nothing else in the same place interleaves with. */
  #create(
    parent: VfsNode,
    name: string,
    out: AttrRecord,
    make: (directory: S3Directory) => Promise<Result<S3Node>>,
  ): Awaitable<Result<VfsNode>> {
    if (!(parent instanceof S3Directory)) {
      return -ENOTDIR;
    }
    return this.#alone([[parent, name]], async () => {
      const node = await make(parent);
      if (typeof node !== "number") {
        fillAttributes(node, out);
      }
      return node;
    });
  }

  /** Runs an operation while no other changes these names. */
  #alone<T>(
    places: readonly (readonly [VfsNode, string])[],
    operation: () => Promise<T | Status>,
  ): Awaitable<T | Status> {
    if (places.some(([parent]) => !(parent instanceof S3Directory))) {
      return -ENOTDIR;
    }
    const keys = places.map(([parent, name]) => `${(parent as S3Directory).key}${name}`);
    return this.#locks.run(keys, operation);
  }
}

/** Goes on now, or when there is something to go on with. */
function then<T, R>(value: Awaitable<T>, next: (value: T) => Awaitable<R>): Awaitable<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}
