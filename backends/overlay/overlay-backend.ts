import {
  type AttributeChange,
  type AttrRecord,
  Change,
  type FileSystemStatistics,
  PROTECTED,
  S_IFCHR,
  S_IFMT,
} from "../../src/vfs/attributes.js";
import { type Backend, type BackendCapabilities, RenameFlag } from "../../src/vfs/backend.js";
import {
  type Awaitable,
  EINVAL,
  EISDIR,
  ENOTDIR,
  EROFS,
  type Result,
  type Status,
} from "../../src/vfs/errno.js";
import { GatewayError } from "../../src/vfs/gateway-error.js";
import { KeyedLocks } from "../../src/vfs/keyed-locks.js";
import type { Caller, VfsHandle, VfsNode } from "../../src/vfs/node.js";
import { attributes } from "./attributes.js";
import { copyUp, copyUpAttributes } from "./copy-up.js";
import { create, type Maker } from "./creation.js";
import { OverlayDirectoryHandle } from "./directory-listing.js";
import { OverlayFileHandle } from "./file-handle.js";
import { createFile, createTemporary, openFile } from "./file-opener.js";
import { link } from "./link.js";
import { lookup } from "./lookup.js";
import { makeGuestWhiteout, renameLeavingWhiteout } from "./make-guest-whiteout.js";
import type { OverlayNode, Place } from "./merged-node.js";
import { type OverlayOptions, openLayers } from "./open-layers.js";
import type { Overlay } from "./overlay.js";
import { IMMUTABLE } from "./protection.js";
import { remove } from "./removal.js";
import { rename } from "./rename.js";
import { andThen, run, type Steps } from "./steps.js";
import { finishVolatile } from "./work-directory.js";
import { XattrOperations } from "./xattr-operations.js";

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
      birthTimes: all.some(({ backend }) => backend.capabilities.birthTimes),
      choosesAttributes: false,
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
    const { upper, lowers, isVolatile } = this.#options;
    if (isVolatile && this.#overlay?.upper !== undefined) {
      await run(finishVolatile(this.#overlay.upper));
    }
    for (const { backend } of [...(upper === undefined ? [] : [upper]), ...lowers]) {
      await backend.stop();
    }
    this.#overlay = undefined;
  }

  override opensUnasked(): void {
    for (const { backend } of [
      ...(this.#options.upper ? [this.#options.upper] : []),
      ...this.#options.lowers,
    ]) {
      backend.opensUnasked();
    }
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
    return lookup(this.overlay, parent as OverlayNode, name, out, true);
  }

  override parentOf(_caller: Caller, node: VfsNode, out: AttrRecord): Awaitable<Result<VfsNode>> {
    const directory = node as OverlayNode;
    if (!directory.isDirectory) {
      return -ENOTDIR;
    }
    const parent = directory.places[0]?.parent ?? this.overlay.nodes.root;
    return andThen(attributes(this.overlay, parent, undefined, out), (status) => {
      if (status < 0) {
        return status;
      }
      parent.known = true;
      return parent;
    });
  }

  override getattr(
    _caller: Caller,
    node: VfsNode,
    handle: VfsHandle | undefined,
    out: AttrRecord,
  ): Awaitable<Status> {
    return attributes(this.overlay, node as OverlayNode, handle, out);
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
    const copied = resizes
      ? copyUp(overlay, file, change.size)
      : copyUpAttributes(overlay, file, isTouch(change) ? IMMUTABLE : PROTECTED);
    return andThen(copied, (ready) => {
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
    if ((mode & S_IFMT) === S_IFCHR && rdev === 0) {
      return this.#makeWhiteout(caller, { parent: parent as OverlayNode, name }, mode, out);
    }
    return this.#make(
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
    const linked = andThen(copyUp(this.overlay, file), (status) =>
      status < 0 ? status : this.#alone([parent], link(this.overlay, file, parent, newName, out)),
    );
    return linked instanceof Promise ? this.overlay.nodes.keepDuring([file, parent], linked) : linked;
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
    caller: Caller,
    parent: VfsNode,
    name: string,
    newParent: VfsNode,
    newName: string,
    flags: number,
  ): Awaitable<Status> {
    const from = { parent: parent as OverlayNode, name };
    const to = { parent: newParent as OverlayNode, name: newName };
    const { upper, nodes } = this.overlay;
    const steps =
      (flags & RenameFlag.WHITEOUT) !== 0 && upper !== undefined
        ? renameLeavingWhiteout(this.overlay, upper, caller, from, to, flags)
        : rename(this.overlay, from, to, flags);
    return this.#alone([nodes.root, from.parent, to.parent], steps);
  }

  override open(caller: Caller, node: VfsNode, flags: number): Awaitable<Result<VfsHandle>> {
    return openFile(this.overlay, caller, node as OverlayNode, flags);
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
    return this.#alone(
      [directory],
      createFile(this.overlay, caller, { parent: directory, name }, flags, mode, out),
    );
  }

  override tmpfile(
    caller: Caller,
    parent: VfsNode,
    flags: number,
    mode: number,
    out: AttrRecord,
  ): Awaitable<Result<VfsHandle>> {
    return run(createTemporary(this.overlay, caller, parent as OverlayNode, flags, mode, out));
  }

  override opendir(_caller: Caller, node: VfsNode, flags = 0): Result<VfsHandle> {
    return (node as OverlayNode).isDirectory ? new OverlayDirectoryHandle(node, flags) : -ENOTDIR;
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

  /** A character device 0:0 is a whiteout: that of an overlay in the guest, not ours. */
  #makeWhiteout(caller: Caller, place: Place, mode: number, out: AttrRecord): Awaitable<Result<VfsNode>> {
    const { overlay } = this;
    const { upper } = overlay;
    if (upper === undefined) {
      return -EROFS;
    }
    return this.#alone([place.parent], makeGuestWhiteout(overlay, upper, caller, place, mode, out));
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
      typeof created === "number" ? created : created.node,
    );
  }

  #lock<T>(directories: readonly OverlayNode[], operation: () => Awaitable<T>): Promise<T> {
    return this.overlay.nodes.keepDuring(directories, this.#locks.run(directories, operation));
  }

  /** Runs steps that change these directories; only those that wait keep others out. */
  #alone<T>(directories: readonly OverlayNode[], steps: Steps<T>): Awaitable<T> {
    if (directories.some((directory) => this.#locks.isBusy(directory))) {
      return this.#lock(directories, () => run(steps));
    }
    const result = run(steps);
    return result instanceof Promise ? this.#lock(directories, () => result) : result;
  }
}

/** Whether only times are set, to the present one: what a file that may only be appended to allows. */
function isTouch({ valid }: AttributeChange): boolean {
  const isSet = (time: number, now: number) => (valid & time) !== 0 && (valid & now) === 0;
  return (
    (valid & (Change.MODE | Change.UID | Change.GID | Change.SIZE)) === 0 &&
    !isSet(Change.ATIME, Change.ATIME_NOW) &&
    !isSet(Change.MTIME, Change.MTIME_NOW)
  );
}

/** The upper layer's handle of an open file, if it has one. */
function innerOf(overlay: Overlay, handle: OverlayFileHandle): VfsHandle | undefined {
  return handle.layer === overlay.upper ? handle.inner : undefined;
}
