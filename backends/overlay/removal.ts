import { S_IFDIR } from "../../src/vfs/attributes.js";
import { EISDIR, ENOTDIR, ENOTEMPTY, EROFS, type Status } from "../../src/vfs/errno.js";
import { copyUp } from "./copy-up.js";
import { mergedEntries } from "./directory-listing.js";
import { attrRecord } from "./layers.js";
import { lookup, lowerShows } from "./lookup.js";
import type { OverlayNode } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { type Steps, wait } from "./steps.js";
import { removeUpper } from "./whiteouts.js";

/** unlink(2) and, with `isDirectory`, rmdir(2). */
export function* remove(
  overlay: Overlay,
  parent: OverlayNode,
  name: string,
  isDirectory: boolean,
): Steps<Status> {
  const { upper } = overlay;
  if (upper === undefined) {
    return -EROFS;
  }
  const node = yield* wait(lookup(overlay, parent, name, attrRecord()));
  if (typeof node === "number") {
    return node;
  }
  const refused = yield* whyNot(overlay, node, isDirectory);
  if (refused < 0) {
    return refused;
  }
  const hide = yield* lowerShows(overlay, parent, name);
  const ready = typeof hide === "number" ? hide : yield* wait(copyUp(overlay, parent));
  if (typeof hide === "number" || ready < 0 || parent.upper === undefined) {
    return ready;
  }
  const entry = node.upper === undefined ? "nothing" : node.type === S_IFDIR ? "directory" : "file";
  const status = yield* removeUpper(upper, parent.upper, name, entry, hide);
  if (status >= 0) {
    overlay.nodes.unplace(parent, name);
  }
  return status;
}

function* whyNot(overlay: Overlay, node: OverlayNode, isDirectory: boolean): Steps<Status> {
  if (!isDirectory) {
    return node.isDirectory ? -EISDIR : 0;
  }
  if (!node.isDirectory) {
    return -ENOTDIR;
  }
  return yield* checkEmpty(overlay, node);
}

/** 0 or -ENOTEMPTY. */
export function* checkEmpty(overlay: Overlay, node: OverlayNode): Steps<Status> {
  const entries = yield* mergedEntries(overlay, node);
  if (typeof entries === "number") {
    return entries;
  }
  return entries.length > 0 ? -ENOTEMPTY : 0;
}
