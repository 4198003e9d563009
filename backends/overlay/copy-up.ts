import { constants } from "node:fs";
import {
  Attr,
  type AttributeChange,
  type AttrRecord,
  getWords64,
  PROTECTED,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../../src/vfs/attributes.js";
import { RenameFlag } from "../../src/vfs/backend.js";
import {
  type Awaitable,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  EROFS,
  type Result,
  type Status,
} from "../../src/vfs/errno.js";
import type { VfsHandle, VfsNode } from "../../src/vfs/node.js";
import { isSameOwner, modeAndTimesOf, ownerOf, timesOf } from "./attribute-change.js";
import { cloneAttributes, cloneUp, cloneUpAtOnce } from "./clone-up.js";
import { sizeOfCopy } from "./copy-data.js";
import { hasOtherNames, indexName, linkUp, writeLinks } from "./hard-links.js";
import { copyInodeFlags } from "./inode-flags.js";
import { attrRecord, OVERLAY, type UpperLayer } from "./layers.js";
import { completeCopy, copyFrom, dataOf, findData, isComplete } from "./lower-data.js";
import type { OverlayNode } from "./merged-node.js";
import { markOrigin, originOf } from "./origin.js";
import type { Overlay } from "./overlay.js";
import { checkProtection } from "./protection.js";
import { keepTimes, publish, takeCopy } from "./publish-copy.js";
import { andThen, run, type Steps, wait } from "./steps.js";
import { discardWork } from "./work-directory.js";

const { O_EXCL, O_RDWR } = constants;
const PRIVATE_FILE = 0o600;
const PRIVATE_DIRECTORY = 0o700;
/** Attributes that change what a file permits: a copy without them would not be the same file. */
const ESSENTIAL_XATTRS = ["security.", "system.posix_acl_"];

/**
 * Makes sure that a node is in the upper layer: an exact copy, complete before it appears under its name. All who
 * ask while it is being made wait for the same copy.
 * @param size how much of a file's data is wanted, for one that is about to be truncated
 * @param forbidding those of chattr's flags that forbid the change that it is for
 */
export function copyUp(
  overlay: Overlay,
  node: OverlayNode,
  size?: bigint,
  forbidding: number = PROTECTED,
): Awaitable<Status> {
  return andThen(checkProtection(overlay, node, forbidding), (status) =>
    status < 0 ? status : copyUpProtected(overlay, node, size),
  );
}

/** As copyUp, for a file or directory that chattr's flags protect, and which does not change itself or loses them. */
export function copyUpProtected(overlay: Overlay, node: OverlayNode, size?: bigint): Awaitable<Status> {
  if (node.upper !== undefined && isComplete(node)) {
    return 0;
  }
  const { upper } = overlay;
  const { copying } = node;
  if (upper === undefined) {
    return -EROFS;
  }
  if (copying !== undefined) {
    // It may be a copy of attributes only.
    return copying.then((status) => (status < 0 ? status : copyUpProtected(overlay, node, size)));
  }
  return begin(
    node,
    node.upper === undefined
      ? copy(overlay, upper, node, size, false)
      : completeCopy(overlay, upper, node, size),
  );
}

/** As copyUp, for changes of attributes: with metacopy the data of a file stays below. */
export function copyUpAttributes(
  overlay: Overlay,
  node: OverlayNode,
  forbidding: number = PROTECTED,
): Awaitable<Status> {
  return andThen(checkProtection(overlay, node, forbidding), (status) => {
    const { upper } = overlay;
    if (status < 0 || node.upper !== undefined) {
      return status;
    }
    if (!overlay.settings.metacopy || !node.isRegular) {
      return copyUpProtected(overlay, node);
    }
    return upper === undefined
      ? -EROFS
      : (node.copying ?? begin(node, copy(overlay, upper, node, undefined, true)));
  });
}

/** Those who ask while a copy is being made wait for it. */
function begin(node: OverlayNode, steps: Steps<Status>): Awaitable<Status> {
  const result = run(steps);
  if (result instanceof Promise) {
    node.copying = result.finally(() => {
      node.copying = undefined;
    });
    return node.copying;
  }
  return result;
}

function* copy(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  size: bigint | undefined,
  attributesOnly: boolean,
): Steps<Status> {
  for (const { parent } of node.places.slice(0, 1)) {
    const status = yield* wait(copyUpProtected(overlay, parent));
    if (status < 0) {
      return status;
    }
  }
  const { layer, node: lower } = overlay.real(node);
  const origin = node.isAlias ? undefined : yield* originOf({ layer, node: lower });
  if (node.isRegular && !attributesOnly) {
    const copied = yield* cloneUpAtOnce(overlay, upper, node, origin, size);
    if (copied !== undefined) {
      return copied;
    }
  }
  const known = node.isRegular ? yield* findData(overlay, node) : 0;
  if (known < 0) {
    return known;
  }
  return yield* copyNode(overlay, upper, node, origin, size, attributesOnly);
}

function* copyNode(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  origin: Buffer | undefined,
  size: bigint | undefined,
  attributesOnly: boolean,
): Steps<Status> {
  const { layer, node: lower } = overlay.real(node);
  const attr = attrRecord();
  const status = yield* wait(layer.backend.getattr(OVERLAY, lower, undefined, attr));
  if (status < 0) {
    return status;
  }
  const links = origin !== undefined && hasOtherNames(attr, node.type) ? (attr[Attr.NLINK] as number) : 1;
  const canBeCloned = node.isRegular && ((attr[Attr.INODE_FLAGS] as number) & PROTECTED) === 0;
  if (canBeCloned && (links === 1 || upper.index === undefined)) {
    const isWithoutData = attributesOnly && links === 1 && getWords64(attr, Attr.SIZE) > 0;
    const cloned = isWithoutData
      ? yield* cloneAttributes(overlay, upper, node, attr, origin)
      : yield* cloneUp(overlay, upper, node, attr, origin, size);
    if (cloned !== undefined) {
      return cloned;
    }
  }
  return yield* copyInSteps(overlay, upper, node, attr, size, origin, links);
}

/** Builds a copy in the work directory. */
function* copyInSteps(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  attr: AttrRecord,
  size: bigint | undefined,
  origin: Buffer | undefined,
  links: number,
): Steps<Status> {
  const workName = upper.workName();
  const made = yield* make(overlay, upper, node, workName, attr);
  if (typeof made === "number") {
    return made;
  }
  const filled = yield* fill(overlay, upper, node, made, attr, size);
  const complete =
    filled < 0 || node.isAlias ? filled : yield* markOrigin(overlay, upper, made.node, node, origin);
  const published =
    complete < 0
      ? complete
      : links > 1 && upper.index !== undefined && origin !== undefined
        ? yield* publishIndexed(overlay, upper, node, made.node, workName, origin, links)
        : yield* publishWork(overlay, upper, node, made.node, workName);
  if (made.handle !== undefined) {
    yield* wait(upper.backend.discard(made.handle));
  }
  if (published < 0 && node.upper !== made.node) {
    yield* discardWork(upper, workName, node.type);
    upper.release(made.node);
  }
  return published;
}

/** Moves a copy from the work directory to its place. */
function* publishWork(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  made: VfsNode,
  workName: string,
): Steps<Status> {
  const { backend, work } = upper;
  const isDeleted = node.places[0]?.parent.upper === undefined;
  if (isDeleted) {
    yield* discardWork(upper, workName, node.type);
  }
  return yield* publish(overlay, upper, node, made, (directory, name) =>
    backend.rename(OVERLAY, work, workName, directory, name, RenameFlag.NOREPLACE),
  );
}

/** What is being built in the work directory. */
interface Made {
  readonly node: VfsNode;
  /** A regular file is open for writing. */
  readonly handle: VfsHandle | undefined;
  /** What it has had from the beginning. */
  readonly attr: AttrRecord;
}

/** An empty file of the right type, which only root may use. */
function* make(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  name: string,
  attr: AttrRecord,
): Steps<Result<Made>> {
  const { backend, work } = upper;
  const out = attrRecord();
  const mode = attr[Attr.MODE] as number;
  let made: Result<VfsNode>;
  switch (mode & S_IFMT) {
    case S_IFREG: {
      const handle = yield* wait(backend.create(OVERLAY, work, name, O_RDWR | O_EXCL, PRIVATE_FILE, out));
      if (typeof handle === "number") {
        return handle;
      }
      upper.retain(handle.node);
      return { node: handle.node, handle, attr: out };
    }
    case S_IFDIR:
      made = yield* wait(upper.hold(backend.mkdir(OVERLAY, work, name, PRIVATE_DIRECTORY, out)));
      break;
    case S_IFLNK: {
      const { layer, node: lower } = overlay.real(node);
      const target = yield* wait(layer.backend.readlink(OVERLAY, lower));
      made =
        typeof target === "number"
          ? target
          : yield* wait(upper.hold(backend.symlink(OVERLAY, work, name, target, out)));
      break;
    }
    default:
      made = yield* wait(
        upper.hold(backend.mknod(OVERLAY, work, name, mode, attr[Attr.RDEV] as number, out)),
      );
  }
  return typeof made === "number" ? made : { node: made, handle: undefined, attr: out };
}

/** Everything but the name; in this order because chown and writing clear setuid, and all of it changes times. */
function* fill(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  { node: made, handle, attr: initial }: Made,
  attr: AttrRecord,
  size: bigint | undefined,
): Steps<Status> {
  const set = (change: AttributeChange) =>
    wait(upper.backend.setattr(OVERLAY, made, handle, change, attrRecord()));
  let status: Status = isSameOwner(initial, attr) ? 0 : yield* set(ownerOf(attr));
  if (status >= 0 && handle !== undefined) {
    status = yield* fillData(overlay, upper, node, handle, attr, size);
  }
  if (status >= 0) {
    status = yield* copyXattrs(overlay, upper, node, made);
  }
  if (status >= 0 && (node.isRegular || node.isDirectory)) {
    status = yield* copyInodeFlags(overlay, upper, node, made, attr);
  }
  if (status >= 0) {
    status = yield* set(node.type === S_IFLNK ? timesOf(attr) : modeAndTimesOf(attr));
  }
  if (status >= 0 && handle !== undefined && !overlay.settings.isVolatile) {
    status = yield* wait(upper.backend.fsync(OVERLAY, handle, false));
  }
  return status;
}

function* fillData(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  handle: VfsHandle,
  attr: AttrRecord,
  limit: bigint | undefined,
): Steps<Status> {
  const size = sizeOfCopy(attr, limit);
  return size === 0n ? 0 : yield* copyFrom(dataOf(overlay, node), { layer: upper, handle }, size);
}

function* copyXattrs(overlay: Overlay, upper: UpperLayer, node: OverlayNode, made: VfsNode): Steps<Status> {
  const { layer, node: lower } = overlay.real(node);
  const names = yield* layer.xattrNames(lower);
  if (typeof names === "number") {
    return names === -EOPNOTSUPP || names === -ENOSYS ? 0 : names;
  }
  for (const name of names) {
    if (overlay.names.isOwn(name)) {
      continue;
    }
    const value = yield* layer.xattr(lower, name);
    const status = typeof value === "number" ? value : yield* wait(upper.setXattr(made, name, value));
    const isEssential = ESSENTIAL_XATTRS.some((prefix) => name.startsWith(prefix));
    const canBeLeftOut = !isEssential && (status === -EOPNOTSUPP || status === -EPERM);
    if (status !== undefined && status < 0 && !canBeLeftOut) {
      return status;
    }
  }
  return 0;
}

/** Gives the copy of a file with several names its place in the index, and one of its names. */
function* publishIndexed(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  made: VfsNode,
  workName: string,
  origin: Buffer,
  links: number,
): Steps<Status> {
  const { backend, work, index } = upper;
  const marked = yield* wait(upper.setXattr(made, overlay.names.nlink, Buffer.from("L+0")));
  if (marked < 0 || index === undefined) {
    return marked;
  }
  const indexed = yield* wait(
    backend.rename(OVERLAY, work, workName, index, indexName(origin), RenameFlag.NOREPLACE),
  );
  if (indexed < 0) {
    return indexed;
  }
  node.extraLinks = links - 1;
  yield* takeCopy(overlay, upper, node, made);
  const [place] = node.places;
  return place === undefined
    ? yield* writeLinks(overlay, upper, node)
    : yield* keepTimes(upper, place.parent, () => linkUp(overlay, upper, node, place));
}
