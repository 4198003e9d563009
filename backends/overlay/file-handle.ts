import type { Awaitable } from "../../src/vfs/errno.js";
import { VfsHandle, type VfsNode } from "../../src/vfs/node.js";
import { type Layer, OVERLAY } from "./layers.js";
import type { OverlayNode } from "./merged-node.js";
import { type Steps, wait } from "./steps.js";

const O_RDONLY = 0;

/** An open file: the open file of the layer that has the data. */
export class OverlayFileHandle extends VfsHandle {
  declare readonly node: OverlayNode;
  #layer: Layer;
  #inner: VfsHandle;

  constructor(node: OverlayNode, layer: Layer, inner: VfsHandle) {
    super(node);
    this.#layer = layer;
    this.#inner = inner;
    this.boundFile = inner.boundFile;
    node.handles ??= new Set();
    node.handles.add(this);
  }

  get layer(): Layer {
    return this.#layer;
  }

  get inner(): VfsHandle {
    return this.#inner;
  }

  /**
   * Reads the copy from now on, which other handles may change, and no longer the lower file. Such a handle is open
   * for reading only. When the copy cannot be opened, it goes on reading what it read before.
   */
  *moveTo(layer: Layer, copy: VfsNode): Steps<void> {
    if (this.#layer === layer) {
      return;
    }
    const opened = yield* wait(layer.backend.open(OVERLAY, copy, O_RDONLY));
    if (typeof opened === "number") {
      return;
    }
    if (this.node.handles?.has(this) !== true) {
      yield* wait(layer.backend.discard(opened));
      return;
    }
    const [oldLayer, old] = [this.#layer, this.#inner];
    this.#layer = layer;
    this.#inner = opened;
    if (this.rebind !== undefined) {
      this.boundFile = opened.boundFile;
      this.rebind(opened.boundFile);
      yield* wait(oldLayer.backend.release(old));
      return;
    }
    // A handle that the guest has without a bound file stays so: its reads come to the backend.
    this.boundFile = this.tableIndex < 0 ? opened.boundFile : undefined;
    yield* wait(oldLayer.backend.discard(old));
  }

  /** Ends the handle; `isBound`: native code has the bound file of the layer's handle and closes it. */
  close(isBound: boolean): Awaitable<void> {
    this.node.handles?.delete(this);
    const { backend } = this.#layer;
    return isBound ? backend.release(this.#inner) : backend.discard(this.#inner);
  }
}
