import { type AttrRecord, S_IFREG } from "../../src/vfs/attributes.js";
import { EEXIST, ENOENT, EPERM, EROFS, type Result } from "../../src/vfs/errno.js";
import { copyUp } from "./copy-up.js";
import { checkFree } from "./creation.js";
import { markHolder } from "./guest-whiteouts.js";
import { OVERLAY } from "./layers.js";
import type { OverlayNode } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { type Steps, wait } from "./steps.js";
import { upperEntry } from "./whiteouts.js";
import { discardWork } from "./work-directory.js";

/** link(2). */
export function* link(
  overlay: Overlay,
  node: OverlayNode,
  parent: OverlayNode,
  name: string,
  out: AttrRecord,
): Steps<Result<OverlayNode>> {
  const { upper } = overlay;
  if (upper === undefined) {
    return -EROFS;
  }
  if (node.isDirectory) {
    return -EPERM;
  }
  const copied = yield* wait(copyUp(overlay, node));
  const ready = copied >= 0 && node.isGuestWhiteout ? yield* markHolder(overlay, upper, parent) : copied;
  const free = ready < 0 ? ready : yield* checkFree(overlay, upper, parent, name);
  if (typeof free === "number" || node.upper === undefined || parent.upper === undefined) {
    return typeof free === "number" ? free : -ENOENT;
  }
  const { backend, work } = upper;
  let linked =
    free === "whiteout" ? -EEXIST : yield* wait(backend.link(OVERLAY, node.upper, parent.upper, name, out));
  if (linked === -EEXIST && (yield* upperEntry(overlay, upper, parent.upper, name)) === "whiteout") {
    const workName = upper.workName();
    linked = yield* wait(backend.link(OVERLAY, node.upper, work, workName, out));
    if (typeof linked !== "number") {
      const status = yield* wait(backend.rename(OVERLAY, work, workName, parent.upper, name, 0));
      if (status < 0) {
        yield* discardWork(upper, workName, S_IFREG);
        return status;
      }
    }
  }
  if (typeof linked === "number") {
    return linked;
  }
  node.known = true;
  overlay.nodes.place(node, parent, name);
  overlay.present(node, out);
  return node;
}
