import { EISDIR, ENOTDIR, ENOTEMPTY, EROFS, type Status } from "../../src/vfs/errno.js";
import type { VfsNode } from "../../src/vfs/node.js";
import { copyUp } from "./copy-up.js";
import { countedWithCopy, nameRemoved } from "./hard-links.js";
import { attrRecord, type UpperLayer } from "./layers.js";
import { lookup, lowerShows } from "./lookup.js";
import { mergedEntries } from "./merged-entries.js";
import type { OverlayNode, Place } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { checkProtection } from "./protection.js";
import { type Steps, wait } from "./steps.js";
import { removeUpper, type UpperEntry, upperEntry } from "./whiteouts.js";

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
  const attr = attrRecord();
  const node = yield* wait(lookup(overlay, parent, name, attr));
  return typeof node === "number"
    ? node
    : yield* overlay.nodes.keeping(
        node,
        removeNode(overlay, upper, { parent, name }, node, countedWithCopy(overlay, node, attr), isDirectory),
      );
}

function* removeNode(
  overlay: Overlay,
  upper: UpperLayer,
  { parent, name }: Place,
  node: OverlayNode,
  countsLinks: boolean,
  isDirectory: boolean,
): Steps<Status> {
  const refused = yield* whyNot(overlay, parent, node, isDirectory);
  if (refused < 0) {
    return refused;
  }
  if (countsLinks) {
    const copied = yield* wait(copyUp(overlay, node));
    if (copied < 0) {
      return copied;
    }
  }
  const hide = yield* lowerShows(overlay, parent, name);
  const ready = typeof hide === "number" ? hide : yield* wait(copyUp(overlay, parent));
  if (typeof hide === "number" || ready < 0 || parent.upper === undefined) {
    return ready;
  }
  const entry = yield* ownEntry(overlay, upper, node, parent.upper, name);
  if (typeof entry === "number") {
    return entry;
  }
  const status = yield* removeUpper(overlay, upper, parent.upper, name, entry, hide);
  if (status < 0) {
    return status;
  }
  const counted = yield* nameRemoved(overlay, upper, node, entry !== "nothing");
  overlay.nodes.unplace(parent, name);
  return counted;
}

/** What the upper layer has of a node under one of its names. */
function* ownEntry(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  parent: VfsNode,
  name: string,
): Steps<UpperEntry | number> {
  if (node.upper === undefined) {
    return "nothing";
  }
  // A copy in the index may have this name in a lower layer only.
  return node.extraLinks === undefined
    ? node.isDirectory
      ? "directory"
      : "file"
    : yield* upperEntry(overlay, upper, parent, name);
}

function* whyNot(
  overlay: Overlay,
  parent: OverlayNode,
  node: OverlayNode,
  isDirectory: boolean,
): Steps<Status> {
  for (const protectable of [parent, node]) {
    const status = yield* wait(checkProtection(overlay, protectable));
    if (status < 0) {
      return status;
    }
  }
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
