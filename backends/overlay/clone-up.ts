import { Attr, type AttrRecord, Change, getWords64 } from "../../src/vfs/attributes.js";
import type { CloneOptions } from "../../src/vfs/backend.js";
import { EOPNOTSUPP, type Result, type Status } from "../../src/vfs/errno.js";
import type { VfsHandle, VfsNode } from "../../src/vfs/node.js";
import { timesOf } from "./attribute-change.js";
import { sizeOfCopy } from "./copy-data.js";
import { attrRecord, OVERLAY, type UpperLayer } from "./layers.js";
import type { OverlayNode } from "./merged-node.js";
import { markImpure, originMark } from "./origin.js";
import type { Overlay } from "./overlay.js";
import { publish, takeCopy } from "./publish-copy.js";
import { andThen, type Steps, wait } from "./steps.js";

const NO_MARK = { name: "", value: new Uint8Array() };

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
 * As cloneUp, in one call: name and all. Undefined as well where the copy would take time, or where the file has to be looked
 * at more closely first: its data may be in another layer.
 */
export function* cloneUpAtOnce(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  origin: Buffer | undefined,
  limit: bigint | undefined,
): Steps<Status | undefined> {
  const [place] = node.places;
  const directory = place?.parent.upper;
  if (node.lowerData !== undefined || place === undefined || directory === undefined) {
    return undefined;
  }
  const marked = yield* markImpure(overlay, upper, place.parent);
  if (marked < 0) {
    return marked;
  }
  const { layer, node: lower } = overlay.real(node);
  const namesApart = upper.index === undefined || origin === undefined;
  const made = upper.backend.cloneInto(
    layer.backend,
    lower,
    { work: upper.work, directory, name: place.name, namesApart },
    cloneOptions(overlay, node, origin, limit === undefined ? Number.MAX_SAFE_INTEGER : Number(limit), false),
    attrRecord(),
  );
  if (typeof made === "number") {
    return made === -EOPNOTSUPP ? undefined : made;
  }
  upper.retain(made);
  yield* takeCopy(overlay, upper, node, made);
  return 0;
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

function cloneOptions(
  overlay: Overlay,
  node: OverlayNode,
  origin: Buffer | undefined,
  size: number,
  sync: boolean,
): CloneOptions {
  const { prefix: skipXattrs, escaped: keepXattrs } = overlay.names;
  const { name: xattr, value } = node.isAlias ? NO_MARK : originMark(overlay, node, origin);
  return { size, skipXattrs, keepXattrs, xattr, value, sync };
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
  const options = cloneOptions(overlay, node, origin, size, sync);
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
