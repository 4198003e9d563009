import { constants } from "node:fs";
import { Attr, type AttrRecord, Change, getWords64, S_IFMT, S_IFREG } from "../../src/vfs/attributes.js";
import { EIO, ENOENT, EPERM, ESTALE, type Result, type Status } from "../../src/vfs/errno.js";
import type { VfsHandle, VfsNode } from "../../src/vfs/node.js";
import { attributeChange, modeAndTimesOf } from "./attribute-change.js";
import { copyData, type OpenFile, sizeOfCopy } from "./copy-data.js";
import { attrRecord, type LayerNode, OVERLAY, releaseAll, type UpperLayer } from "./layers.js";
import { findIn, follow, HIDDEN, type Search } from "./lookup.js";
import { mark } from "./marks.js";
import type { OverlayNode } from "./merged-node.js";
import { originOf } from "./origin.js";
import type { Overlay, Real } from "./overlay.js";
import { type Steps, wait } from "./steps.js";

/*
 * A copy of attributes only (Linux's metacopy): the layer's file has everything but its data and is marked. The data is
 * that of the file of the same name in the layers below, or of the one that the redirect of the copy names.
 */

const { O_NOATIME, O_RDONLY, O_RDWR } = constants;
const CAPABILITY = "security.capability";
/** struct ovl_metacopy without digest: version, length, flags, algorithm. */
const HEADER_BYTES = 4;

/** Whether nothing of a file's data is known to be in another layer. */
export function isComplete({ isRegular, dataKnown, lowerData }: OverlayNode): boolean {
  return !isRegular || (dataKnown && lowerData === undefined);
}

/** The layer that has a file's data, once that is known. */
export function dataOf(overlay: Overlay, node: OverlayNode): Real {
  return node.lowerData ?? overlay.real(node);
}

/** Finds out where a regular file's data is. Errors: EIO where it is not to be found. */
export function* findData(overlay: Overlay, node: OverlayNode): Steps<Status> {
  if (node.dataKnown) {
    return 0;
  }
  const file = overlay.real(node);
  const isCopy = yield* isMarked(overlay, file);
  if (typeof isCopy === "number") {
    return isCopy;
  }
  const data = isCopy ? yield* searchData(overlay, node, file) : undefined;
  if (typeof data === "number") {
    return data;
  }
  if (node.dataKnown) {
    // Somebody else has found it meanwhile.
    releaseAll(data === undefined ? [] : [data]);
    return 0;
  }
  node.dataKnown = true;
  node.lowerData = data;
  return 0;
}

/** Whether a file of a layer has attributes only. Errors: EIO for what Linux does not follow either. */
function* isMarked(overlay: Overlay, { layer, node }: LayerNode): Steps<boolean | Status> {
  const value = yield* mark(layer, node, overlay.names.metacopy);
  if (value === undefined || typeof value === "number") {
    return value ?? false;
  }
  const isValid =
    value.length === 0 || (value.length >= HEADER_BYTES && value[0] === 0 && value[1] === value.length);
  // Attributes that users can set must not lead to files that users cannot read.
  return isValid && overlay.names.isTrusted ? true : -EIO;
}

/** The file, held, that has the data of a copy. */
function* searchData(overlay: Overlay, node: OverlayNode, file: LayerNode): Steps<Result<LayerNode>> {
  const [place] = node.places;
  if (place === undefined) {
    return -EIO;
  }
  const { lowers } = place.parent;
  const below = lowers.slice(lowers.findIndex(({ layer }) => layer === file.layer) + 1);
  const held: LayerNode[] = [];
  try {
    let at = file;
    let search: Search = { directories: below, name: place.name };
    for (;;) {
      const next = yield* redirected(overlay, search, at);
      if (typeof next === "number") {
        return next;
      }
      held.push(...(next.isHeld === true ? next.directories : []));
      const found = yield* findFirst(overlay, next);
      if (typeof found === "number") {
        return found;
      }
      held.push(found.at);
      const status = at === file ? yield* verify(overlay, file, found.at) : 0;
      const isCopy = status < 0 ? status : yield* isMarked(overlay, found.at);
      if (isCopy !== true) {
        return isCopy === false ? retained(found.at) : isCopy;
      }
      ({ at, search } = found);
    }
  } finally {
    releaseAll(held);
  }
}

function retained(at: LayerNode): LayerNode {
  at.layer.retain(at.node);
  return at;
}

function* redirected(overlay: Overlay, search: Search, at: LayerNode): Steps<Result<Search>> {
  const path = yield* mark(at.layer, at.node, overlay.names.redirect);
  return path === undefined || typeof path === "number"
    ? (path ?? { directories: search.directories, name: search.name })
    : yield* follow(overlay, search, at, path.toString("latin1"));
}

/** The topmost regular file, held, and where to search on below it. */
function* findFirst(
  overlay: Overlay,
  { directories, name }: Search,
): Steps<Result<{ at: LayerNode; search: Search }>> {
  const out = attrRecord();
  for (const [i, directory] of directories.entries()) {
    const found = yield* findIn(overlay, directory, name, out, i + 1 === directories.length);
    if (found === HIDDEN) {
      return -EIO;
    }
    if (typeof found !== "number") {
      const at = { layer: directory.layer, node: found };
      if (((out[Attr.MODE] as number) & S_IFMT) === S_IFREG) {
        return { at, search: { directories: directories.slice(i + 1), name } };
      }
      releaseAll([at]);
      return -EIO;
    }
    if (found !== -ENOENT) {
      return found;
    }
  }
  return -EIO;
}

/** With the index, a copy belongs to the very file that it was made from. */
function* verify({ upper, names }: Overlay, file: LayerNode, found: LayerNode): Steps<Status> {
  if (upper?.index === undefined || file.layer !== upper) {
    return 0;
  }
  const origin = yield* mark(upper, file.node, names.origin);
  const expected = origin === undefined ? undefined : yield* originOf(found);
  if (origin === undefined || typeof origin === "number" || expected === undefined) {
    return typeof origin === "number" ? origin : 0;
  }
  return origin.equals(expected) ? 0 : -ESTALE;
}

/** Copies the first `size` bytes of a layer's file to an empty one that is open. */
export function* copyFrom({ layer, node }: LayerNode, to: OpenFile, size: bigint): Steps<Status> {
  const handle = yield* openSource({ layer, node });
  if (typeof handle === "number") {
    return handle;
  }
  try {
    return yield* copyData({ layer, handle }, to, size);
  } finally {
    yield* wait(layer.backend.discard(handle));
  }
}

/** Opens a file of a layer for reading, which leaves no traces in it. */
function* openSource({ layer, node }: LayerNode): Steps<Result<VfsHandle>> {
  const opened = yield* wait(layer.backend.open(OVERLAY, node, O_RDONLY | O_NOATIME));
  return opened === -EPERM ? yield* wait(layer.backend.open(OVERLAY, node, O_RDONLY)) : opened;
}

/**
 * Gives a copy of attributes its data. The mark goes last: until then, and after a crash, the data is that below.
 * @param limit how much of it is wanted, for a file that is about to be truncated
 */
export function* completeCopy(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  limit: bigint | undefined,
): Steps<Status> {
  const known = yield* findData(overlay, node);
  const { lowerData: data, upper: copy } = node;
  if (known < 0 || data === undefined || copy === undefined) {
    return known;
  }
  const attr = attrRecord();
  const read = yield* wait(upper.backend.getattr(OVERLAY, copy, undefined, attr));
  // Whatever writes to a file takes this away.
  const capability = yield* upper.xattr(copy, CAPABILITY);
  const handle = read < 0 ? read : yield* wait(upper.backend.open(OVERLAY, copy, O_RDWR));
  if (typeof handle === "number") {
    return handle;
  }
  let status: Status;
  try {
    status = yield* fill(upper, data, handle, attr, limit);
    if (status >= 0 && typeof capability !== "number") {
      status = yield* wait(upper.setXattr(copy, CAPABILITY, capability));
    }
    if (status >= 0 && !overlay.settings.isVolatile) {
      status = yield* wait(upper.backend.fsync(OVERLAY, handle, false));
    }
  } finally {
    yield* wait(upper.backend.discard(handle));
  }
  const ended =
    status < 0 ? status : yield* wait(upper.backend.removexattr(OVERLAY, copy, overlay.names.metacopy));
  if (ended < 0) {
    return ended;
  }
  node.lowerData = undefined;
  data.layer.release(data.node);
  yield* moveHandles(upper, node, copy);
  return 0;
}

function* fill(
  upper: UpperLayer,
  data: LayerNode,
  handle: VfsHandle,
  attr: AttrRecord,
  limit: bigint | undefined,
): Steps<Status> {
  const size = sizeOfCopy(attr, limit);
  const status = yield* copyFrom(data, { layer: upper, handle }, size);
  if (status < 0) {
    return status;
  }
  const { valid, ...change } = modeAndTimesOf(attr);
  const isCut = size < BigInt(getWords64(attr, Attr.SIZE));
  const whole = attributeChange({ ...change, size, valid: isCut ? valid | Change.SIZE : valid });
  return yield* wait(upper.backend.setattr(OVERLAY, handle.node, handle, whole, attrRecord()));
}

/** Those who have the file open read the copy from now on. */
export function* moveHandles(upper: UpperLayer, node: OverlayNode, copy: VfsNode): Steps<void> {
  for (const handle of node.handles ?? []) {
    yield* handle.moveTo(upper, copy);
  }
}

/** Keeps a lower file's data for a copy that has attributes only. */
export function keepData(overlay: Overlay, node: OverlayNode): void {
  node.lowerData ??= retained(overlay.real(node));
  node.dataKnown = true;
}
