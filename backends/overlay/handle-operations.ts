import { Backend } from "../../src/vfs/backend.js";
import type { DirectoryBuffer } from "../../src/vfs/directory-buffer.js";
import { type Awaitable, EXDEV, type Result, type Status } from "../../src/vfs/errno.js";
import type { Caller, VfsHandle } from "../../src/vfs/node.js";
import { canCopyRange } from "./copy-data.js";
import { type OverlayDirectoryHandle, readDirectory } from "./directory-listing.js";
import type { OverlayFileHandle } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { run } from "./steps.js";

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
    handle.node.handles.delete(handle);
    return handle.layer.backend.release(handle.inner);
  }

  override discard(handle: OverlayFileHandle): Awaitable<void> {
    handle.node.handles.delete(handle);
    return handle.layer.backend.discard(handle.inner);
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

  override releasedir(_handle: VfsHandle): void {}

  /** Entries are on disk when the upper layer's directory is. */
  override fsyncdir(caller: Caller, handle: VfsHandle, dataOnly: boolean): Awaitable<Status> {
    const { upper, settings } = this.overlay;
    const { node } = handle as OverlayDirectoryHandle;
    if (upper === undefined || node.upper === undefined || settings.isVolatile) {
      return 0;
    }
    const opened = upper.backend.opendir(caller, node.upper);
    const sync = (directory: Result<VfsHandle>): Awaitable<Status> => {
      if (typeof directory === "number") {
        return directory;
      }
      const synced = upper.backend.fsyncdir(caller, directory, dataOnly);
      const close = (status: Status): Status => {
        void upper.backend.releasedir(directory);
        return status;
      };
      return synced instanceof Promise ? synced.then(close) : close(synced);
    };
    return opened instanceof Promise ? opened.then(sync) : sync(opened);
  }
}
