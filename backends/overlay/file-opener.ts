import { type AttrRecord, PROTECTED, S_IFLNK, S_IFREG } from "../../src/vfs/attributes.js";
import {
  type Awaitable,
  EEXIST,
  EISDIR,
  ELOOP,
  ENOENT,
  ENXIO,
  EPERM,
  EROFS,
  type Result,
} from "../../src/vfs/errno.js";
import type { Caller, VfsHandle } from "../../src/vfs/node.js";
import { attributes } from "./attributes.js";
import { copyUp } from "./copy-up.js";
import { create, type Maker } from "./creation.js";
import { OverlayFileHandle } from "./file-handle.js";
import type { Layer } from "./layers.js";
import { adopt, lookup } from "./lookup.js";
import { dataOf, findData } from "./lower-data.js";
import type { OverlayNode, Place } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { IMMUTABLE } from "./protection.js";
import { andThen, run, type Steps, wait } from "./steps.js";

const O_ACCMODE = 3;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;
const O_NOATIME = 0o1000000;

/** Opens a regular file, in the upper layer if it is to be written. */
export function openFile(
  overlay: Overlay,
  caller: Caller,
  node: OverlayNode,
  flags: number,
): Awaitable<Result<VfsHandle>> {
  if (!node.isRegular) {
    return node.isDirectory ? -EISDIR : node.type === S_IFLNK ? -ELOOP : -ENXIO;
  }
  const truncates = (flags & O_TRUNC) !== 0;
  if (!truncates && (flags & O_ACCMODE) === 0) {
    return node.dataKnown
      ? openReal(overlay, caller, node, flags)
      : andThen(run(findData(overlay, node)), (status) =>
          status < 0 ? status : openReal(overlay, caller, node, flags),
        );
  }
  const forbidding = !truncates && (flags & O_APPEND) !== 0 ? IMMUTABLE : PROTECTED;
  return andThen(copyUp(overlay, node, truncates ? 0n : undefined, forbidding), (status) =>
    status < 0 ? status : openReal(overlay, caller, node, flags),
  );
}

function openReal(
  overlay: Overlay,
  caller: Caller,
  node: OverlayNode,
  flags: number,
): Awaitable<Result<VfsHandle>> {
  const { layer, node: real } = dataOf(overlay, node);
  // Reading a lower layer leaves no traces in it.
  const wanted = layer === overlay.upper ? flags : flags | O_NOATIME;
  return andThen(layer.backend.open(caller, real, wanted), (opened) =>
    opened === -EPERM && wanted !== flags
      ? andThen(layer.backend.open(caller, real, flags), (again) => asHandle(node, layer, again))
      : asHandle(node, layer, opened),
  );
}

/** open(2) with O_CREAT: creates a file, or opens what is there. */
export function* createFile(
  overlay: Overlay,
  caller: Caller,
  { parent, name }: Place,
  flags: number,
  mode: number,
  out: AttrRecord,
): Steps<Result<VfsHandle>> {
  const found = yield* wait(lookup(overlay, parent, name, out));
  if (typeof found !== "number") {
    return (flags & O_EXCL) !== 0
      ? -EEXIST
      : yield* overlay.nodes.keeping(found, openExisting(overlay, caller, found, flags, out));
  }
  if (found !== -ENOENT || overlay.upper === undefined) {
    return found === -ENOENT ? -EROFS : found;
  }
  const { upper } = overlay;
  const make: Maker<VfsHandle> = (directory, as) =>
    upper.backend.create(caller, directory, as, flags | O_EXCL, mode, out);
  const created = yield* create(overlay, parent, name, make, ({ node }) => node, out);
  if (typeof created === "number") {
    return created;
  }
  return new OverlayFileHandle(created.node, upper, created.made);
}

function* openExisting(
  overlay: Overlay,
  caller: Caller,
  node: OverlayNode,
  flags: number,
  out: AttrRecord,
): Steps<Result<VfsHandle>> {
  const handle = yield* wait(openFile(overlay, caller, node, flags));
  if (typeof handle === "number") {
    return handle;
  }
  node.known = true;
  yield* wait(attributes(overlay, node, undefined, out));
  return handle;
}

/** open(2) with O_TMPFILE. */
export function* createTemporary(
  overlay: Overlay,
  caller: Caller,
  parent: OverlayNode,
  flags: number,
  mode: number,
  out: AttrRecord,
): Steps<Result<VfsHandle>> {
  const ready = yield* wait(copyUp(overlay, parent, undefined, IMMUTABLE));
  if (ready < 0 || overlay.upper === undefined || parent.upper === undefined) {
    return ready < 0 ? ready : -EROFS;
  }
  const made = yield* wait(overlay.upper.backend.tmpfile(caller, parent.upper, flags, mode, out));
  if (typeof made === "number") {
    return made;
  }
  overlay.upper.retain(made.node);
  overlay.mapNumber(overlay.upper, out);
  const node = adopt(overlay, { type: S_IFREG, upper: made.node, lowers: [] }, out);
  overlay.present(node, out);
  node.known = true;
  node.dataKnown = true;
  node.protection = 0;
  return new OverlayFileHandle(node, overlay.upper, made);
}

function asHandle(node: OverlayNode, layer: Layer, opened: Result<VfsHandle>): Result<OverlayFileHandle> {
  return typeof opened === "number" ? opened : new OverlayFileHandle(node, layer, opened);
}
