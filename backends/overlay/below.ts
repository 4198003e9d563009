import { ENOENT, type Result } from "../../src/vfs/errno.js";
import { attrRecord, type LayerNode } from "./layers.js";
import type { Overlay } from "./overlay.js";
import { type Steps, wait } from "./steps.js";
import { isImpossible, noteAnnouncement } from "./whiteout-forms.js";

/** Its presence hides what the layers below have in the directory. */
const OPAQUE_MARKER = ".wh..wh..opq";
const FUSE_OVERLAYFS_OPAQUE = "user.fuseoverlayfs.opaque";

const HIDES_BELOW = Buffer.from("y");

/** What the marks of a directory say about what is below it. */
interface Below {
  readonly isHidden: boolean;
  /** Where it is, if not under the same name. */
  readonly redirect: string | undefined;
}

const BELOW: Below = { isHidden: false, redirect: undefined };
const NOTHING_BELOW: Below = { isHidden: true, redirect: undefined };

/** Reads the marks of a directory. */
export function* readBelow(overlay: Overlay, at: LayerNode): Steps<Result<Below>> {
  const { layer, node } = at;
  const { opaque, redirect } = overlay.names;
  const names = yield* layer.xattrNames(node);
  if (typeof names === "number") {
    return isImpossible(names) ? BELOW : names;
  }
  const isLower = layer !== overlay.upper;
  const value = names.includes(opaque) ? yield* layer.xattr(node, opaque) : undefined;
  if (typeof value === "number") {
    return value;
  }
  if (value?.equals(HIDES_BELOW)) {
    return NOTHING_BELOW;
  }
  if (value !== undefined) {
    noteAnnouncement(layer, node, value);
  }
  if (isLower) {
    const theirs = names.includes(FUSE_OVERLAYFS_OPAQUE)
      ? yield* layer.xattr(node, FUSE_OVERLAYFS_OPAQUE)
      : undefined;
    const marker = yield* hasEntry(at, OPAQUE_MARKER, 0);
    if ((typeof theirs === "object" && theirs.equals(HIDES_BELOW)) || marker === 0) {
      return NOTHING_BELOW;
    }
    if (marker !== -ENOENT) {
      return marker;
    }
  }
  const path = names.includes(redirect) ? yield* layer.xattr(node, redirect) : undefined;
  return typeof path === "object" ? { isHidden: false, redirect: path.toString("latin1") } : (path ?? BELOW);
}

/** `value` if a directory of a layer has an entry, else the errno. */
export function* hasEntry<T>({ layer, node }: LayerNode, name: string, value: T): Steps<T | number> {
  const found = yield* wait(layer.lookup(node, name, attrRecord()));
  if (typeof found === "number") {
    return found;
  }
  layer.release(found);
  return value;
}
