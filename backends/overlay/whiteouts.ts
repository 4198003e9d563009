import { Attr, S_IFCHR, S_IFDIR, S_IFMT } from "../../src/vfs/attributes.js";
import { RenameFlag } from "../../src/vfs/backend.js";
import { ENOENT, type Status } from "../../src/vfs/errno.js";
import type { VfsNode } from "../../src/vfs/node.js";
import { attrRecord, OVERLAY, type UpperLayer } from "./layers.js";
import type { Overlay } from "./overlay.js";
import { type Steps, wait } from "./steps.js";
import { isWhiteout, makeWhiteout } from "./whiteout-forms.js";
import { discardWork } from "./work-directory.js";

const OPAQUE = Buffer.from("y");

/** What the upper layer has under a name. */
export type UpperEntry = "nothing" | "whiteout" | "file" | "directory";

/** Looks at a name in the upper layer alone. */
export function* upperEntry(
  overlay: Overlay,
  upper: UpperLayer,
  parent: VfsNode,
  name: string,
): Steps<UpperEntry | number> {
  const out = attrRecord();
  const node = yield* wait(upper.lookup(parent, name, out));
  if (typeof node === "number") {
    return node === -ENOENT ? "nothing" : node;
  }
  const hides = yield* isWhiteout(overlay, upper, parent, node, out);
  upper.release(node);
  if (hides) {
    return "whiteout";
  }
  return ((out[Attr.MODE] as number) & S_IFMT) === S_IFDIR ? "directory" : "file";
}

/**
 * Takes a name out of the upper layer and, with `hide`, leaves a whiteout in its place, in one step. A directory
 * may still have whiteouts in it.
 */
export function* removeUpper(
  overlay: Overlay,
  upper: UpperLayer,
  parent: VfsNode,
  name: string,
  entry: UpperEntry,
  hide: boolean,
): Steps<Status> {
  const { backend, work } = upper;
  if (!hide) {
    return yield* removeUnhidden(upper, parent, name, entry);
  }
  if (entry === "whiteout") {
    return 0;
  }
  const whiteout = yield* makeWhiteout(overlay, upper, parent);
  if (typeof whiteout === "number") {
    return whiteout;
  }
  const isDirectory = entry === "directory";
  const flags = isDirectory ? RenameFlag.EXCHANGE : 0;
  const status = yield* wait(backend.rename(OVERLAY, work, whiteout, parent, name, flags));
  if (status < 0) {
    yield* discardWork(upper, whiteout, S_IFCHR);
    return status;
  }
  return isDirectory ? yield* discardWork(upper, whiteout, S_IFDIR) : 0;
}

function* removeUnhidden(upper: UpperLayer, parent: VfsNode, name: string, entry: UpperEntry): Steps<Status> {
  const { backend, work } = upper;
  if (entry === "nothing") {
    return 0;
  }
  if (entry !== "directory") {
    return yield* wait(backend.unlink(OVERLAY, parent, name));
  }
  const retired = upper.workName();
  const status = yield* wait(backend.rename(OVERLAY, parent, name, work, retired, 0));
  return status < 0 ? status : yield* discardWork(upper, retired, S_IFDIR);
}

/** Marks a directory of the upper layer as hiding what lower layers have under its name. */
export function setOpaque(overlay: Overlay, upper: UpperLayer, node: VfsNode) {
  return upper.setXattr(node, overlay.names.opaque, OPAQUE);
}
