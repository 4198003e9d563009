import { PROTECTED } from "../../src/vfs/attributes.js";
import { Backend } from "../../src/vfs/backend.js";
import type { DirectoryBuffer } from "../../src/vfs/directory-buffer.js";
import { type Awaitable, EXDEV, type Result, type Status } from "../../src/vfs/errno.js";
import type { Caller, VfsHandle } from "../../src/vfs/node.js";
import { canCopyRange } from "./copy-data.js";
import { endListing, type OverlayDirectoryHandle, readDirectory } from "./directory-listing.js";
import type { OverlayFileHandle } from "./file-handle.js";
import { withDirectory } from "./inode-flags.js";
import { inodeIoctl } from "./inode-ioctl.js";
import type { Overlay } from "./overlay.js";
import { checkProtection, IMMUTABLE } from "./protection.js";
import { andThen, run } from "./steps.js";

/** FALLOC_FL_KEEP_SIZE: what alone an append-only file allows. */
const KEEP_SIZE = 1;

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
    { node, layer, inner }: OverlayFileHandle,
    mode: number,
    offset: bigint,
    length: bigint,
  ): Awaitable<Status> {
    const forbidding = (mode & ~KEEP_SIZE) === 0 ? IMMUTABLE : PROTECTED;
    return andThen(checkProtection(this.overlay, node, forbidding), (status) =>
      status < 0 ? status : layer.backend.fallocate(caller, inner, mode, offset, length),
    );
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
    return inodeIoctl(this.overlay, caller, handle, command, input, into);
  }
}
