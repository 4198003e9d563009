import type { AttrRecord } from "../../src/vfs/attributes.js";
import type { Awaitable, Status } from "../../src/vfs/errno.js";
import type { VfsHandle } from "../../src/vfs/node.js";
import { OverlayFileHandle } from "./file-handle.js";
import { OVERLAY } from "./layers.js";
import type { OverlayNode } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { andThen } from "./steps.js";

/** stat(2) of a node, through an open file of it if there is one. */
export function attributes(
  overlay: Overlay,
  node: OverlayNode,
  handle: VfsHandle | undefined,
  out: AttrRecord,
): Awaitable<Status> {
  const { layer, node: real } = overlay.real(node);
  const inner = handle instanceof OverlayFileHandle && handle.layer === layer ? handle.inner : undefined;
  const status = layer.backend.getattr(OVERLAY, real, inner, out);
  if (status === 0) {
    overlay.present(node, out);
    return 0;
  }
  return andThen(status, (later) => {
    if (later >= 0) {
      overlay.present(node, out);
    }
    return later;
  });
}
