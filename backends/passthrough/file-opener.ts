import { constants } from "node:fs";
import { posix } from "../../src/native/posix.js";
import { EEXIST, EISDIR, ELOOP, ENOENT, ENOTDIR, ENXIO, type Result } from "../../src/vfs/errno.js";
import type { Caller } from "../../src/vfs/node.js";
import { DirectoryHandle, FileHandle, type PassthroughNode } from "./node.js";
import type { NodeTable } from "./node-table.js";
import { type HostFlags, hostFlags } from "./open-flags.js";

const { O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY } = constants;
/** How often the host may delete a file between our finding it and opening it. */
const CREATE_ATTEMPTS = 4;

/** Opens and creates the host's regular files and directories. */
export class FileOpener {
  readonly #nodes: NodeTable;
  readonly #allowDirectIo: boolean;

  constructor(nodes: NodeTable, allowDirectIo: boolean) {
    this.#nodes = nodes;
    this.#allowDirectIo = allowDirectIo;
  }

  open(node: PassthroughNode, flags: number): Result<FileHandle> {
    const how = hostFlags(flags, this.#allowDirectIo);
    return typeof how === "number" ? how : this.#open(node, how);
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
    for (let attempt = 1; ; attempt++) {
      const fd = this.#nodes.limited(
        posix.openCreate(directory, name, how.bits, mode, uid, gid, supplementaryGroup),
      );
      if (fd >= 0) {
        return this.#created(parent, name, fd, how);
      }
      if (fd !== -EEXIST || (flags & O_EXCL) !== 0) {
        return fd;
      }
      const existing = this.#openExisting(parent, name, how);
      if (existing !== -ENOENT || attempt === CREATE_ATTEMPTS) {
        return existing;
      }
    }
  }

  openDirectory(node: PassthroughNode): Result<DirectoryHandle> {
    if (!node.isDirectory) {
      return -ENOTDIR;
    }
    const path = this.#nodes.pin(node);
    const fd = path < 0 ? path : this.#nodes.limited(posix.reopen(path, O_RDONLY | O_DIRECTORY));
    if (fd < 0) {
      return fd;
    }
    this.#nodes.opened(node);
    return new DirectoryHandle(node, fd);
  }

  /** Only regular files: opening a fifo, a socket or a device would act on the host. */
  #open(node: PassthroughNode, how: HostFlags): Result<FileHandle> {
    if (!node.isRegular) {
      return node.isDirectory ? -EISDIR : node.isSymlink ? -ELOOP : -ENXIO;
    }
    const path = this.#nodes.pin(node);
    const fd = path < 0 ? path : this.#nodes.limited(posix.reopen(path, how.bits));
    return fd < 0 ? fd : this.#handle(node, fd, how);
  }

  #openExisting(parent: PassthroughNode, name: string, how: HostFlags): Result<FileHandle> {
    const node = this.#nodes.lookup(parent, name);
    const handle = typeof node === "number" ? node : this.#open(node, how);
    if (typeof handle === "number") {
      return handle;
    }
    // After O_TRUNC the attributes are others than those that were looked up.
    posix.stat(handle.fd);
    return handle;
  }

  #created(parent: PassthroughNode, name: string, fd: number, how: HostFlags): Result<FileHandle> {
    const node = this.#nodes.created(parent, name, fd);
    if (typeof node === "number") {
      posix.close(fd);
      return node;
    }
    const handle = this.#handle(node, fd, how);
    this.#nodes.createdBy(node, handle);
    return handle;
  }

  #handle(node: PassthroughNode, fd: number, how: HostFlags): FileHandle {
    this.#nodes.opened(node);
    return new FileHandle(node, fd, how.isWritable, how.append);
  }
}
