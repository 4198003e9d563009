import { Attr, type AttrRecord, S_IFCHR, S_IFMT, S_IFREG } from "../../src/vfs/attributes.js";
import { ENOSYS, EOPNOTSUPP, EPERM, type Result, type Status } from "../../src/vfs/errno.js";
import type { VfsNode } from "../../src/vfs/node.js";
import { attrRecord, type Layer, OVERLAY, type UpperLayer } from "./layers.js";
import { mark } from "./marks.js";
import type { Overlay } from "./overlay.js";
import { type Steps, wait } from "./steps.js";

/*
 * A whiteout hides a name of the layers below. It is a character device 0:0 or, where devices cannot be made, an empty
 * file with a mark in a directory that is marked as holding such files.
 */

const PRIVATE_FILE = S_IFREG | 0o600;
const HIDES = Buffer.from("y");
/** The value of "opaque" that announces whiteouts in the form of files. */
const HOLDS_WHITEOUTS = Buffer.from("x");

/** Whether attributes are those of a whiteout in the form of a device. */
export function isWhiteoutDevice(attr: AttrRecord): boolean {
  return ((attr[Attr.MODE] as number) & S_IFMT) === S_IFCHR && attr[Attr.RDEV] === 0;
}

/** Whether what a directory of a layer holds is a whiteout. */
export function* isWhiteout(
  overlay: Overlay,
  layer: Layer,
  directory: VfsNode,
  node: VfsNode,
  attr: AttrRecord,
): Steps<boolean> {
  if (isWhiteoutDevice(attr)) {
    return true;
  }
  const isEmptyFile =
    ((attr[Attr.MODE] as number) & S_IFMT) === S_IFREG && attr[Attr.SIZE] === 0 && attr[Attr.SIZE + 1] === 0;
  if (!isEmptyFile || !layer.hasXattrWhiteouts(directory)) {
    return false;
  }
  const value = yield* mark(layer, node, overlay.names.whiteout);
  return value !== undefined && typeof value !== "number";
}

/** Makes a whiteout in the work directory for a directory of the upper layer; its name there. */
export function* makeWhiteout(
  overlay: Overlay,
  upper: UpperLayer,
  directory: VfsNode,
): Steps<Result<string>> {
  if (upper.makesWhiteoutDevices) {
    const name = upper.workName();
    const { backend, work } = upper;
    const made = yield* wait(upper.hold(backend.mknod(OVERLAY, work, name, S_IFCHR, 0, attrRecord())));
    if (typeof made !== "number") {
      upper.release(made);
      return name;
    }
    if (!isImpossible(made)) {
      return made;
    }
    upper.makesWhiteoutDevices = false;
  }
  return yield* makeWhiteoutFile(overlay, upper, directory);
}

/** Whether a layer cannot make what it was asked for. */
export function isImpossible(status: Status): boolean {
  return status === -EPERM || status === -EOPNOTSUPP || status === -ENOSYS;
}

function* makeWhiteoutFile(overlay: Overlay, upper: UpperLayer, directory: VfsNode): Steps<Result<string>> {
  const { backend, work } = upper;
  const name = upper.workName();
  const made = yield* wait(upper.hold(backend.mknod(OVERLAY, work, name, PRIVATE_FILE, 0, attrRecord())));
  if (typeof made === "number") {
    return made;
  }
  const marked = yield* wait(upper.setXattr(made, overlay.names.whiteout, HIDES));
  upper.release(made);
  const announced = marked < 0 ? marked : yield* announceWhiteouts(overlay, upper, directory);
  if (announced < 0) {
    yield* wait(backend.unlink(OVERLAY, work, name));
    return announced;
  }
  return name;
}

/** Linux looks for such whiteouts in marked directories of layers whose root is marked. */
export function* announceWhiteouts(overlay: Overlay, upper: UpperLayer, directory: VfsNode): Steps<Status> {
  for (const each of [upper.root, directory]) {
    if (!upper.hasXattrWhiteouts(each)) {
      const status = yield* wait(upper.setXattr(each, overlay.names.opaque, HOLDS_WHITEOUTS));
      if (status < 0) {
        return status;
      }
      upper.expectXattrWhiteouts(each);
    }
  }
  return 0;
}

/** Reads whether a directory of a layer is marked as holding whiteouts in the form of files. */
export function* readAnnouncement(overlay: Overlay, layer: Layer, directory: VfsNode): Steps<void> {
  const value = yield* mark(layer, directory, overlay.names.opaque);
  if (value !== undefined && typeof value !== "number") {
    noteAnnouncement(layer, directory, value);
  }
}

/** The same, with the value of the mark. */
export function noteAnnouncement(layer: Layer, directory: VfsNode, opaque: Buffer): void {
  if (HOLDS_WHITEOUTS.equals(opaque)) {
    layer.expectXattrWhiteouts(directory);
  }
}
