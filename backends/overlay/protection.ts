import { Attr, PROTECTED } from "../../src/vfs/attributes.js";
import { type Awaitable, EPERM, type Status } from "../../src/vfs/errno.js";
import { attrRecord, OVERLAY } from "./layers.js";
import type { OverlayNode } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { andThen } from "./steps.js";

/**
 * Whether chattr's flags of a lower file or directory let it change. A copy would not have them, so append-only ones
 * may not even be appended to. What is in the upper layer is looked after there.
 */
export function checkProtection(overlay: Overlay, node: OverlayNode): Awaitable<Status> {
  if (node.upper !== undefined || overlay.upper === undefined) {
    return 0;
  }
  const { layer, node: lower } = overlay.real(node);
  const attr = attrRecord();
  return andThen(layer.backend.getattr(OVERLAY, lower, undefined, attr), (status) =>
    status >= 0 && ((attr[Attr.INODE_FLAGS] as number) & PROTECTED) !== 0 ? -EPERM : status,
  );
}
