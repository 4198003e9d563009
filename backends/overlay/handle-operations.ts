import { Backend } from "../../src/vfs/backend.js";
import type { DirectoryBuffer } from "../../src/vfs/directory-buffer.js";
import { type Awaitable, EXDEV, type Result, type Status } from "../../src/vfs/errno.js";
import type { Caller, VfsHandle } from "../../src/vfs/node.js";
import { canCopyRange } from "./copy-data.js";
import { copyUpProtected } from "./copy-up.js";
import { endListing, type OverlayDirectoryHandle, readDirectory } from "./directory-listing.js";
import { OverlayFileHandle } from "./file-handle.js";
import { type LayerNode, OVERLAY } from "./layers.js";
import type { OverlayNode } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { andThen, run, type Steps, wait } from "./steps.js";

const FS_IOC_SETFLAGS = 0x4008_6602;
const FS_IOC_FSSETXATTR = 0x401c_5820;

/** What an overlay does with files and directories that are open: mostly the layer's own operation. */
export abstract class HandleOperations extends Backend {
  /** The overlay, between start and stop. */
  protected abstract readonly overlay: Overlay;

  override read(
    caller: Caller,
    { layer, inner }: OverlayFileHandle,
    offset: number,
    into: Uint8Array,
  ): Awaitable<Status> {
    return layer.backend.read(caller, inner, offset, into);
  }

  override write(
    caller: Caller,
    { layer, inner }: OverlayFileHandle,
    offset: number,
    from: Uint8Array,
  ): Awaitable<Status> {
    return layer.backend.write(caller, inner, offset, from);
  }

  override flush(caller: Caller, { layer, inner }: OverlayFileHandle): Awaitable<Status> {
    return layer.backend.flush(caller, inner);
  }

  override release(handle: OverlayFileHandle): Awaitable<void> {
    return handle.close(handle.boundFile !== undefined);
  }

  override discard(handle: OverlayFileHandle): Awaitable<void> {
    return handle.close(false);
  }

  override fsync(caller: Caller, { layer, inner }: OverlayFileHandle, dataOnly: boolean): Awaitable<Status> {
    return this.overlay.settings.isVolatile ? 0 : layer.backend.fsync(caller, inner, dataOnly);
  }

  override fallocate(
    caller: Caller,
    { layer, inner }: OverlayFileHandle,
    mode: number,
    offset: bigint,
    length: bigint,
  ): Awaitable<Status> {
    return layer.backend.fallocate(caller, inner, mode, offset, length);
  }

  override lseek(
    caller: Caller,
    { layer, inner }: OverlayFileHandle,
    offset: bigint,
    whence: number,
  ): Awaitable<Result<bigint>> {
    return layer.backend.lseek(caller, inner, offset, whence);
  }

  /** Between stores of different kinds the guest copies by itself: EXDEV. */
  override copyFileRange(
    caller: Caller,
    from: OverlayFileHandle,
    fromOffset: bigint,
    to: OverlayFileHandle,
    toOffset: bigint,
    length: bigint,
  ): Awaitable<Result<bigint>> {
    const source = { layer: from.layer, handle: from.inner };
    const target = { layer: to.layer, handle: to.inner };
    return canCopyRange(source, target)
      ? to.layer.backend.copyFileRange(caller, from.inner, fromOffset, to.inner, toOffset, length)
      : -EXDEV;
  }

  override readdir(caller: Caller, handle: VfsHandle, sink: DirectoryBuffer): Awaitable<Status> {
    return run(readDirectory(this.overlay, caller, handle as OverlayDirectoryHandle, sink));
  }

  override releasedir(handle: VfsHandle): Awaitable<void> {
    return run(endListing(handle as OverlayDirectoryHandle));
  }

  /** Entries are on disk when the upper layer's directory is. */
  override fsyncdir(caller: Caller, handle: VfsHandle, dataOnly: boolean): Awaitable<Status> {
    const { upper, settings } = this.overlay;
    const { node } = handle as OverlayDirectoryHandle;
    return upper === undefined || node.upper === undefined || settings.isVolatile
      ? 0
      : run(
          withDirectory({ layer: upper, node: node.upper }, (open) =>
            upper.backend.fsyncdir(caller, open, dataOnly),
          ),
        );
  }

  override ioctl(
    caller: Caller,
    handle: VfsHandle,
    command: number,
    input: Uint8Array,
    into: Uint8Array,
  ): Awaitable<Status> {
    const node = handle.node as OverlayNode;
    const changes = command === FS_IOC_SETFLAGS || command === FS_IOC_FSSETXATTR;
    return andThen(changes ? copyUpProtected(this.overlay, node) : 0, (status) => {
      if (status < 0) {
        return status;
      }
      if (handle instanceof OverlayFileHandle) {
        return handle.layer.backend.ioctl(caller, handle.inner, command, input, into);
      }
      const real = this.overlay.real(node);
      const ask = (open: VfsHandle) => real.layer.backend.ioctl(caller, open, command, input, into);
      return run(withDirectory(real, ask));
    });
  }
}

/** Does something with a directory of a layer that has to be open for it. */
function* withDirectory(
  { layer, node }: LayerNode,
  use: (open: VfsHandle) => Awaitable<Status>,
): Steps<Status> {
  const open = yield* wait(layer.backend.opendir(OVERLAY, node));
  if (typeof open === "number") {
    return open;
  }
  try {
    return yield* wait(use(open));
  } finally {
    yield* wait(layer.backend.releasedir(open));
  }
}
