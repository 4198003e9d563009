import { Attr, type AttrRecord, Change, getWords64 } from "../../src/vfs/attributes.js";
import type { CloneOptions } from "../../src/vfs/backend.js";
import { EOPNOTSUPP, type Result, type Status } from "../../src/vfs/errno.js";
import type { VfsHandle, VfsNode } from "../../src/vfs/node.js";
import { timesOf } from "./attribute-change.js";
import { sizeOfCopy } from "./copy-data.js";
import { attrRecord, OVERLAY, type UpperLayer } from "./layers.js";
import type { OverlayNode } from "./merged-node.js";
import { originMark } from "./origin.js";
import type { Overlay } from "./overlay.js";
import { publish } from "./publish-copy.js";
import { andThen, type Steps, wait } from "./steps.js";

/** Leaves the copying of a file to the layers' backends; undefined where they cannot do it by themselves. */
export function* cloneUp(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  attr: AttrRecord,
  origin: Buffer | undefined,
  limit: bigint | undefined,
): Steps<Status | undefined> {
  if (node.lowerData !== undefined) {
    return undefined;
  }
  const size = Number(sizeOfCopy(attr, limit));
  const handle = yield* clone(overlay, upper, node, origin, size, !overlay.settings.isVolatile);
  if (handle === undefined || typeof handle === "number") {
    return handle;
  }
  return yield* publishClone(overlay, upper, node, handle, false);
}

/**
 * As cloneUp, without data: its size and a mark stand for it. Nothing is synchronised, a file system that orders what it
 * writes of attributes and names shows the copy with its mark or not at all.
 */
export function* cloneAttributes(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  attr: AttrRecord,
  origin: Buffer | undefined,
): Steps<Status | undefined> {
  const handle = yield* clone(overlay, upper, node, origin, 0, false);
  if (handle === undefined || typeof handle === "number") {
    return handle;
  }
  const { valid, ...times } = timesOf(attr);
  const change = { ...times, valid: valid | Change.SIZE, size: BigInt(getWords64(attr, Attr.SIZE)) };
  const marked = yield* wait(upper.setXattr(handle.node, overlay.names.metacopy, Buffer.alloc(0)));
  const sized =
    marked < 0
      ? marked
      : yield* wait(upper.backend.setattr(OVERLAY, handle.node, handle, change, attrRecord()));
  if (sized < 0) {
    yield* wait(upper.backend.discard(handle));
    upper.release(handle.node);
    return sized;
  }
  return yield* publishClone(overlay, upper, node, handle, true);
}

/** A copy of a file without a name, held; undefined where the backends cannot make one. */
function* clone(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  origin: Buffer | undefined,
  size: number,
  sync: boolean,
): Steps<Result<VfsHandle> | undefined> {
  const { layer, node: lower } = overlay.real(node);
  const { prefix, escaped } = overlay.names;
  const { name, value } = node.isAlias
    ? { name: "", value: new Uint8Array() }
    : originMark(overlay, node, origin);
  const options: CloneOptions = {
    size,
    skipXattrs: prefix,
    keepXattrs: escaped,
    xattr: name,
    value,
    sync,
  };
  const handle = yield* wait(
    upper.backend.cloneFile(layer.backend, lower, upper.work, options, attrRecord()),
  );
  if (typeof handle === "number") {
    return handle === -EOPNOTSUPP ? undefined : handle;
  }
  upper.retain(handle.node);
  return handle;
}

/** Links a copy without a name into its place. */
function* publishClone(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  handle: VfsHandle,
  attributesOnly: boolean,
): Steps<Status> {
  const { backend } = upper;
  const link = (directory: VfsNode, as: string) =>
    andThen(backend.link(OVERLAY, handle.node, directory, as, attrRecord()), (linked) =>
      typeof linked === "number" ? linked : 0,
    );
  const published = yield* publish(overlay, upper, node, handle.node, link, attributesOnly);
  yield* wait(backend.discard(handle));
  if (published < 0) {
    upper.release(handle.node);
  }
  return published;
}
