import { constants } from "node:fs";
import { Attr, type AttrRecord, PROTECTED } from "../../src/vfs/attributes.js";
import {
  type Awaitable,
  EINVAL,
  ENOSYS,
  ENOTTY,
  EOPNOTSUPP,
  EPERM,
  type Result,
  type Status,
} from "../../src/vfs/errno.js";
import type { VfsHandle, VfsNode } from "../../src/vfs/node.js";
import { type LayerNode, OVERLAY, type UpperLayer } from "./layers.js";
import type { OverlayNode } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { writeProtection } from "./protection.js";
import { type Steps, wait } from "./steps.js";

/*
 * Inode flags (chattr, lsattr) of copies. Those that protect a file are the overlay's own (protection.ts); of the
 * others a copy has what Linux gives it.
 */

const { O_NOATIME, O_RDONLY } = constants;
const FS_IOC_GETFLAGS = 0x8008_6601;
const FS_IOC_SETFLAGS = 0x4008_6602;
const FLAGS_BYTES = 4;
/** FS_SYNC_FL and FS_NOATIME_FL. */
const COPIED = 0x88;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Does something with a directory of a layer that has to be open for it. */
export function* withDirectory(
  { layer, node }: LayerNode,
  use: (open: VfsHandle) => Awaitable<Status>,
): Steps<Status> {
  const open = yield* wait(layer.backend.opendir(OVERLAY, node));
  if (typeof open === "number") {
    return open;
  }
  try {
    return yield* wait(use(open));
  } finally {
    yield* wait(layer.backend.releasedir(open));
  }
}

/** The same with a regular file, in which that leaves no traces. */
function* withFile({ layer, node }: LayerNode, use: (open: VfsHandle) => Awaitable<Status>): Steps<Status> {
  const open: Result<VfsHandle> = yield* wait(layer.backend.open(OVERLAY, node, O_RDONLY | O_NOATIME));
  if (typeof open === "number") {
    return open;
  }
  try {
    return yield* wait(use(open));
  } finally {
    yield* wait(layer.backend.discard(open));
  }
}

/**
 * Gives a copy what it keeps of the lower file's flags. Where they cannot be asked for, or are not known, it goes
 * without; what protects the file it has in any case.
 */
export function* copyInodeFlags(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  made: VfsNode,
  attr: AttrRecord,
): Steps<Status> {
  const protection = (attr[Attr.INODE_FLAGS] as number) & PROTECTED;
  const kept = protection === 0 ? 0 : yield* wait(writeProtection(overlay, upper, made, protection));
  if (kept < 0) {
    return kept;
  }
  const within = node.isDirectory ? withDirectory : withFile;
  const flags = new Uint8Array(FLAGS_BYTES);
  const command = (at: LayerNode, number: number) =>
    within(at, (open) =>
      number === FS_IOC_GETFLAGS
        ? at.layer.backend.ioctl(OVERLAY, open, number, new Uint8Array(), flags)
        : at.layer.backend.ioctl(OVERLAY, open, number, flags, new Uint8Array()),
    );
  const known = yield* command(overlay.real(node), FS_IOC_GETFLAGS);
  const wanted = viewOf(flags).getUint32(0, true) & COPIED;
  if (known < 0 || wanted === 0) {
    return 0;
  }
  const copy = { layer: upper, node: made };
  const own = yield* command(copy, FS_IOC_GETFLAGS);
  viewOf(flags).setUint32(0, viewOf(flags).getUint32(0, true) | wanted, true);
  const set = own < 0 ? own : yield* command(copy, FS_IOC_SETFLAGS);
  return isUnknown(set) ? 0 : set;
}

function isUnknown(status: Status): boolean {
  return [EINVAL, ENOSYS, ENOTTY, EOPNOTSUPP, EPERM].includes(-status);
}
