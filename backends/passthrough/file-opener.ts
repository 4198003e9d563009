import { constants } from "node:fs";
import { posix } from "../../src/native/posix.js";
import { ATTR_WORDS } from "../../src/vfs/attributes.js";
import type { CloneOptions, ClonePlace } from "../../src/vfs/backend.js";
import {
  type Awaitable,
  EEXIST,
  EISDIR,
  ELOOP,
  ENOENT,
  ENOTDIR,
  ENXIO,
  EOPNOTSUPP,
  type Result,
} from "../../src/vfs/errno.js";
import type { Caller } from "../../src/vfs/node.js";
import type { Entries } from "./entries.js";
import { DirectoryHandle, FileHandle, type PassthroughNode } from "./node.js";
import type { NodeTable } from "./node-table.js";
import { type HostFlags, hostFlags } from "./open-flags.js";
import { maskedMode } from "./umask.js";

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOATIME, O_RDONLY, O_RDWR, O_TRUNC } = constants;
/** O_TMPFILE, its O_DIRECTORY included. */
const TMPFILE = 0o20000000 | O_DIRECTORY;
/** How often the host may delete a file between our finding it and opening it. */
const CREATE_ATTEMPTS = 4;

/** How a copy is open. */
const OPEN_FOR_WRITING: HostFlags = { bits: O_RDWR, isWritable: true, isSynchronous: false };

/** Opens and creates the host's regular files and directories. */
export class FileOpener {
  readonly #nodes: NodeTable;
  readonly #entries: Entries;
  readonly #allowDirectIo: boolean;

  constructor(nodes: NodeTable, entries: Entries, allowDirectIo: boolean) {
    this.#nodes = nodes;
    this.#entries = entries;
    this.#allowDirectIo = allowDirectIo;
  }

  open(caller: Caller, node: PassthroughNode, flags: number): Awaitable<Result<FileHandle>> {
    const how = node.isDirectory ? -EISDIR : hostFlags(flags, this.#allowDirectIo);
    if (typeof how === "number") {
      return how;
    }
    return node.isRegular && this.#nodes.isRemote(node)
      ? this.#openSlowly(caller, node, how)
      : this.#open(caller, node, how);
  }

  /** Leaves the file's attributes in `posix.attr`. */
  create(
    caller: Caller,
    parent: PassthroughNode,
    name: string,
    flags: number,
    mode: number,
  ): Result<FileHandle> {
    const how = hostFlags(flags & ~O_CREAT, this.#allowDirectIo);
    if (typeof how === "number") {
      return how;
    }
    const directory = this.#nodes.pin(parent);
    if (directory < 0) {
      return directory;
    }
    const { uid, gid, supplementaryGroup } = caller;
    const bits = maskedMode(caller, directory, mode);
    for (let attempt = 1; ; attempt++) {
      const fd = this.#nodes.limited(
        posix.openCreate(directory, name, how.bits, bits, uid, gid, supplementaryGroup),
      );
      if (fd >= 0) {
        return this.#created(parent, name, fd, how);
      }
      if (fd !== -EEXIST || (flags & O_EXCL) !== 0) {
        return fd;
      }
      const existing = this.#openExisting(caller, parent, name, how);
      if (existing !== -ENOENT || attempt === CREATE_ATTEMPTS) {
        return existing;
      }
    }
  }

  /** As create, for a file without a name. */
  createTemporary(caller: Caller, parent: PassthroughNode, flags: number, mode: number): Result<FileHandle> {
    const how = hostFlags(flags & ~(O_CREAT | TMPFILE), this.#allowDirectIo);
    const directory = typeof how === "number" ? how : this.#nodes.pin(parent);
    if (typeof how === "number" || directory < 0) {
      return directory;
    }
    const { uid, gid, supplementaryGroup } = caller;
    const bits = how.bits | (flags & O_EXCL);
    const masked = maskedMode(caller, directory, mode);
    const fd = this.#nodes.limited(
      posix.openTemporary(directory, bits, masked, uid, gid, supplementaryGroup),
    );
    if (fd < 0) {
      return fd;
    }
    return this.#unnamed(fd, how);
  }

  /** As createTemporary: a copy of the regular file that `source` stands for. */
  clone(
    source: number,
    isInMemory: boolean,
    directory: PassthroughNode,
    options: CloneOptions,
  ): Awaitable<Result<FileHandle>> {
    const place = this.#nodes.pin(directory);
    if (place < 0) {
      return place;
    }
    const { size, skipXattrs, keepXattrs, xattr, value } = options;
    if (size === 0 && isInMemory && this.#nodes.isInMemory(directory)) {
      // What is in memory has no disk to be written to.
      return this.#cloned(posix.clone(source, place, size, skipXattrs, keepXattrs, xattr, value));
    }
    const attr = new Uint32Array(ATTR_WORDS);
    const bytes = new Uint8Array(attr.buffer);
    const sync = options.sync ? 1 : 0;
    return posix
      .cloneSlowly(source, place, size, skipXattrs, keepXattrs, xattr, value, sync, bytes)
      .then((fd) => {
        posix.attr.set(attr);
        return this.#cloned(fd);
      });
  }

  /** As clone, with a name; `source` is in memory. Errors: EOPNOTSUPP where the copy would not be. */
  cloneInto(source: number, place: ClonePlace, options: CloneOptions): Result<PassthroughNode> {
    const work = place.work as PassthroughNode;
    const directory = place.directory as PassthroughNode;
    if (!this.#nodes.isInMemory(work)) {
      return -EOPNOTSUPP;
    }
    const from = this.#nodes.pin(work);
    const to = from < 0 ? from : this.#nodes.pin(directory);
    if (to < 0) {
      return to;
    }
    const { name, namesApart } = place;
    const { size, skipXattrs, keepXattrs, xattr, value } = options;
    const apart = namesApart ? 1 : 0;
    return this.#entries.createdPath(
      directory,
      name,
      posix.cloneInto(source, from, to, name, apart, size, skipXattrs, keepXattrs, xattr, value),
    );
  }

  #cloned(result: number): Result<FileHandle> {
    const fd = this.#nodes.limited(result);
    return fd < 0 ? fd : this.#unnamed(fd, OPEN_FOR_WRITING);
  }

  #unnamed(fd: number, how: HostFlags): Result<FileHandle> {
    const node = this.#entries.createdUnnamed(fd);
    if (typeof node === "number") {
      posix.close(fd);
      return node;
    }
    return this.#handle(node, fd, how);
  }

  openDirectory(node: PassthroughNode, wanted: number): Awaitable<Result<DirectoryHandle>> {
    if (!node.isDirectory) {
      return -ENOTDIR;
    }
    const opened = (fd: number) => {
      if (fd < 0) {
        return fd;
      }
      this.#nodes.opened(node);
      return new DirectoryHandle(node, fd);
    };
    const flags = O_RDONLY | O_DIRECTORY | (wanted & O_NOATIME);
    return this.#nodes.isRemote(node)
      ? this.#nodes.openSlowly(node, flags).then(opened)
      : opened(this.#nodes.open(node, flags));
  }

  /** Only regular files: opening a fifo, a socket or a device would act on the host. */
  #open(caller: Caller, node: PassthroughNode, how: HostFlags): Result<FileHandle> {
    if (!node.isRegular) {
      return node.isDirectory ? -EISDIR : node.isSymlink ? -ELOOP : -ENXIO;
    }
    const fd = this.#nodes.open(node, how.bits, killsSuidgid(caller, how));
    return fd < 0 ? fd : this.#handle(node, fd, how);
  }

  async #openSlowly(caller: Caller, node: PassthroughNode, how: HostFlags): Promise<Result<FileHandle>> {
    const fd = await this.#nodes.openSlowly(node, how.bits, killsSuidgid(caller, how));
    return fd < 0 ? fd : this.#handle(node, fd, how);
  }

  #openExisting(caller: Caller, parent: PassthroughNode, name: string, how: HostFlags): Result<FileHandle> {
    const node = this.#entries.lookup(parent, name);
    const handle = typeof node === "number" ? node : this.#open(caller, node, how);
    if (typeof handle === "number") {
      return handle;
    }
    // After O_TRUNC the attributes are others than those that were looked up.
    posix.stat(handle.fd);
    return handle;
  }

  #created(parent: PassthroughNode, name: string, fd: number, how: HostFlags): Result<FileHandle> {
    const node = this.#entries.created(parent, name, fd);
    if (typeof node === "number") {
      posix.close(fd);
      return node;
    }
    const handle = this.#handle(node, fd, how);
    this.#nodes.createdBy(node, handle);
    return handle;
  }

  #handle(node: PassthroughNode, fd: number, how: HostFlags): FileHandle {
    const handle = new FileHandle(node, fd, how);
    this.#nodes.opened(node, handle);
    return handle;
  }
}

function killsSuidgid(caller: Caller, how: HostFlags): number {
  return caller.clearsPrivileges && (how.bits & O_TRUNC) !== 0 ? 1 : 0;
}
