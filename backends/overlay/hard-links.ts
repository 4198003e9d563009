import { Attr, type AttrRecord, S_IFDIR } from "../../src/vfs/attributes.js";
import { ENOENT, type Result, type Status } from "../../src/vfs/errno.js";
import type { VfsNode } from "../../src/vfs/node.js";
import { attrRecord, OVERLAY, type UpperLayer } from "./layers.js";
import { mark } from "./marks.js";
import type { OverlayNode, Place, Stack } from "./merged-node.js";
import { originOf } from "./origin.js";
import type { Overlay } from "./overlay.js";
import { type Steps, wait } from "./steps.js";

/*
 * A lower file with several names is copied up once: the copy gets a name in the index directory, made from its
 * origin, by which all other lower names find it. Its st_nlink counts the names that the overlay shows, which the
 * upper file system cannot know: the difference is kept in an extended attribute, "U+1" against the copy's own count,
 * "L+0" against that of the lower file.
 */
const LINKS = /^([UL])([+-]\d{1,9})$/;

/** Whether a lower file has other names. */
export function hasOtherNames(attr: AttrRecord, type: number): boolean {
  return type !== S_IFDIR && (attr[Attr.NLINK] as number) > 1;
}

/** Whether a file has other names that are counted with its copy, so that losing one needs the copy. */
export function countedWithCopy({ upper }: Overlay, node: OverlayNode, attr: AttrRecord): boolean {
  return upper?.index !== undefined && !node.isAlias && hasOtherNames(attr, node.type);
}

/** The name in the index of the copy of a file with this origin. */
export function indexName(origin: Buffer): string {
  return origin.toString("hex");
}

/**
 * Replaces a lower file with several names by its copy, if one of the names was copied up. Without an index each name
 * is a file of its own.
 * @param out the lower file's attributes, and then the copy's
 */
export function* resolveLinks(overlay: Overlay, stack: Stack, out: AttrRecord): Steps<Result<Stack>> {
  const { upper } = overlay;
  const [lower] = stack.lowers;
  if (
    stack.upper !== undefined ||
    upper === undefined ||
    lower === undefined ||
    !hasOtherNames(out, stack.type)
  ) {
    return stack;
  }
  const origin = upper.index === undefined ? undefined : yield* originOf(lower);
  if (origin === undefined || upper.index === undefined) {
    return { ...stack, isAlias: true };
  }
  const attr = attrRecord();
  const copy = yield* wait(upper.lookup(upper.index, indexName(origin), attr));
  if (typeof copy === "number") {
    return copy === -ENOENT ? stack : copy;
  }
  lower.layer.release(lower.node);
  out.set(attr);
  return { type: stack.type, upper: copy, lowers: [] };
}

/**
 * Reads how many names more than its upper file a copy shows; undefined where the file's own count is right.
 * @param byIndex it was found in the index: it may have no other name in the upper layer
 */
export function* readLinks(
  overlay: Overlay,
  stack: Stack,
  byIndex: boolean,
  out: AttrRecord,
): Steps<number | undefined> {
  const { upper } = overlay;
  if (upper === undefined || stack.upper === undefined || !(byIndex || hasOtherNames(out, stack.type))) {
    return undefined;
  }
  const value = yield* mark(upper, stack.upper, overlay.names.nlink);
  const match =
    value === undefined || typeof value === "number" ? null : LINKS.exec(value.toString("latin1"));
  if (match === null) {
    return undefined;
  }
  // "L" is left by a crash in the middle of a copy-up: the copy has no name but that in the index, or one.
  return match[1] === "L" ? 0 : Number(match[2]);
}

/** Writes down how many names more than its upper file a copy shows. */
export function* writeLinks(overlay: Overlay, upper: UpperLayer, node: OverlayNode): Steps<Status> {
  const { extraLinks } = node;
  if (extraLinks === undefined || node.upper === undefined) {
    return 0;
  }
  const text = `U${extraLinks < 0 ? "" : "+"}${extraLinks}`;
  return yield* wait(upper.setXattr(node.upper, overlay.names.nlink, Buffer.from(text)));
}

/** Gives an indexed copy its name in a directory of the upper layer, if it has it in a lower one only. */
export function* linkUp(overlay: Overlay, upper: UpperLayer, node: OverlayNode, place: Place): Steps<Status> {
  const directory = place.parent.upper;
  if (node.extraLinks === undefined || node.upper === undefined || directory === undefined) {
    return 0;
  }
  const linked = yield* wait(upper.lookup(directory, place.name, attrRecord()));
  if (typeof linked !== "number") {
    upper.release(linked);
    return 0;
  }
  return linked === -ENOENT
    ? yield* addName(overlay, upper, node, node.upper, directory, place.name)
    : linked;
}

function* addName(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  copy: VfsNode,
  directory: VfsNode,
  name: string,
): Steps<Status> {
  const linked = yield* wait(upper.backend.link(OVERLAY, copy, directory, name, attrRecord()));
  if (typeof linked === "number") {
    return linked;
  }
  node.extraLinks = (node.extraLinks ?? 0) - 1;
  return yield* writeLinks(overlay, upper, node);
}

/** A name that only a lower layer had is hidden now: one less. The last one takes the copy with it. */
export function* nameRemoved(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  wasInUpper: boolean,
): Steps<Status> {
  if (node.extraLinks === undefined || node.upper === undefined) {
    return 0;
  }
  if (!wasInUpper) {
    node.extraLinks--;
  }
  const attr = attrRecord();
  const status = yield* wait(upper.backend.getattr(OVERLAY, node.upper, undefined, attr));
  if (status < 0) {
    return status;
  }
  if ((attr[Attr.NLINK] as number) + node.extraLinks > 0) {
    return yield* writeLinks(overlay, upper, node);
  }
  const origin = yield* mark(upper, node.upper, overlay.names.origin);
  if (upper.index === undefined || origin === undefined || typeof origin === "number") {
    return 0;
  }
  return yield* wait(upper.backend.unlink(OVERLAY, upper.index, indexName(origin)));
}
