import { Attr, PROTECTED } from "../../src/vfs/attributes.js";
import { type Awaitable, ENOSYS, EPERM, type Result, type Status } from "../../src/vfs/errno.js";
import type { VfsNode } from "../../src/vfs/node.js";
import { attrRecord, OVERLAY, type UpperLayer } from "./layers.js";
import { mark } from "./marks.js";
import type { OverlayNode } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { andThen, run, type Steps, wait } from "./steps.js";

/*
 * chattr's immutable and append-only flags. A file of the upper layer does not have them itself, or it could not be
 * looked after: as on Linux an attribute holds them, and it is here that they are enforced.
 */

/** The flags by their letters, as FS_IOC_GETFLAGS numbers them. */
const LETTERS: readonly (readonly [letter: string, flag: number])[] = [
  ["a", 0x20],
  ["i", 0x10],
];
/** What forbids even that something is added. */
export const IMMUTABLE = 0x10;

/** The value of the mark that keeps these flags. */
function encode(flags: number): Buffer {
  const letters = LETTERS.filter(([, flag]) => (flags & flag) !== 0).map(([letter]) => letter);
  return Buffer.from(letters.join(""));
}

/** As Linux, which passes over a value that has anything else in it. */
function decode(value: Buffer): number {
  let flags = 0;
  for (const found of value.toString("latin1")) {
    const flag = LETTERS.find(([letter]) => letter === found)?.[1];
    if (flag === undefined) {
      return 0;
    }
    flags |= flag;
  }
  return flags;
}

/** Which of the two flags a file or directory has. */
export function protectionOf(overlay: Overlay, node: OverlayNode): Awaitable<Result<number>> {
  return node.protection ?? run(readProtection(overlay, node));
}

function* readProtection(overlay: Overlay, node: OverlayNode): Steps<Result<number>> {
  const { layer, node: real } = overlay.real(node);
  let found: Result<number> = 0;
  if (layer !== overlay.upper) {
    const attr = attrRecord();
    const status = yield* wait(layer.backend.getattr(OVERLAY, real, undefined, attr));
    found = status < 0 ? status : (attr[Attr.INODE_FLAGS] as number) & PROTECTED;
  } else if (node.isDirectory || node.isRegular) {
    const value = yield* mark(layer, real, overlay.names.protection);
    // A layer without attributes protects nothing in this way.
    found = value === undefined || value === -ENOSYS ? 0 : typeof value === "number" ? value : decode(value);
  }
  if (found >= 0) {
    // Somebody may have changed it meanwhile.
    node.protection ??= found;
  }
  return node.protection ?? found;
}

/**
 * Whether chattr's flags let a file or directory change.
 * @param forbidding the flags that forbid this change; {@link IMMUTABLE} for one that only adds something
 */
export function checkProtection(
  overlay: Overlay,
  node: OverlayNode,
  forbidding: number = PROTECTED,
): Awaitable<Status> {
  if (node.protection === 0 || overlay.upper === undefined) {
    return 0;
  }
  return andThen(protectionOf(overlay, node), (flags) =>
    flags < 0 ? flags : (flags & forbidding) !== 0 ? -EPERM : 0,
  );
}

/** Keeps flags for a file of the upper layer. */
export function writeProtection(
  overlay: Overlay,
  upper: UpperLayer,
  made: VfsNode,
  flags: number,
): Awaitable<Status> {
  const { protection } = overlay.names;
  return (flags & PROTECTED) === 0
    ? upper.backend.removexattr(OVERLAY, made, protection)
    : upper.setXattr(made, protection, encode(flags));
}
