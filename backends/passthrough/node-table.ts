import { Medium, posix } from "../../src/native/posix.js";
import { ATTR_WORDS, Attr } from "../../src/vfs/attributes.js";
import { ENOENT, EOPNOTSUPP, EPERM, ESTALE, type Result, type Status } from "../../src/vfs/errno.js";
import type { Logger } from "../../src/vfs/logger.js";
import type { FileIdentifier } from "../../src/vfs/node.js";
import { DescriptorLimit } from "./descriptor-limit.js";
import { Devices } from "./devices.js";
import { emptyIdentity, hasBirth, IdentityMap, identityOf, isSame, isSubmount } from "./identity.js";
import type { Mounts } from "./mounts.js";
import { type FileHandle, type Identity, PassthroughNode } from "./node.js";
import { PinnedPaths } from "./pinned-paths.js";
import { locate, unlocate } from "./places.js";

/** Attributes that must survive a look at something else. */
const kept = new Uint32Array(ATTR_WORDS);

/**
 * The nodes of a share, and their O_PATH descriptors. A file has one node however many names it has.
 * Lookups open a descriptor at the first sight of a file; directory listings and creations make lazy
 * nodes, which get theirs at first use (see {@link PassthroughNode}). Beyond the limit, what was not used
 * for long gives its descriptor up for a file handle or, without those, for its place in its directory.
 */
export class NodeTable {
  readonly #nodes = new IdentityMap();
  readonly #limit: DescriptorLimit;
  readonly #seen = emptyIdentity();
  /** Which of the files may keep callers waiting. */
  readonly devices = new Devices();
  #mounts: Mounts | undefined;
  #pinned: PinnedPaths;
  #root: PassthroughNode | undefined;
  /** Files may be open in the guest without a handle here: see Backend.opensUnasked. */
  opensUnasked = false;
  /** Nodes that the guest knows and that have a handle instead of a descriptor. */
  #handled = 0;

  constructor(logger: Logger) {
    this.#limit = new DescriptorLimit(logger);
    this.#pinned = new PinnedPaths(Number.MAX_SAFE_INTEGER, () => false);
  }

  /**
   * Makes the root's node as {@link addOpened} does.
   * @param descriptorLimit O_PATH descriptors to keep open at most; a few more where that many are in use
   * @param chooseHandles file handles for nodes beyond the limit; without, they become lazy nodes again
   */
  start(
    path: number,
    descriptorLimit: number,
    chooseHandles: (root: PassthroughNode) => Mounts | undefined,
  ): PassthroughNode {
    const root = this.addOpened(path);
    this.#root = root;
    this.#mounts = chooseHandles(root);
    this.#pinned = new PinnedPaths(descriptorLimit, (node) => this.#unpin(node));
    root.known = true;
    return root;
  }

  /** The guest gets to know the node, or knows it again. */
  know(node: PassthroughNode): void {
    node.known = true;
    if (node.retained) {
      node.retained = false;
      this.#handled++;
    }
  }

  /**
   * The guest has forgotten the node: from now on a file handle finds it. Directories above it are not needed
   * for that. False when the file is gone or has no handle.
   */
  retain(node: PassthroughNode): boolean {
    if (node.retained) {
      return true;
    }
    const handle = hasBirth(node)
      ? this.#mounts?.lastingHandle(node, (parent) => this.pin(parent))
      : undefined;
    if (typeof handle !== "string") {
      return false;
    }
    if (node.handle !== "") {
      this.#handled--;
    }
    node.handle = handle;
    node.retained = true;
    if (node.path >= 0) {
      this.#closePath(node);
    }
    this.unlocate(node);
    return true;
  }

  /** Makes the node of a descriptor whose attributes `posix.attr` has, and takes the descriptor over. */
  addOpened(path: number): PassthroughNode {
    const node = new PassthroughNode(identityOf(posix.attr, this.#seen));
    this.#nodes.add(node);
    this.#attach(node, path);
    return node;
  }

  /** Whether calls on the file may take as long as somebody else likes. */
  isRemote(node: PassthroughNode): boolean {
    return this.devices.mediumOf(node) === Medium.REMOTE;
  }

  /** Whether no call on the file waits for a disk. */
  isInMemory(node: PassthroughNode): boolean {
    return this.devices.mediumOf(node) === Medium.MEMORY;
  }

  /** Whether the same holds for an entry of the directory. */
  hasRemoteEntries(directory: PassthroughNode): boolean {
    return this.devices.hasRemoteRoots(directory) || this.isRemote(directory);
  }

  /** The root, once started. */
  get root(): PassthroughNode | undefined {
    return this.#root;
  }

  /** Nodes that the guest knows have a handle instead of a descriptor; these do not know their names. */
  get hasHandled(): boolean {
    return this.#handled > 0;
  }

  /** Something is mounted where the node is an entry of `parent`. */
  entered(parent: PassthroughNode, name: string, node: PassthroughNode): void {
    this.#mounts?.entered(node);
    this.devices.entered(parent, name, node);
  }

  /** Whether it is worth remembering where a node was seen: nothing else will find its file. */
  needsPlace(node: PassthroughNode): boolean {
    return node.path < 0 ? node.handle === "" : this.#mounts === undefined && node !== this.#root;
  }

  /** A node for a file that was seen in a directory but not opened. The file system must have birth times. */
  addLazy(seen: Identity, parent: PassthroughNode, name: string): PassthroughNode {
    const node = new PassthroughNode(seen);
    this.#nodes.add(node);
    this.locate(node, parent, name);
    return node;
  }

  /** The node of these numbers, whatever its birth. */
  known(seen: Identity): PassthroughNode | undefined {
    return this.#nodes.get(seen);
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
    this.drop(node);
    return undefined;
  }

  /** As match. Leaves what it finds, or something else, in `posix.attr` where it has to look closer. */
  living(seen: Identity): PassthroughNode | undefined {
    const node = this.match(seen);
    // A deleted file's: the birth of the one that has its number now is as old as the clock can tell.
    return node?.retained && this.pin(node) < 0 ? undefined : node;
  }

  /** The node of a path whose attributes `posix.attr` has; the descriptor is taken over or closed. Errors pass. */
  adopt(path: number): Result<PassthroughNode> {
    if (path < 0) {
      return path;
    }
    // Between a look and the opening the host may have put another file there.
    const known = this.match(identityOf(posix.attr, this.#seen));
    if (known === undefined) {
      return this.addOpened(path);
    }
    if (known.retained && this.pin(known) < 0) {
      posix.stat(path);
      return this.addOpened(path);
    }
    if (known.path < 0) {
      this.#attach(known, path);
    } else {
      posix.close(path);
    }
    return known;
  }

  /** The node is not to be found any more. */
  drop(node: PassthroughNode): void {
    this.#nodes.remove(node);
    this.unlocate(node);
  }

  /** The node's O_PATH descriptor, opened if need be. */
  pin(node: PassthroughNode): number {
    if (node.path < 0) {
      return this.#pin(node);
    }
    this.#pinned.use(node);
    return node.path;
  }

  /** Opens the regular file or directory of a node with open(2) `flags`; see {@link posix.reopen}. */
  open(node: PassthroughNode, flags: number, killSuidgid = 0): number {
    const opened = node.path < 0 && killSuidgid === 0 ? this.#openUnpinned(node, flags) : -ESTALE;
    if (opened >= 0) {
      return opened;
    }
    const path = this.pin(node);
    if (path < 0) {
      return path;
    }
    // A handle leads to the file at once, /proc by a path; only the latter gives up privileges or O_NOATIME.
    const handle = killSuidgid === 0 ? this.#openHandleOf(node) : "";
    const fd = handle === "" ? -ESTALE : (this.#mounts?.open(handle, flags) ?? -ESTALE);
    return this.limited(fd === -ESTALE || fd === -EPERM ? posix.reopen(path, flags, killSuidgid) : fd);
  }

  /** As open, on the I/O pool. */
  async openSlowly(node: PassthroughNode, flags: number, killSuidgid = 0): Promise<number> {
    const path = this.pin(node);
    return path < 0 ? path : this.limited(await posix.reopenSlowly(path, flags, killSuidgid));
  }

  /** A descriptor of any kind for calls that take an O_PATH one as well. */
  descriptor(node: PassthroughNode): number {
    return node.creator !== undefined && node.path < 0 ? node.creator.fd : this.pin(node);
  }

  /** Leaves the node's attributes in `posix.attr`; a lazy node stays lazy. */
  stat(node: PassthroughNode): Status {
    if (node.isHeld || node.handle !== "") {
      const fd = this.descriptor(node);
      return fd < 0 ? fd : posix.stat(fd);
    }
    return this.#statPlace(node);
  }

  /** Remembers where a node without a descriptor was seen. */
  locate(node: PassthroughNode, parent: PassthroughNode, name: string): void {
    const left = locate(node, parent, name);
    if (left !== undefined) {
      this.#release(left);
    }
  }

  /** Forgets where a node was seen. */
  unlocate(node: PassthroughNode): void {
    const left = unlocate(node);
    if (left !== undefined) {
      this.#release(left);
    }
  }

  /** What names the node's file over restarts. */
  identify(node: PassthroughNode): Result<FileIdentifier> {
    const path = this.#mounts === undefined ? -EOPNOTSUPP : this.pin(node);
    return path < 0 ? path : (this.#mounts?.identify(path) ?? -EOPNOTSUPP);
  }

  /** Leaves the attributes of an identified file in `posix.attr`. */
  statIdentified(file: FileIdentifier): Status {
    const path = this.#mounts?.openIdentified(file) ?? -EOPNOTSUPP;
    if (path < 0) {
      return path;
    }
    const status = posix.stat(path);
    posix.close(path);
    return status;
  }

  /** A handle on the node is open. */
  opened(node: PassthroughNode, handle?: FileHandle): void {
    node.handles++;
    node.latest = handle ?? node.latest;
  }

  /** A handle on the node is closed. */
  closed(node: PassthroughNode, handle: object): void {
    node.handles--;
    if (node.creator === handle) {
      node.creator = undefined;
    }
    if (node.latest === handle) {
      node.latest = undefined;
    }
    this.#release(node);
  }

  /** The handle whose file this new node is. */
  createdBy(node: PassthroughNode, handle: FileHandle): void {
    if (node.path < 0) {
      node.creator = handle;
    }
  }

  /** Neither the guest nor an id that it may have kept stands for the node. */
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
    this.#mounts?.close();
  }

  /** Passes on a new descriptor or an error; running out of descriptors is ENFILE. */
  limited(result: number): number {
    return this.#limit.check(result);
  }

  #pin(node: PassthroughNode): number {
    if (node.creator !== undefined) {
      const path = this.limited(posix.reopenPath(node.creator.fd));
      return path < 0 ? path : this.#attach(node, path);
    }
    if (node.handle !== "" && this.#mounts !== undefined) {
      return this.#pinByHandle(node, this.limited(this.#mounts.open(node.handle)));
    }
    const { parent } = node;
    const directory = parent === undefined ? -ESTALE : this.pin(parent);
    if (parent === undefined || directory < 0) {
      return directory;
    }
    const path = this.limited(posix.openPath(directory, node.name));
    if (path < 0) return path === -ENOENT ? -ESTALE : path;
    if (!isSame(node, identityOf(posix.attr, this.#seen))) {
      posix.close(path);
      return -ESTALE;
    }
    this.#attach(node, path);
    if (isSubmount(node, parent)) {
      this.#mounts?.entered(node);
    }
    return path;
  }

  #pinByHandle(node: PassthroughNode, path: number): number {
    if (path < 0) {
      if (path === -ESTALE) {
        this.drop(node);
      }
      return path;
    }
    if (!this.#isFile(node, path)) {
      posix.close(path);
      this.drop(node);
      return -ESTALE;
    }
    return this.#attach(node, path);
  }

  /** Attributes of a lazy node, in `posix.attr`. */
  #statPlace(node: PassthroughNode): Status {
    const directory = node.parent === undefined ? -ESTALE : this.pin(node.parent);
    const status = directory < 0 ? directory : posix.statAt(directory, node.name);
    if (status < 0) {
      return status === -ENOENT ? -ESTALE : status;
    }
    return isSame(node, identityOf(posix.attr, this.#seen)) ? 0 : -ESTALE;
  }

  #attach(node: PassthroughNode, path: number): number {
    this.#dropHandle(node);
    node.path = path;
    this.devices.saw(node);
    this.#pinned.add(node);
    if (!this.needsPlace(node)) {
      this.unlocate(node);
    }
    return path;
  }

  /** Closes the descriptor of a node that can be found again without it. */
  #unpin(node: PassthroughNode): boolean {
    if (node === this.#root || node.handles > 0 || !hasBirth(node) || this.#isLastOfFile(node)) {
      return false;
    }
    if (this.#mounts === undefined) {
      if (node.entries !== undefined || !this.#isInPlace(node)) {
        return false;
      }
    } else {
      const handle = node.openHandle === "" ? this.#mounts.handleOf(node) : node.openHandle;
      if (typeof handle === "number") {
        return false;
      }
      node.handle = handle;
      this.#handled++;
    }
    this.#closePath(node);
    return true;
  }

  /**
   * Opens a file that was opened before and has given its descriptor up since, and leaves it that way. It was a regular one
   * when it had its handle taken, and still is. Fails also where {@link pin} would not, or would drop the node.
   */
  #openUnpinned(node: PassthroughNode, flags: number): number {
    if (node.handle === "" || node.openHandle === "" || this.#mounts === undefined) {
      return -ESTALE;
    }
    const fd = this.limited(this.#mounts.open(node.openHandle, flags));
    if (fd >= 0 && !this.#isFile(node, fd)) {
      posix.close(fd);
      return -ESTALE;
    }
    return fd;
  }

  /**
   * Whether a handle has led to the node's file. It may have been made by name, of a file that the host had put there
   * meanwhile. And a file without a name can still be opened by its handle for as long as somebody has it open.
   */
  #isFile(node: PassthroughNode, fd: number): boolean {
    const isFound = posix.stat(fd) === 0 && posix.attr[Attr.NLINK] !== 0;
    return isFound && isSame(node, identityOf(posix.attr, this.#seen));
  }

  /** Whether the file would be gone without the descriptor. Leaves `posix.attr` alone. */
  #isLastOfFile(node: PassthroughNode): boolean {
    if (!this.opensUnasked || node.isDirectory) {
      return false;
    }
    kept.set(posix.attr);
    const isLast = posix.stat(node.path) === 0 && posix.attr[Attr.NLINK] === 0;
    posix.attr.set(kept);
    return isLast;
  }

  /** The file handle of a node whose descriptor is open, or empty where it has none. */
  #openHandleOf(node: PassthroughNode): string {
    if (node.openHandle === "" && this.#mounts !== undefined) {
      const handle = this.#mounts.handleOf(node);
      node.openHandle = typeof handle === "string" ? handle : "";
    }
    return node.openHandle;
  }

  /** Whether a node would be found where it was last seen. Leaves `posix.attr` alone. */
  #isInPlace(node: PassthroughNode): boolean {
    if (node.parent === undefined || node.parent.path < 0) {
      return false;
    }
    kept.set(posix.attr);
    const found = this.#statPlace(node) === 0;
    posix.attr.set(kept);
    return found;
  }

  #dropHandle(node: PassthroughNode): void {
    if (node.handle !== "") {
      node.handle = "";
      this.#handled -= node.retained ? 0 : 1;
    }
    node.retained = false;
  }

  #closePath(node: PassthroughNode): void {
    this.#pinned.remove(node);
    posix.close(node.path);
    node.path = -1;
  }

  /** Lets go of a node that neither the guest, nor a handle, nor an entry needs. */
  #release(node: PassthroughNode): void {
    if (node.known || node.handles > 0 || node.entries !== undefined) {
      return;
    }
    this.#nodes.remove(node);
    if (node.path >= 0) {
      this.#pinned.remove(node);
      this.devices.closeLast(node);
    }
    this.#dropHandle(node);
    this.#mounts?.left(node);
    this.devices.forget(node);
    this.unlocate(node);
  }
}
