import type { Awaitable, Status } from "../../src/vfs/errno.js";
import type { VfsNode } from "../../src/vfs/node.js";
import { timesOf } from "./attribute-change.js";
import { attrRecord, OVERLAY, type UpperLayer } from "./layers.js";
import { keepData, moveHandles } from "./lower-data.js";
import type { OverlayNode } from "./merged-node.js";
import { markImpure } from "./origin.js";
import type { Overlay } from "./overlay.js";
import { type Steps, wait } from "./steps.js";

/** Does something that changes a directory of the upper layer, which nobody is to see from its times. */
export function* keepTimes(
  upper: UpperLayer,
  { upper: directory }: OverlayNode,
  change: () => Steps<Status>,
): Steps<Status> {
  if (directory === undefined) {
    return 0;
  }
  const before = attrRecord();
  const known = yield* wait(upper.backend.getattr(OVERLAY, directory, undefined, before));
  const status = known < 0 ? known : yield* change();
  if (status >= 0) {
    yield* wait(upper.backend.setattr(OVERLAY, directory, undefined, timesOf(before), attrRecord()));
  }
  return status;
}

/** Makes the copy the node's file, for those who have it open too. */
export function* takeCopy(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  made: VfsNode,
  attributesOnly = false,
): Steps<void> {
  node.isCopy = true;
  if (attributesOnly) {
    keepData(overlay, node);
    overlay.nodes.copiedUp(node, made);
    return;
  }
  const data = node.lowerData;
  node.lowerData = undefined;
  node.dataKnown = true;
  overlay.nodes.copiedUp(node, made);
  data?.layer.release(data.node);
  yield* moveHandles(upper, node, made);
}

/** Gives the copy its name with `placeCopy`, unless the file was deleted meanwhile, and makes it the node's file. */
export function* publish(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  made: VfsNode,
  placeCopy: (directory: VfsNode, name: string) => Awaitable<Status>,
  attributesOnly = false,
): Steps<Status> {
  const [place] = node.places;
  const parent = place?.parent.upper;
  if (place !== undefined && parent !== undefined) {
    const marked = yield* markImpure(overlay, upper, place.parent);
    const placed =
      marked < 0 ? marked : yield* keepTimes(upper, place.parent, () => wait(placeCopy(parent, place.name)));
    if (placed < 0) {
      return placed;
    }
  }
  yield* takeCopy(overlay, upper, node, made, attributesOnly);
  return 0;
}
