import { Attr, type AttrRecord, S_IFREG } from "../../src/vfs/attributes.js";
import type { Status } from "../../src/vfs/errno.js";
import { copyUp } from "./copy-up.js";
import type { Layer, UpperLayer } from "./layers.js";
import { mark } from "./marks.js";
import type { OverlayNode, Stack } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { IMMUTABLE } from "./protection.js";
import { type Steps, wait } from "./steps.js";

/*
 * Whiteouts that an overlay in the guest makes on ours are files to us: the guest sees a character device 0:0, on disk
 * it is an empty file with an escaped mark. Their directories are marked too, so that nothing has to be looked for in
 * others.
 */

const SET = Buffer.from("y");

/** Whether a directory may hold whiteouts of the guest's. */
export function* mayHoldGuestWhiteouts(
  overlay: Overlay,
  upper: Layer,
  directory: OverlayNode,
): Steps<boolean> {
  if (directory.holdsGuestWhiteouts === undefined && directory.upper !== undefined) {
    const value = yield* mark(upper, directory.upper, overlay.names.nested);
    directory.holdsGuestWhiteouts = value !== undefined && typeof value !== "number";
  }
  return directory.holdsGuestWhiteouts === true;
}

/** Marks a directory of the upper layer as holding whiteouts of the guest's. */
export function* markHolder(overlay: Overlay, upper: UpperLayer, directory: OverlayNode): Steps<Status> {
  const ready = yield* wait(copyUp(overlay, directory, undefined, IMMUTABLE));
  if (ready < 0 || directory.upper === undefined || directory.holdsGuestWhiteouts === true) {
    return ready;
  }
  const status = yield* wait(upper.setXattr(directory.upper, overlay.names.nested, SET));
  directory.holdsGuestWhiteouts = status >= 0;
  return status;
}

/** Whether what was found in the upper layer is such a whiteout. */
export function* isGuestWhiteout(
  overlay: Overlay,
  parent: OverlayNode,
  { type, upper: node }: Stack,
  out: AttrRecord,
): Steps<boolean> {
  const { upper } = overlay;
  const isEmptyFile = type === S_IFREG && out[Attr.SIZE] === 0 && out[Attr.SIZE + 1] === 0;
  if (!isEmptyFile || node === undefined || upper === undefined) {
    return false;
  }
  if (!(yield* mayHoldGuestWhiteouts(overlay, upper, parent))) {
    return false;
  }
  const value = yield* mark(upper, node, overlay.names.guestWhiteout);
  return value !== undefined && typeof value !== "number";
}
