import { PROTECTED, S_IFDIR, S_IFREG } from "../../src/vfs/attributes.js";
import { RenameFlag } from "../../src/vfs/backend.js";
import {
  EEXIST,
  EINVAL,
  EISDIR,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EOPNOTSUPP,
  EROFS,
  EXDEV,
  type Status,
} from "../../src/vfs/errno.js";
import type { VfsNode } from "../../src/vfs/node.js";
import { modeOf, ownerOf } from "./attribute-change.js";
import { copyUp, copyUpAttributes } from "./copy-up.js";
import { readEntries } from "./directory-entries.js";
import { markHolder } from "./guest-whiteouts.js";
import { countedWithCopy, hasOtherNames, linkUp, nameRemoved } from "./hard-links.js";
import { attrRecord, OVERLAY, type UpperLayer } from "./layers.js";
import { lookup, lowerShows } from "./lookup.js";
import { findData } from "./lower-data.js";
import type { OverlayNode, Place } from "./merged-node.js";
import { markImpure } from "./origin.js";
import type { Overlay } from "./overlay.js";
import { checkProtection, IMMUTABLE } from "./protection.js";
import { setRedirect } from "./redirect.js";
import { checkEmpty } from "./removal.js";
import { type Steps, wait } from "./steps.js";
import { announceWhiteouts, isImpossible, makeWhiteout } from "./whiteout-forms.js";
import { setOpaque, upperEntry } from "./whiteouts.js";
import { discardWork } from "./work-directory.js";

/** What is renamed, and what has the new name now. */
interface Move {
  readonly from: Place;
  readonly to: Place;
  readonly source: OverlayNode;
  readonly target: OverlayNode | undefined;
  readonly exchange: boolean;
  /** The target loses a name, and has others that are counted with its copy. */
  readonly countsLinks: boolean;
}

/** renameat2(2) without RENAME_WHITEOUT. */
export function* rename(overlay: Overlay, from: Place, to: Place, flags: number): Steps<Status> {
  const { upper } = overlay;
  if (upper === undefined) {
    return -EROFS;
  }
  if (
    (flags & ~(RenameFlag.NOREPLACE | RenameFlag.EXCHANGE)) !== 0 ||
    flags === (RenameFlag.NOREPLACE | RenameFlag.EXCHANGE)
  ) {
    return -EINVAL;
  }
  const source = yield* wait(lookup(overlay, from.parent, from.name, attrRecord()));
  return typeof source === "number"
    ? source
    : yield* overlay.nodes.keeping(source, renameNode(overlay, upper, from, to, source, flags));
}

function* renameNode(
  overlay: Overlay,
  upper: UpperLayer,
  from: Place,
  to: Place,
  source: OverlayNode,
  flags: number,
): Steps<Status> {
  const exchange = (flags & RenameFlag.EXCHANGE) !== 0;
  const attr = attrRecord();
  const target = yield* wait(lookup(overlay, to.parent, to.name, attr));
  if (typeof target === "number") {
    const move = { from, to, source, target: undefined, exchange, countsLinks: false };
    return target !== -ENOENT || exchange ? target : yield* carryOut(overlay, upper, move);
  }
  const refused = (flags & RenameFlag.NOREPLACE) !== 0 ? -EEXIST : 0;
  const countsLinks = !exchange && countedWithCopy(overlay, target, attr);
  const steps =
    refused < 0 || target === source
      ? wait(refused)
      : carryOut(overlay, upper, { from, to, source, target, exchange, countsLinks });
  return yield* overlay.nodes.keeping(target, steps);
}

function* carryOut(overlay: Overlay, upper: UpperLayer, move: Move): Steps<Status> {
  let status = yield* check(overlay, move);
  if (status < 0) {
    return status;
  }
  status = yield* bringUp(overlay, upper, move);
  if (status < 0) {
    return status;
  }
  status = yield* markDirectories(overlay, upper, move);
  if (status < 0) {
    return status;
  }
  status = move.exchange ? yield* swap(overlay, upper, move) : yield* replace(overlay, upper, move);
  if (status < 0) {
    return status;
  }
  const counted =
    move.target === undefined || move.exchange ? 0 : yield* nameRemoved(overlay, upper, move.target, true);
  overlay.nodes.moved(move.from, move.to, move.exchange);
  return counted;
}

/** Gives the upper layer what is about to be renamed there, under the names that it has. */
function* bringUp(overlay: Overlay, upper: UpperLayer, move: Move): Steps<Status> {
  const { from, to, source, target } = move;
  for (const [node, forbidding] of [
    [from.parent, PROTECTED],
    [to.parent, target === undefined ? IMMUTABLE : PROTECTED],
    [source, PROTECTED],
    [move.exchange || move.countsLinks ? target : undefined, PROTECTED],
  ] as const) {
    const status = node === undefined ? 0 : yield* bringNode(overlay, upper, node, forbidding);
    if (status < 0) {
      return status;
    }
  }
  for (const [node, place] of [
    [source, from],
    [target, to],
  ] as const) {
    const status = node === undefined ? 0 : yield* linkUp(overlay, upper, node, place);
    if (status < 0) {
      return status;
    }
  }
  return 0;
}

/** A copy of attributes only is renamed with a redirect, if that can lead to its data from all of its names. */
function* bringNode(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  forbidding: number,
): Steps<Status> {
  const copied = yield* wait(copyUpAttributes(overlay, node, forbidding));
  const known = copied >= 0 && node.isRegular ? yield* findData(overlay, node) : copied;
  if (known < 0 || node.lowerData === undefined || node.upper === undefined) {
    return known;
  }
  const attr = attrRecord();
  const status = yield* wait(upper.backend.getattr(OVERLAY, node.upper, undefined, attr));
  const isAlone = overlay.settings.redirectDir && !hasOtherNames(attr, node.type);
  return status < 0 || isAlone ? status : yield* wait(copyUp(overlay, node));
}

/** What Linux refuses, looking at the merged view. */
function* check(overlay: Overlay, { from, to, source, target, exchange }: Move): Steps<Status> {
  if (isAbove(source, to.parent)) {
    return -EINVAL;
  }
  if (target !== undefined && isAbove(target, from.parent)) {
    return exchange ? -EINVAL : -ENOTEMPTY;
  }
  if (!overlay.settings.redirectDir) {
    const isFixed = (node: OverlayNode | undefined) => node?.isDirectory === true && node.lowers.length > 0;
    if (isFixed(source) || (exchange && isFixed(target))) {
      return -EXDEV;
    }
  }
  if (target === undefined || exchange) {
    return 0;
  }
  const changeable = yield* wait(checkProtection(overlay, target));
  if (changeable < 0) {
    return changeable;
  }
  if (source.isDirectory !== target.isDirectory) {
    return source.isDirectory ? -ENOTDIR : -EISDIR;
  }
  return target.isDirectory ? yield* checkEmpty(overlay, target) : 0;
}

function isAbove(node: OverlayNode, below: OverlayNode): boolean {
  for (let at: OverlayNode | undefined = below; at !== undefined; at = at.places[0]?.parent) {
    if (at === node) {
      return true;
    }
  }
  return false;
}

function hasBelow({ isCopy, lowers }: OverlayNode): boolean {
  return isCopy || lowers.length > 0;
}

/** Directories that receive copies of lower files, or whiteouts of the guest, are marked. */
function* markDirectories(
  overlay: Overlay,
  upper: UpperLayer,
  { from, to, source, target, exchange }: Move,
): Steps<Status> {
  const status = yield* markReceiver(overlay, upper, source, to.parent);
  return status >= 0 && exchange && target !== undefined
    ? yield* markReceiver(overlay, upper, target, from.parent)
    : status;
}

function* markReceiver(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  directory: OverlayNode,
): Steps<Status> {
  const status = hasBelow(node) ? yield* markImpure(overlay, upper, directory) : 0;
  return status >= 0 && node.isGuestWhiteout ? yield* markHolder(overlay, upper, directory) : status;
}

function* swap(overlay: Overlay, upper: UpperLayer, { from, to, source, target }: Move): Steps<Status> {
  const marked = yield* markMoved(overlay, upper, source, from, to);
  const both =
    marked < 0 || target === undefined ? marked : yield* markMoved(overlay, upper, target, to, from);
  return both < 0 ? both : yield* move(upper, from, to, RenameFlag.EXCHANGE);
}

/** Moves a directory's lower parts along, or hides those that the new name has. */
function* markMoved(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  from: Place,
  to: Place,
): Steps<Status> {
  if (node.lowerData !== undefined) {
    const status = yield* setRedirect(overlay, upper, node, from, to);
    return status === -EXDEV ? yield* wait(copyUp(overlay, node)) : status;
  }
  if (!node.isDirectory || node.upper === undefined) {
    return 0;
  }
  if (node.lowers.length > 0) {
    return yield* setRedirect(overlay, upper, node, from, to);
  }
  const shows = yield* lowerShows(overlay, to.parent, to.name);
  if (typeof shows === "number") {
    return shows;
  }
  return shows ? yield* wait(setOpaque(overlay, upper, node.upper)) : 0;
}

function* replace(overlay: Overlay, upper: UpperLayer, { from, to, source, target }: Move): Steps<Status> {
  const toDirectory = to.parent.upper as VfsNode;
  const hide = yield* lowerShows(overlay, from.parent, from.name);
  if (typeof hide === "number") {
    return hide;
  }
  const marked = yield* markMoved(overlay, upper, source, from, to);
  if (marked < 0) {
    return marked;
  }
  if (!source.isDirectory) {
    return yield* moveAway(overlay, upper, from, to, hide);
  }
  const entry = yield* upperEntry(overlay, upper, toDirectory, to.name);
  if (entry === "whiteout") {
    const fromDirectory = from.parent.upper as VfsNode;
    const isFile = hide && upper.hasXattrWhiteouts(toDirectory);
    const ready = isFile ? yield* announceWhiteouts(overlay, upper, fromDirectory) : 0;
    const status = ready < 0 ? ready : yield* move(upper, from, to, RenameFlag.EXCHANGE);
    // The whiteout is where the directory was: that is right if something is to be hidden there.
    return status < 0 || hide ? status : yield* wait(upper.backend.unlink(OVERLAY, fromDirectory, from.name));
  }
  const cleared =
    entry === "directory" && target?.upper !== undefined
      ? yield* clear(overlay, upper, toDirectory, to.name, target.upper)
      : 0;
  return cleared < 0 ? cleared : yield* moveAway(overlay, upper, from, to, hide);
}

/** Renames and, with `hide`, leaves a whiteout, in one step wherever whiteouts are devices. */
function* moveAway(
  overlay: Overlay,
  upper: UpperLayer,
  from: Place,
  to: Place,
  hide: boolean,
): Steps<Status> {
  if (!hide) {
    return yield* move(upper, from, to, 0);
  }
  const moved = upper.makesWhiteoutDevices ? yield* move(upper, from, to, RenameFlag.WHITEOUT) : -EOPNOTSUPP;
  if (moved !== -EINVAL && !isImpossible(moved)) {
    return moved;
  }
  const directory = from.parent.upper as VfsNode;
  const whiteout = yield* makeWhiteout(overlay, upper, directory);
  if (typeof whiteout === "number") {
    return whiteout;
  }
  const { backend, work } = upper;
  const renamed = yield* move(upper, from, to, 0);
  if (renamed < 0) {
    yield* discardWork(upper, whiteout, S_IFREG);
    return renamed;
  }
  // A crash in between shows the lower file under its old name again: nothing is lost.
  return yield* wait(backend.rename(OVERLAY, work, whiteout, directory, from.name, 0));
}

function* move(upper: UpperLayer, from: Place, to: Place, flags: number): Steps<Status> {
  const [fromDirectory, toDirectory] = [from.parent.upper as VfsNode, to.parent.upper as VfsNode];
  return yield* wait(upper.backend.rename(OVERLAY, fromDirectory, from.name, toDirectory, to.name, flags));
}

/** Puts an empty opaque directory in the place of one that only whiteouts are left in. */
function* clear(
  overlay: Overlay,
  upper: UpperLayer,
  parent: VfsNode,
  name: string,
  node: VfsNode,
): Steps<Status> {
  const { backend, work } = upper;
  const entries = yield* readEntries(upper, node);
  if (typeof entries === "number" || entries.length === 0) {
    return typeof entries === "number" ? entries : 0;
  }
  const attr = attrRecord();
  let status = yield* wait(backend.getattr(OVERLAY, node, undefined, attr));
  const workName = upper.workName();
  const made =
    status < 0
      ? status
      : yield* wait(upper.hold(backend.mkdir(OVERLAY, work, workName, 0o700, attrRecord())));
  if (typeof made === "number") {
    return made;
  }
  for (const change of [ownerOf(attr), modeOf(attr)]) {
    status =
      status < 0 ? status : yield* wait(backend.setattr(OVERLAY, made, undefined, change, attrRecord()));
  }
  status = status < 0 ? status : yield* wait(setOpaque(overlay, upper, made));
  status =
    status < 0
      ? status
      : yield* wait(backend.rename(OVERLAY, work, workName, parent, name, RenameFlag.EXCHANGE));
  yield* discardWork(upper, workName, S_IFDIR);
  upper.release(made);
  return status;
}
