import type { Awaitable, Status } from "../../src/vfs/errno.js";
import type { Caller, VfsNode } from "../../src/vfs/node.js";
import { replyXattrNames } from "../../src/vfs/xattr-reply.js";
import { copyUpAttributes } from "./copy-up.js";
import { HandleOperations } from "./handle-operations.js";
import type { OverlayNode } from "./merged-node.js";
import { andThen } from "./steps.js";

const LIST_BYTES = 65_536;

/** Extended attributes of an overlay: those of the layer, without the overlay's own. */
export abstract class XattrOperations extends HandleOperations {
  override setxattr(
    caller: Caller,
    node: VfsNode,
    name: string,
    value: Uint8Array,
    flags: number,
  ): Awaitable<Status> {
    const file = node as OverlayNode;
    return andThen(copyUpAttributes(this.overlay, file), (status) => {
      const { layer, node: real } = this.overlay.real(file);
      return status < 0
        ? status
        : layer.backend.setxattr(caller, real, this.overlay.names.toDisk(name), value, flags);
    });
  }

  override getxattr(caller: Caller, node: VfsNode, name: string, into: Uint8Array): Awaitable<Status> {
    const { layer, node: real } = this.overlay.real(node as OverlayNode);
    return layer.backend.getxattr(caller, real, this.overlay.names.toDisk(name), into);
  }

  override listxattr(caller: Caller, node: VfsNode, into: Uint8Array): Awaitable<Status> {
    const { layer, node: real } = this.overlay.real(node as OverlayNode);
    const all = Buffer.allocUnsafe(LIST_BYTES);
    return andThen(layer.backend.listxattr(caller, real, all), (length) =>
      length < 0 ? length : this.#list(all.latin1Slice(0, length), into),
    );
  }

  override removexattr(caller: Caller, node: VfsNode, name: string): Awaitable<Status> {
    const file = node as OverlayNode;
    const onDisk = this.overlay.names.toDisk(name);
    const before = this.overlay.real(file);
    // What is not there is no reason to copy a file.
    return andThen(before.layer.backend.getxattr(caller, before.node, onDisk, Buffer.alloc(0)), (length) =>
      length < 0
        ? length
        : andThen(copyUpAttributes(this.overlay, file), (status) => {
            const { layer, node: real } = this.overlay.real(file);
            return status < 0 ? status : layer.backend.removexattr(caller, real, onDisk);
          }),
    );
  }

  #list(list: string, into: Uint8Array): Status {
    const shown = list
      .split("\0")
      .map((name) => (name === "" ? undefined : this.overlay.names.toGuest(name)))
      .filter((name) => name !== undefined);
    return replyXattrNames(shown, into);
  }
}
