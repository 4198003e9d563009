import { posix } from "../../src/native/posix.js";
import { Attr } from "../../src/vfs/attributes.js";
import { EMFILE, ENFILE, ENOENT, ESTALE, type Result, type Status } from "../../src/vfs/errno.js";
import type { Logger } from "../../src/vfs/logger.js";
import { emptyIdentity, hasBirth, IdentityMap, identityOf, isSame } from "./identity.js";
import { type FileHandle, type Identity, PassthroughNode } from "./node.js";

/**
 * The nodes of a share, and their O_PATH descriptors. A file has one node however many names it has.
 * Lookups open a descriptor at the first sight of a file; directory listings and creations make lazy
 * nodes, which get theirs at first use (see {@link PassthroughNode}).
 */
export class NodeTable {
  readonly #nodes = new IdentityMap();
  readonly #logger: Logger;
  readonly #seen = emptyIdentity();
  #limitReported = false;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Nodes that the table holds. */
  get size(): number {
    return this.#nodes.size;
  }

  /** Makes the node of a descriptor whose attributes `posix.attr` has, and takes the descriptor over. */
  addOpened(path: number): PassthroughNode {
    const node = new PassthroughNode(identityOf(posix.attr, this.#seen));
    node.path = path;
    this.#nodes.add(node);
    return node;
  }

  /** Finds an entry; leaves its attributes in `posix.attr`. */
  lookup(parent: PassthroughNode, name: string): Result<PassthroughNode> {
    const directory = this.pin(parent);
    if (directory < 0) {
      return directory;
    }
    const status = posix.statAt(directory, name);
    if (status < 0) {
      return status;
    }
    const node = this.match(identityOf(posix.attr, this.#seen));
    if (node === undefined) {
      return this.#open(directory, name);
    }
    if (node.path < 0) {
      this.locate(node, parent, name);
    }
    return node;
  }

  /** The node of an entry that was just created, attributes in `posix.attr`; `fd` is the open file, if it is one. */
  created(parent: PassthroughNode, name: string, fd = -1): Result<PassthroughNode> {
    const seen = identityOf(posix.attr, this.#seen);
    const node = this.match(seen);
    if (node !== undefined) {
      if (node.path < 0) {
        this.locate(node, parent, name);
      }
      return node;
    }
    if (hasBirth(seen)) {
      return this.addLazy(seen, parent, name);
    }
    if (fd < 0) {
      return this.#open(parent.path, name);
    }
    const path = this.limited(posix.reopenPath(fd));
    return path < 0 ? path : this.addOpened(path);
  }

  /** A node for a file that was seen in a directory but not opened. The file system must have birth times. */
  addLazy(seen: Identity, parent: PassthroughNode, name: string): PassthroughNode {
    const node = new PassthroughNode(seen);
    this.#nodes.add(node);
    this.locate(node, parent, name);
    return node;
  }

  /**
   * The node of a file that was just seen, if it has one. A lazy node of the same number but another
   * birth is a deleted file's: it is stale from now on.
   */
  match(seen: Identity): PassthroughNode | undefined {
    const node = this.#nodes.get(seen);
    if (node === undefined || node.isHeld || isSame(node, seen)) {
      return node;
    }
    this.#drop(node);
    return undefined;
  }

  /** The node's O_PATH descriptor, opened if need be. */
  pin(node: PassthroughNode): number {
    return node.path >= 0 ? node.path : this.#pin(node);
  }

  /** A descriptor of any kind for calls that take an O_PATH one as well. */
  descriptor(node: PassthroughNode): number {
    return node.creator !== undefined && node.path < 0 ? node.creator.fd : this.pin(node);
  }

  /** Leaves the node's attributes in `posix.attr`; a lazy node stays lazy. */
  stat(node: PassthroughNode): Status {
    if (node.isHeld) {
      return posix.stat(this.descriptor(node));
    }
    if (node.parent === undefined) {
      return -ESTALE;
    }
    const status = posix.statAt(node.parent.path, node.name);
    if (status < 0) {
      return status === -ENOENT ? -ESTALE : status;
    }
    return isSame(node, identityOf(posix.attr, this.#seen)) ? 0 : -ESTALE;
  }

  /**
   * To be called before a name is removed or replaced. A lazy node of that name gets its descriptor,
   * so that the guest can go on using it; if nobody could, it is returned to be dropped afterwards.
   */
  beforeRemoval(parent: PassthroughNode, name: string): PassthroughNode | undefined {
    const node = parent.entries?.get(name);
    if (node === undefined) {
      return undefined;
    }
    const isLast = !node.isDirectory && node.handles === 0;
    if (isLast && this.stat(node) === 0 && posix.attr[Attr.NLINK] === 1) {
      return node;
    }
    this.pin(node);
    return undefined;
  }

  /** The name was removed; `dropped` is what beforeRemoval returned. */
  afterRemoval(dropped: PassthroughNode | undefined): void {
    if (dropped !== undefined) {
      this.#drop(dropped);
    }
  }

  /** An entry moved from one name to another; with `exchange` the other one moved back. */
  renamed(
    parent: PassthroughNode,
    name: string,
    newParent: PassthroughNode,
    newName: string,
    exchange: boolean,
  ): void {
    const moved = parent.entries?.get(name);
    const other = exchange ? newParent.entries?.get(newName) : undefined;
    if (moved !== undefined) {
      this.locate(moved, newParent, newName);
    }
    if (other !== undefined) {
      this.locate(other, parent, name);
    }
  }

  /** Remembers where a node without a descriptor was seen. Another node seen there before is not there any more. */
  locate(node: PassthroughNode, parent: PassthroughNode, name: string): void {
    if (node.parent === parent && node.name === name) {
      return;
    }
    // In this order a directory that loses and gains its only entry is not released in between.
    parent.entries ??= new Map();
    const before = parent.entries.get(name);
    parent.entries.set(name, node);
    if (before !== undefined) {
      before.parent = undefined;
    }
    this.#unlocate(node);
    node.parent = parent;
    node.name = name;
  }

  /** A handle on the node is open. */
  opened(node: PassthroughNode): void {
    node.handles++;
  }

  /** A handle on the node is closed. */
  closed(node: PassthroughNode, handle: object): void {
    node.handles--;
    if (node.creator === handle) {
      node.creator = undefined;
    }
    this.#release(node);
  }

  /** The handle whose file this new node is. */
  createdBy(node: PassthroughNode, handle: FileHandle): void {
    if (node.path < 0) {
      node.creator = handle;
    }
  }

  forget(node: PassthroughNode): void {
    node.known = false;
    this.#release(node);
  }

  /** Closes every descriptor. */
  close(): void {
    for (const node of this.#nodes) {
      if (node.path >= 0) {
        posix.close(node.path);
        node.path = -1;
      }
    }
  }

  /** Passes on a new descriptor or an error; running out of descriptors is ENFILE, logged once. */
  limited(result: number): number {
    if (result !== -EMFILE && result !== -ENFILE) {
      return result;
    }
    if (!this.#limitReported) {
      this.#limitReported = true;
      this.#logger.error("out of file descriptors: operations fail with ENFILE; raise the limit (ulimit -n)");
    }
    return -ENFILE;
  }

  #open(directory: number, name: string): Result<PassthroughNode> {
    const path = this.limited(posix.openPath(directory, name));
    if (path < 0) {
      return path;
    }
    // The host may have put another file there since it was looked at.
    const known = this.match(identityOf(posix.attr, this.#seen));
    if (known === undefined) {
      return this.addOpened(path);
    }
    if (known.path < 0) {
      this.#attach(known, path);
    } else {
      posix.close(path);
    }
    return known;
  }

  #pin(node: PassthroughNode): number {
    if (node.creator !== undefined) {
      const path = this.limited(posix.reopenPath(node.creator.fd));
      return path < 0 ? path : this.#attach(node, path);
    }
    if (node.parent === undefined) {
      return -ESTALE;
    }
    const path = this.limited(posix.openPath(node.parent.path, node.name));
    if (path < 0) {
      return path === -ENOENT ? -ESTALE : path;
    }
    if (!isSame(node, identityOf(posix.attr, this.#seen))) {
      posix.close(path);
      return -ESTALE;
    }
    return this.#attach(node, path);
  }

  #attach(node: PassthroughNode, path: number): number {
    node.path = path;
    this.#unlocate(node);
    return path;
  }

  #unlocate(node: PassthroughNode): void {
    const { parent, name } = node;
    if (parent === undefined) {
      return;
    }
    node.parent = undefined;
    node.name = "";
    if (parent.entries?.get(name) === node) {
      parent.entries.delete(name);
    }
    if (parent.entries?.size === 0) {
      parent.entries = undefined;
      this.#release(parent);
    }
  }

  #drop(node: PassthroughNode): void {
    this.#nodes.remove(node);
    this.#unlocate(node);
  }

  /** Lets go of a node that neither the guest, nor a handle, nor a lazy entry needs. */
  #release(node: PassthroughNode): void {
    if (node.known || node.handles > 0 || node.entries !== undefined) {
      return;
    }
    this.#nodes.remove(node);
    if (node.path >= 0) {
      posix.close(node.path);
      node.path = -1;
    }
    this.#unlocate(node);
  }
}
