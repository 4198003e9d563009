import { Attr, type AttrRecord, S_IFDIR, S_IFMT, S_ISGID } from "../../src/vfs/attributes.js";
import { RenameFlag } from "../../src/vfs/backend.js";
import {
  type Awaitable,
  EEXIST,
  ENOENT,
  ENOTDIR,
  EROFS,
  type Result,
  type Status,
} from "../../src/vfs/errno.js";
import { VfsHandle, type VfsNode } from "../../src/vfs/node.js";
import { modeOf, ownerOf } from "./attribute-change.js";
import { copyUp } from "./copy-up.js";
import { attrRecord, OVERLAY, type UpperLayer } from "./layers.js";
import { adopt, lowerShows } from "./lookup.js";
import type { OverlayNode } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { IMMUTABLE } from "./protection.js";
import { type Steps, wait } from "./steps.js";
import { setOpaque, type UpperEntry, upperEntry } from "./whiteouts.js";
import { discardWork } from "./work-directory.js";

const DEFAULT_ACL = "system.posix_acl_default";

/** What a creation made: a node of the upper layer, or an open file of it. */
export type Made = VfsNode | VfsHandle;

/** Makes something under a name in a directory of the upper layer. */
export type Maker<T extends Made> = (
  directory: VfsNode,
  name: string,
  out: AttrRecord,
) => Awaitable<Result<T>>;

/** How a creation ends: what was made in the upper layer, and its node. */
export interface Creation<T extends Made> {
  readonly made: T;
  readonly node: OverlayNode;
}

/**
 * Creates a name that the merged directory does not show. Where the upper layer has a whiteout, the new file takes
 * its place in one step. A directory that hides a lower one is opaque. The guest gets the node.
 * @param nodeOf the node of what `make` made
 */
export function* create<T extends Made>(
  overlay: Overlay,
  parent: OverlayNode,
  name: string,
  make: Maker<T>,
  nodeOf: (made: T) => VfsNode,
  out: AttrRecord,
): Steps<Result<Creation<T>>> {
  const { upper } = overlay;
  if (upper === undefined) {
    return -EROFS;
  }
  if (!parent.isDirectory) {
    return -ENOTDIR;
  }
  const ready = yield* checkFree(overlay, upper, parent, name);
  if (typeof ready === "number" || parent.upper === undefined) {
    return typeof ready === "number" ? ready : -ENOENT;
  }
  const directory = parent.upper;
  let made = ready === "whiteout" ? -EEXIST : yield* makeHeld(upper, make, nodeOf, directory, name, out);
  if (made === -EEXIST && (yield* upperEntry(overlay, upper, directory, name)) === "whiteout") {
    made = yield* createOver(overlay, upper, directory, name, make, nodeOf, out);
  }
  if (typeof made === "number") {
    return made;
  }
  const type = (out[Attr.MODE] as number) & S_IFMT;
  overlay.mapNumber(upper, out);
  const node = adopt(overlay, { type, upper: nodeOf(made), lowers: [] }, out);
  node.known = true;
  node.dataKnown = true;
  node.protection = 0;
  overlay.nodes.place(node, parent, name);
  overlay.present(node, out);
  return { made, node };
}

/** Makes something; its node is held. */
function* makeHeld<T extends Made>(
  upper: UpperLayer,
  make: Maker<T>,
  nodeOf: (made: T) => VfsNode,
  directory: VfsNode,
  name: string,
  out: AttrRecord,
): Steps<Result<T>> {
  const made = yield* wait(make(directory, name, out));
  if (typeof made !== "number") {
    upper.retain(nodeOf(made));
  }
  return made;
}

/** Lets go of what was made and does not get its name. */
function* unmake(upper: UpperLayer, made: Made): Steps<void> {
  if (made instanceof VfsHandle) {
    yield* wait(upper.backend.discard(made));
  }
  upper.release(made instanceof VfsHandle ? made.node : made);
}

/** Copies the directory up. @returns what is in the way in the upper layer, or -EEXIST */
export function* checkFree(
  overlay: Overlay,
  upper: UpperLayer,
  parent: OverlayNode,
  name: string,
): Steps<UpperEntry | Status> {
  if (parent.children?.has(name)) {
    return -EEXIST;
  }
  const ready = yield* wait(copyUp(overlay, parent, undefined, IMMUTABLE));
  if (ready < 0 || parent.upper === undefined) {
    return ready;
  }
  if (parent.lowers.length === 0) {
    return "nothing";
  }
  const entry = yield* upperEntry(overlay, upper, parent.upper, name);
  if (entry !== "nothing") {
    return entry === "whiteout" || typeof entry === "number" ? entry : -EEXIST;
  }
  const shown = yield* lowerShows(overlay, parent, name);
  return shown === false ? "nothing" : shown === true ? -EEXIST : shown;
}

/** Creates in the work directory what then takes the place of a whiteout. */
function* createOver<T extends Made>(
  overlay: Overlay,
  upper: UpperLayer,
  parent: VfsNode,
  name: string,
  make: Maker<T>,
  nodeOf: (made: T) => VfsNode,
  out: AttrRecord,
): Steps<Result<T>> {
  const { backend } = upper;
  const stage = yield* openStage(upper, parent);
  if (typeof stage === "number") {
    return stage;
  }
  const made = yield* makeHeld(upper, make, nodeOf, stage.directory, name, out);
  let status: Status = 0;
  if (typeof made !== "number") {
    const isDirectory = ((out[Attr.MODE] as number) & S_IFMT) === S_IFDIR;
    status = isDirectory ? yield* wait(setOpaque(overlay, upper, nodeOf(made))) : 0;
    const flags = isDirectory ? RenameFlag.EXCHANGE : 0;
    if (status >= 0) {
      status = yield* wait(backend.rename(OVERLAY, stage.directory, name, parent, name, flags));
    }
  }
  yield* discardWork(upper, stage.name, S_IFDIR);
  upper.release(stage.directory);
  if (status < 0 && typeof made !== "number") {
    yield* unmake(upper, made);
  }
  return status < 0 ? status : made;
}

interface Stage {
  readonly name: string;
  readonly directory: VfsNode;
}

/** A directory in the work directory from which creations inherit what they would from `parent`. */
function* openStage(upper: UpperLayer, parent: VfsNode): Steps<Result<Stage>> {
  const { backend, work } = upper;
  const attr = attrRecord();
  const status = yield* wait(backend.getattr(OVERLAY, parent, undefined, attr));
  if (status < 0) {
    return status;
  }
  const name = upper.workName();
  const directory = yield* wait(upper.hold(backend.mkdir(OVERLAY, work, name, 0o700, attrRecord())));
  if (typeof directory === "number") {
    return directory;
  }
  let prepared: Status = 0;
  if (((attr[Attr.MODE] as number) & S_ISGID) !== 0) {
    prepared = yield* wait(backend.setattr(OVERLAY, directory, undefined, ownerOf(attr), attrRecord()));
    prepared =
      prepared < 0
        ? prepared
        : yield* wait(backend.setattr(OVERLAY, directory, undefined, modeOf(attr), attrRecord()));
  }
  const acl = yield* upper.xattr(parent, DEFAULT_ACL);
  if (prepared >= 0 && typeof acl !== "number") {
    prepared = yield* wait(upper.setXattr(directory, DEFAULT_ACL, acl));
  }
  if (prepared < 0) {
    yield* discardWork(upper, name, S_IFDIR);
    upper.release(directory);
    return prepared;
  }
  return { name, directory };
}
