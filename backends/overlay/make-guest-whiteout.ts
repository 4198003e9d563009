import { Attr, type AttrRecord, S_IFCHR, S_IFMT, S_IFREG } from "../../src/vfs/attributes.js";
import { RenameFlag } from "../../src/vfs/backend.js";
import type { Awaitable, Result, Status } from "../../src/vfs/errno.js";
import type { Caller, VfsNode } from "../../src/vfs/node.js";
import { create } from "./creation.js";
import { markHolder } from "./guest-whiteouts.js";
import { attrRecord, OVERLAY, type UpperLayer } from "./layers.js";
import type { OverlayNode, Place } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { rename } from "./rename.js";
import { run, type Steps, wait } from "./steps.js";

const SET = Buffer.from("y");

/** mknod(2) of a character device 0:0. */
export function* makeGuestWhiteout(
  overlay: Overlay,
  upper: UpperLayer,
  caller: Caller,
  { parent, name }: Place,
  mode: number,
  out: AttrRecord,
): Steps<Result<OverlayNode>> {
  const marked = yield* markHolder(overlay, upper, parent);
  if (marked < 0) {
    return marked;
  }
  const make = (directory: VfsNode, as: string): Awaitable<Result<VfsNode>> =>
    run(makeFile(overlay, upper, caller, directory, as, mode, out));
  const created = yield* create(overlay, parent, name, make, (made) => made, out);
  if (typeof created === "number") {
    return created;
  }
  created.node.isGuestWhiteout = true;
  return created.node;
}

function* makeFile(
  overlay: Overlay,
  upper: UpperLayer,
  caller: Caller,
  directory: VfsNode,
  name: string,
  mode: number,
  out: AttrRecord,
): Steps<Result<VfsNode>> {
  const { backend } = upper;
  const fileMode = (mode & ~S_IFMT) | S_IFREG;
  const made = yield* wait(backend.mknod(caller, directory, name, fileMode, 0, out));
  if (typeof made === "number") {
    return made;
  }
  const marked = yield* wait(upper.setXattr(made, overlay.names.guestWhiteout, SET));
  if (marked < 0) {
    yield* wait(backend.unlink(OVERLAY, directory, name));
    backend.forget(made);
    return marked;
  }
  out[Attr.MODE] = ((out[Attr.MODE] as number) & ~S_IFMT) | S_IFCHR;
  out[Attr.RDEV] = 0;
  return made;
}

/** renameat2(2) with RENAME_WHITEOUT: the old name shows a whiteout afterwards. */
export function* renameLeavingWhiteout(
  overlay: Overlay,
  upper: UpperLayer,
  caller: Caller,
  from: Place,
  to: Place,
  flags: number,
): Steps<Status> {
  if ((flags & RenameFlag.EXCHANGE) !== 0) {
    return yield* rename(overlay, from, to, flags);
  }
  const marked = yield* markHolder(overlay, upper, from.parent);
  const renamed = marked < 0 ? marked : yield* rename(overlay, from, to, flags & ~RenameFlag.WHITEOUT);
  if (renamed < 0) {
    return renamed;
  }
  const made = yield* makeGuestWhiteout(overlay, upper, caller, from, S_IFCHR, attrRecord());
  if (typeof made === "number") {
    return made;
  }
  overlay.nodes.forget(made);
  return 0;
}
