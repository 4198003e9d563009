import { Medium, posix } from "../../src/native/posix.js";
import { Attr, FUSE_ATTR_SUBMOUNT } from "../../src/vfs/attributes.js";
import { EAGAIN, ENOENT, ENOTDIR, type Result } from "../../src/vfs/errno.js";
import { DiskPatience } from "./disk-patience.js";
import { emptyIdentity, hasBirth, identityOf, isSubmount } from "./identity.js";
import type { PassthroughNode } from "./node.js";
import type { NodeTable } from "./node-table.js";
import { relocate } from "./places.js";

/** What is found, made, moved and removed under a name in a directory of the share. */
export class Entries {
  readonly #nodes: NodeTable;
  readonly #patience: DiskPatience;
  readonly #seen = emptyIdentity();

  /** @param patienceMs see {@link PATIENCE_MS} */
  constructor(nodes: NodeTable, patienceMs: number) {
    this.#nodes = nodes;
    this.#patience = new DiskPatience(patienceMs);
  }

  /** Finds an entry; leaves its attributes in `posix.attr`. */
  lookup(parent: PassthroughNode, name: string): Result<PassthroughNode> {
    const directory = this.#nodes.pin(parent);
    if (directory < 0) {
      return directory;
    }
    const status = posix.statAt(directory, name);
    if (status < 0) {
      return status;
    }
    const node = this.#nodes.living(identityOf(posix.attr, this.#seen));
    return node === undefined
      ? this.found(parent, name, posix.openPath(directory, name))
      : this.#entry(parent, name, node);
  }

  /** As lookup, where that cannot wait for a disk or a remote file system. Errors: EAGAIN. */
  lookupNow(parent: PassthroughNode, name: string): Result<PassthroughNode> {
    const medium = this.#nodes.devices.mediumOf(parent);
    if (medium === Medium.REMOTE || this.#nodes.devices.isRemoteRoot(parent, name)) {
      return -EAGAIN;
    }
    if (medium === Medium.MEMORY) {
      return this.lookup(parent, name);
    }
    if (!this.#patience.mayHoldUp(parent, name)) {
      return this.#patience.time(() => this.lookup(parent, name));
    }
    const directory = this.#nodes.pin(parent);
    const path = directory < 0 ? directory : posix.openPathCached(directory, name);
    return path === -EAGAIN ? path : this.found(parent, name, path);
  }

  /** As lookup, of an entry that was opened as a path, attributes in `posix.attr`. Errors pass. */
  found(parent: PassthroughNode, name: string, path: number): Result<PassthroughNode> {
    const node = this.#nodes.adopt(this.#nodes.limited(path));
    return typeof node === "number" ? node : this.#entry(parent, name, node);
  }

  /** The node of an entry that was just created, attributes in `posix.attr`; `fd` is the open file, if it is one. */
  created(parent: PassthroughNode, name: string, fd = -1): Result<PassthroughNode> {
    const seen = identityOf(posix.attr, this.#seen);
    const former = this.#nodes.known(seen);
    if (former !== undefined) {
      // A deleted file's, even if both were born within one tick of the clock.
      this.#nodes.drop(former);
    }
    if (hasBirth(seen)) {
      return this.#nodes.addLazy(seen, parent, name);
    }
    if (fd < 0) {
      return this.#nodes.adopt(this.#nodes.limited(posix.openPath(parent.path, name)));
    }
    return this.createdUnnamed(fd);
  }

  /**
   * The node of a directory that was just created in one that is pinned; leaves its attributes in `posix.attr`. What is
   * made or removed in it, and removing it, takes a descriptor: it gets it at once.
   */
  createdDirectory(parent: PassthroughNode, name: string): Result<PassthroughNode> {
    const path = posix.openPath(parent.path, name);
    if (path < 0) {
      const status = posix.statAt(parent.path, name);
      return status < 0 ? status : this.created(parent, name);
    }
    return this.createdPath(parent, name, path);
  }

  /** The node of what was just created and opened as a path, attributes in `posix.attr`. Errors pass. */
  createdPath(parent: PassthroughNode, name: string, path: number): Result<PassthroughNode> {
    const former = path < 0 ? undefined : this.#nodes.known(identityOf(posix.attr, this.#seen));
    if (former !== undefined && !former.isHeld) {
      // A deleted one's, even if both were born within one tick of the clock.
      this.#nodes.drop(former);
    }
    return this.found(parent, name, path);
  }

  /** The node of an open file that was just created without a name. */
  createdUnnamed(fd: number): Result<PassthroughNode> {
    return this.#nodes.adopt(this.#nodes.limited(posix.reopenPath(fd)));
  }

  /**
   * To be called before a name is removed or replaced, the directory being pinned. A node of that name without
   * a descriptor gets one, so that the guest can go on using it; if nobody could, it is returned to be
   * dropped afterwards.
   */
  beforeRemoval(parent: PassthroughNode, name: string): PassthroughNode | undefined {
    const seen = parent.entries?.get(name);
    // A directory may be somebody's current one: it is opened in any case, which shows whether it is there.
    if (seen?.isDirectory === true && seen.path < 0 && this.#nodes.pin(seen) >= 0) {
      return undefined;
    }
    // Nodes with a handle do not know their names.
    const looked = seen !== undefined || this.#nodes.hasHandled ? posix.statAt(parent.path, name) : -ENOENT;
    const node = looked < 0 ? undefined : this.#nodes.match(identityOf(posix.attr, this.#seen));
    if (node === undefined || node.path >= 0) {
      return undefined;
    }
    const mayBeOpen = node.handles > 0 || this.#nodes.opensUnasked;
    const isUnused = !node.isDirectory && !mayBeOpen && posix.attr[Attr.NLINK] === 1;
    // With a descriptor, a disk frees the blocks when that is closed.
    if (isUnused && !this.#nodes.devices.waitsToFree(node, posix.attr)) {
      return node;
    }
    this.#nodes.pin(node);
    return undefined;
  }

  /** The name was removed; `dropped` is what beforeRemoval returned. */
  afterRemoval(parent: PassthroughNode, name: string, dropped: PassthroughNode | undefined): void {
    if (dropped !== undefined) {
      this.#nodes.drop(dropped);
    }
    const seen = parent.entries?.get(name);
    if (seen !== undefined) {
      this.#nodes.unlocate(seen);
    }
  }

  /** An entry moved from one name to another; with `exchange` the other one moved back. */
  renamed(
    from: readonly [PassthroughNode, string],
    to: readonly [PassthroughNode, string],
    exchange: boolean,
  ): void {
    relocate(from, to, exchange, (node, parent, name) => this.#nodes.locate(node, parent, name));
  }

  /** The directory above one, attributes in `posix.attr`. Errors: ENOTDIR, ESTALE when it is not in the share. */
  parentOf(node: PassthroughNode): Result<PassthroughNode> {
    if (!node.isDirectory) {
      return -ENOTDIR;
    }
    const path = this.#nodes.pin(node);
    return path < 0
      ? path
      : this.#nodes.adopt(this.#nodes.limited(posix.openParent(path, this.#nodes.root?.path ?? -1)));
  }

  #entry(parent: PassthroughNode, name: string, node: PassthroughNode): PassthroughNode {
    if (isSubmount(node, parent)) {
      posix.attr[Attr.FLAGS] = FUSE_ATTR_SUBMOUNT;
      this.#nodes.entered(parent, name, node);
    }
    if (this.#nodes.needsPlace(node)) {
      this.#nodes.locate(node, parent, name);
    }
    return node;
  }
}
