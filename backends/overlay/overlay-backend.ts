import {
  type AttributeChange,
  type AttrRecord,
  Change,
  type FileSystemStatistics,
  S_IFCHR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../../src/vfs/attributes.js";
import type { Backend, BackendCapabilities } from "../../src/vfs/backend.js";
import {
  type Awaitable,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENOENT,
  ENOTDIR,
  ENXIO,
  EPERM,
  EROFS,
  type Result,
  type Status,
} from "../../src/vfs/errno.js";
import { GatewayError } from "../../src/vfs/gateway-error.js";
import { KeyedLocks } from "../../src/vfs/keyed-locks.js";
import type { Caller, VfsHandle, VfsNode } from "../../src/vfs/node.js";
import { copyUp } from "./copy-up.js";
import { create, type Maker } from "./creation.js";
import { OverlayDirectoryHandle } from "./directory-listing.js";
import { OverlayFileHandle } from "./file-handle.js";
import { type Layer, OVERLAY } from "./layers.js";
import { link } from "./link.js";
import { adopt, lookup } from "./lookup.js";
import type { OverlayNode } from "./merged-node.js";
import { type OverlayOptions, openLayers } from "./open-layers.js";
import type { Overlay } from "./overlay.js";
import { remove } from "./removal.js";
import { rename } from "./rename.js";
import { andThen, run, type Steps, wait } from "./steps.js";
import { XattrOperations } from "./xattr-operations.js";

const O_ACCMODE = 3;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const O_NOATIME = 0o1000000;
const W_OK = 2;

/**
 * Layers of any backends as one tree, as Linux's overlayfs has them: lower ones that are never written to, and
 * an upper one that takes the changes. Each operation is the layer's own wherever one layer alone is concerned.
 */
export class OverlayBackend extends XattrOperations {
  readonly capabilities: BackendCapabilities;
  readonly #options: OverlayOptions;
  readonly #locks = new KeyedLocks<OverlayNode>();
  #overlay: Overlay | undefined;

  constructor(options: OverlayOptions) {
    super();
    this.#options = options;
    const all = [...(options.upper === undefined ? [] : [options.upper]), ...options.lowers];
    const [top] = all;
    this.capabilities = {
      hardLinks: top?.backend.capabilities.hardLinks ?? false,
      specialFiles: top?.backend.capabilities.specialFiles ?? false,
      xattrs: top?.backend.capabilities.xattrs ?? false,
      changesOutside: false,
      posixAcl: all.every(({ backend }) => backend.capabilities.posixAcl),
      parents: true,
    };
  }

  protected override get overlay(): Overlay {
    if (this.#overlay === undefined) {
      throw new GatewayError("environment", "the overlay is not started");
    }
    return this.#overlay;
  }

  override async start(): Promise<VfsNode> {
    this.#overlay = await openLayers(this.#options);
    return this.#overlay.nodes.root;
  }

  override async stop(): Promise<void> {
    const { upper, lowers } = this.#options;
    for (const { backend } of [...(upper === undefined ? [] : [upper]), ...lowers]) {
      await backend.stop();
    }
    this.#overlay = undefined;
  }

  override forget(node: VfsNode): void {
    this.#overlay?.nodes.forget(node as OverlayNode);
  }

  override statfs(_node: VfsNode): Awaitable<Result<FileSystemStatistics>> {
    const { layer, node } = this.overlay.real(this.overlay.nodes.root);
    return layer.backend.statfs(node);
  }

  override lookup(
    _caller: Caller,
    parent: VfsNode,
    name: string,
    out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    return andThen(lookup(this.overlay, parent as OverlayNode, name, out), give);
  }

  override parentOf(_caller: Caller, node: VfsNode, out: AttrRecord): Awaitable<Result<VfsNode>> {
    const directory = node as OverlayNode;
    if (!directory.isDirectory) {
      return -ENOTDIR;
    }
    const parent = directory.places[0]?.parent ?? this.overlay.nodes.root;
    return andThen(this.#attributes(parent, undefined, out), (status) => give(status < 0 ? status : parent));
  }

  override getattr(
    _caller: Caller,
    node: VfsNode,
    handle: VfsHandle | undefined,
    out: AttrRecord,
  ): Awaitable<Status> {
    return this.#attributes(node as OverlayNode, handle, out);
  }

  override setattr(
    caller: Caller,
    node: VfsNode,
    handle: VfsHandle | undefined,
    change: AttributeChange,
    out: AttrRecord,
  ): Awaitable<Status> {
    const file = node as OverlayNode;
    const resizes = (change.valid & Change.SIZE) !== 0;
    if (resizes && !file.isRegular) {
      return file.isDirectory ? -EISDIR : -EINVAL;
    }
    const { overlay } = this;
    return andThen(copyUp(overlay, file, resizes ? change.size : undefined), (ready) => {
      if (ready < 0 || file.upper === undefined || overlay.upper === undefined) {
        return ready;
      }
      const { backend } = overlay.upper;
      const inner = handle instanceof OverlayFileHandle ? innerOf(overlay, handle) : undefined;
      return andThen(backend.setattr(caller, file.upper, inner, change, out), (status) => {
        if (status >= 0) {
          overlay.present(file, out);
        }
        return status;
      });
    });
  }

  override readlink(caller: Caller, node: VfsNode): Awaitable<Result<string>> {
    const { layer, node: real } = this.overlay.real(node as OverlayNode);
    return layer.backend.readlink(caller, real);
  }

  override mknod(
    caller: Caller,
    parent: VfsNode,
    name: string,
    mode: number,
    rdev: number,
    out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    // It would be a whiteout.
    return (mode & S_IFMT) === S_IFCHR && rdev === 0
      ? -EPERM
      : this.#make(
          parent,
          name,
          (backend, directory, as) => backend.mknod(caller, directory, as, mode, rdev, out),
          out,
        );
  }

  override mkdir(
    caller: Caller,
    parent: VfsNode,
    name: string,
    mode: number,
    out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    return this.#make(
      parent,
      name,
      (backend, directory, as) => backend.mkdir(caller, directory, as, mode, out),
      out,
    );
  }

  override symlink(
    caller: Caller,
    parent: VfsNode,
    name: string,
    target: string,
    out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    return this.#make(
      parent,
      name,
      (backend, directory, as) => backend.symlink(caller, directory, as, target, out),
      out,
    );
  }

  override link(
    _caller: Caller,
    node: VfsNode,
    newParent: VfsNode,
    newName: string,
    out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    const [file, parent] = [node as OverlayNode, newParent as OverlayNode];
    // What takes long is done before the directory is locked.
    return andThen(copyUp(this.overlay, file), (status) =>
      status < 0
        ? status
        : andThen(this.#alone([parent], link(this.overlay, file, parent, newName, out)), give),
    );
  }

  override unlink(_caller: Caller, parent: VfsNode, name: string): Awaitable<Status> {
    const directory = parent as OverlayNode;
    return this.#alone([directory], remove(this.overlay, directory, name, false));
  }

  override rmdir(_caller: Caller, parent: VfsNode, name: string): Awaitable<Status> {
    const directory = parent as OverlayNode;
    return this.#alone([directory], remove(this.overlay, directory, name, true));
  }

  override rename(
    _caller: Caller,
    parent: VfsNode,
    name: string,
    newParent: VfsNode,
    newName: string,
    flags: number,
  ): Awaitable<Status> {
    const from = { parent: parent as OverlayNode, name };
    const to = { parent: newParent as OverlayNode, name: newName };
    const { root } = this.overlay.nodes;
    return this.#alone([root, from.parent, to.parent], rename(this.overlay, from, to, flags));
  }

  override open(caller: Caller, node: VfsNode, flags: number): Awaitable<Result<VfsHandle>> {
    return this.#open(caller, node as OverlayNode, flags);
  }

  override create(
    caller: Caller,
    parent: VfsNode,
    name: string,
    flags: number,
    mode: number,
    out: AttrRecord,
  ): Awaitable<Result<VfsHandle>> {
    const directory = parent as OverlayNode;
    return this.#alone([directory], this.#createFile(caller, directory, name, flags, mode, out));
  }

  *#createFile(
    caller: Caller,
    parent: OverlayNode,
    name: string,
    flags: number,
    mode: number,
    out: AttrRecord,
  ): Steps<Result<VfsHandle>> {
    const { overlay } = this;
    const found = yield* wait(lookup(overlay, parent, name, out));
    if (typeof found !== "number") {
      return (flags & O_EXCL) !== 0 ? -EEXIST : yield* this.#openExisting(caller, found, flags, out);
    }
    if (found !== -ENOENT || overlay.upper === undefined) {
      return found === -ENOENT ? -EROFS : found;
    }
    const { upper } = overlay;
    const make: Maker<VfsHandle> = (directory, as) =>
      upper.backend.create(caller, directory, as, flags | O_EXCL, mode, out);
    const created = yield* create(overlay, parent, name, make, ({ node }) => node, out);
    if (typeof created === "number") {
      return created;
    }
    give(created.node);
    return new OverlayFileHandle(created.node, upper, created.made);
  }

  *#openExisting(
    caller: Caller,
    node: OverlayNode,
    flags: number,
    out: AttrRecord,
  ): Steps<Result<VfsHandle>> {
    const handle = yield* wait(this.#open(caller, node, flags));
    if (typeof handle === "number") {
      return handle;
    }
    give(node);
    yield* wait(this.#attributes(node, undefined, out));
    return handle;
  }

  override tmpfile(
    caller: Caller,
    parent: VfsNode,
    flags: number,
    mode: number,
    out: AttrRecord,
  ): Awaitable<Result<VfsHandle>> {
    return run(this.#temporary(caller, parent as OverlayNode, flags, mode, out));
  }

  *#temporary(
    caller: Caller,
    parent: OverlayNode,
    flags: number,
    mode: number,
    out: AttrRecord,
  ): Steps<Result<VfsHandle>> {
    const { overlay } = this;
    const ready = yield* wait(copyUp(overlay, parent));
    if (ready < 0 || overlay.upper === undefined || parent.upper === undefined) {
      return ready < 0 ? ready : -EROFS;
    }
    const made = yield* wait(overlay.upper.backend.tmpfile(caller, parent.upper, flags, mode, out));
    if (typeof made === "number") {
      return made;
    }
    overlay.mapNumber(overlay.upper, out);
    const node = adopt(overlay, { type: S_IFREG, upper: made.node, lowers: [] }, out);
    overlay.present(node, out);
    give(node);
    return new OverlayFileHandle(node, overlay.upper, made);
  }

  override opendir(_caller: Caller, node: VfsNode): Result<VfsHandle> {
    return (node as OverlayNode).isDirectory ? new OverlayDirectoryHandle(node) : -ENOTDIR;
  }

  override syncfs(_node: VfsNode): Awaitable<Status> {
    const { upper, settings } = this.overlay;
    return upper === undefined || settings.isVolatile ? 0 : upper.backend.syncfs(upper.root);
  }

  override access(caller: Caller, node: VfsNode, mask: number): Awaitable<Status> {
    if ((mask & W_OK) !== 0 && this.overlay.upper === undefined) {
      return -EROFS;
    }
    const { layer, node: real } = this.overlay.real(node as OverlayNode);
    return layer.backend.access(caller, real, mask);
  }

  #open(caller: Caller, node: OverlayNode, flags: number): Awaitable<Result<VfsHandle>> {
    if (!node.isRegular) {
      return node.isDirectory ? -EISDIR : node.type === S_IFLNK ? -ELOOP : -ENXIO;
    }
    const truncates = (flags & O_TRUNC) !== 0;
    if (!truncates && (flags & O_ACCMODE) === 0) {
      return this.#openReal(caller, node, flags);
    }
    return andThen(copyUp(this.overlay, node, truncates ? 0n : undefined), (status) =>
      status < 0 ? status : this.#openReal(caller, node, flags),
    );
  }

  #openReal(caller: Caller, node: OverlayNode, flags: number): Awaitable<Result<VfsHandle>> {
    const { layer, node: real } = this.overlay.real(node);
    // Reading a lower layer leaves no traces in it.
    const wanted = layer === this.overlay.upper ? flags : flags | O_NOATIME;
    return andThen(layer.backend.open(caller, real, wanted), (opened) =>
      opened === -EPERM && wanted !== flags
        ? andThen(layer.backend.open(caller, real, flags), (again) => asHandle(node, layer, again))
        : asHandle(node, layer, opened),
    );
  }

  #attributes(node: OverlayNode, handle: VfsHandle | undefined, out: AttrRecord): Awaitable<Status> {
    const { layer, node: real } = this.overlay.real(node);
    const inner = handle instanceof OverlayFileHandle && handle.layer === layer ? handle.inner : undefined;
    const status = layer.backend.getattr(OVERLAY, real, inner, out);
    if (status === 0) {
      this.overlay.present(node, out);
      return 0;
    }
    return andThen(status, (later) => {
      if (later >= 0) {
        this.overlay.present(node, out);
      }
      return later;
    });
  }

  /** Makes a file that is not opened. */
  #make(
    parent: VfsNode,
    name: string,
    make: (backend: Backend, directory: VfsNode, as: string) => Awaitable<Result<VfsNode>>,
    out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    const { overlay } = this;
    const directory = parent as OverlayNode;
    const { upper } = overlay;
    if (upper === undefined) {
      return -EROFS;
    }
    const maker: Maker<VfsNode> = (place, as) => make(upper.backend, place, as);
    const steps = create(overlay, directory, name, maker, (made) => made, out);
    return andThen(this.#alone([directory], steps), (created) =>
      typeof created === "number" ? created : give(created.node),
    );
  }

  /** Runs steps that change these directories; only those that wait keep others out. */
  #alone<T>(directories: readonly OverlayNode[], steps: Steps<T>): Awaitable<T> {
    if (directories.some((directory) => this.#locks.isBusy(directory))) {
      return this.#locks.run(directories, () => run(steps));
    }
    const result = run(steps);
    return result instanceof Promise ? this.#locks.run(directories, () => result) : result;
  }
}

/** The guest may name the node from now on. */
function give(node: Result<OverlayNode>): Result<OverlayNode> {
  if (typeof node !== "number") {
    node.known = true;
  }
  return node;
}

/** The upper layer's handle of an open file, if it has one. */
function innerOf(overlay: Overlay, handle: OverlayFileHandle): VfsHandle | undefined {
  return handle.layer === overlay.upper ? handle.inner : undefined;
}

function asHandle(node: OverlayNode, layer: Layer, opened: Result<VfsHandle>): Result<OverlayFileHandle> {
  return typeof opened === "number" ? opened : new OverlayFileHandle(node, layer, opened);
}
