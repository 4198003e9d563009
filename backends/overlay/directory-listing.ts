import { Attr, type AttrRecord, S_IFDIR } from "../../src/vfs/attributes.js";
import type { DirectoryBuffer } from "../../src/vfs/directory-buffer.js";
import { ENOENT, type Status } from "../../src/vfs/errno.js";
import { type Caller, VfsHandle, type VfsNode } from "../../src/vfs/node.js";
import { copySeenAttributes, releaseSeen } from "./directory-entries.js";
import { mayHoldGuestWhiteouts } from "./guest-whiteouts.js";
import { withHigh } from "./inode-numbers.js";
import { attrRecord } from "./layers.js";
import { adopt, lookup } from "./lookup.js";
import { type MergedEntry, mergedEntries, type SeenEntries } from "./merged-entries.js";
import type { OverlayNode } from "./merged-node.js";
import { mayHoldCopies } from "./origin.js";
import type { Overlay } from "./overlay.js";
import { listPure, openPure, type PureListing } from "./pure-listing.js";
import { type Steps, wait } from "./steps.js";

/** Offsets of "." and ".."; entries come behind them. */
const DOT_OFFSET = 1;
const DOT_DOT_OFFSET = 2;

/** An open directory, with what it held when it was opened or read from its start. */
export class OverlayDirectoryHandle extends VfsHandle {
  declare readonly node: OverlayNode;
  /** open(2) flags. */
  readonly flags: number;
  entries: readonly MergedEntry[] | undefined;
  /** Entries of lower layers that were listed with attributes and not given to the guest yet. */
  readonly seen: SeenEntries = new Map();
  /** {@link OverlayNode.changes} at that time. */
  seenAt = 0;
  /** Where one layer alone has entries to show, the layer's open directory. */
  pure: PureListing | undefined;

  constructor(node: VfsNode, flags: number) {
    super(node);
    this.flags = flags;
  }
}

/** Lets go of what a listing has of the layers. */
export function* endListing(handle: OverlayDirectoryHandle): Steps<void> {
  const { pure } = handle;
  handle.entries = undefined;
  releaseSeen(handle.seen);
  if (pure !== undefined) {
    handle.pure = undefined;
    yield* wait(pure.layer.backend.releasedir(pure.handle));
  }
}

/** readdir and readdirplus. */
export function* readDirectory(
  overlay: Overlay,
  caller: Caller,
  handle: OverlayDirectoryHandle,
  sink: DirectoryBuffer,
): Steps<Status> {
  const { node } = handle;
  if (sink.offset === 0 || (handle.entries === undefined && handle.pure === undefined)) {
    yield* endListing(handle);
    handle.pure = yield* openPure(overlay, node, handle.flags);
  }
  if (handle.pure !== undefined) {
    return yield* listPure(overlay, handle.pure, caller, node, sink);
  }
  if (handle.entries === undefined) {
    handle.seenAt = node.changes;
    const entries = yield* mergedEntries(overlay, node, sink.plus ? handle.seen : undefined);
    if (typeof entries === "number") {
      return entries;
    }
    handle.entries = entries;
  }
  if (!addDots(overlay, node, sink)) {
    return 0;
  }
  const { entries } = handle;
  const out = attrRecord();
  for (let i = Math.max(0, sink.offset - DOT_DOT_OFFSET); i < entries.length; i++) {
    const entry = entries[i] as MergedEntry;
    const offset = i + 1 + DOT_DOT_OFFSET;
    const node = sink.plus ? takeSeen(overlay, handle, entry, out) : undefined;
    const added =
      node === undefined
        ? yield* addEntry(overlay, handle, entry, offset, sink, out)
        : addNode(overlay, entry, node, offset, sink, out);
    if (!added) {
      break;
    }
  }
  return 0;
}

function addDots(overlay: Overlay, node: OverlayNode, sink: DirectoryBuffer): boolean {
  const parent = node.places[0]?.parent ?? overlay.nodes.root;
  const type = S_IFDIR >>> 12;
  return (
    (sink.offset >= DOT_OFFSET || sink.add(".", node.inoLow, node.inoHigh, type, DOT_OFFSET)) &&
    (sink.offset >= DOT_DOT_OFFSET || sink.add("..", parent.inoLow, parent.inoHigh, type, DOT_DOT_OFFSET))
  );
}

/** False when the entry did not fit. Entries that are gone, or that cannot be looked at, are left out. */
function* addEntry(
  overlay: Overlay,
  handle: OverlayDirectoryHandle,
  entry: MergedEntry,
  offset: number,
  sink: DirectoryBuffer,
  out: AttrRecord,
): Steps<boolean> {
  const { node: parent } = handle;
  const { name, type } = entry;
  if (!sink.plus && (yield* isPlain(overlay, parent, entry))) {
    const high = withHigh(entry.inoHigh, entry.numberHigh);
    return sink.add(name, entry.inoLow, high, type >>> 12, offset);
  }
  const node = yield* wait(lookup(overlay, parent, name, out, sink.plus));
  if (typeof node === "number") {
    return node === -ENOENT ? true : sink.plus ? sink.add(name, 0, 0, type >>> 12, offset) : true;
  }
  if (!sink.plus) {
    overlay.nodes.forgetUnknown(node);
    return sink.add(name, node.inoLow, node.inoHigh, (out[Attr.MODE] as number) >>> 12, offset);
  }
  return addNode(overlay, entry, node, offset, sink, out);
}

/** Adds an entry that comes with its attributes. */
function addNode(
  overlay: Overlay,
  { name }: MergedEntry,
  node: OverlayNode,
  offset: number,
  sink: DirectoryBuffer,
  out: AttrRecord,
): boolean {
  const kind = (out[Attr.MODE] as number) >>> 12;
  const added = sink.add(name, node.inoLow, node.inoHigh, kind, offset, node, out);
  if (!added && node.tableIndex < 0) {
    overlay.nodes.forget(node);
  }
  return added;
}

/**
 * The node of a file that was listed with its attributes. Undefined for what only a lookup can tell: what the guest knows
 * already, directories, which have parts elsewhere, and files with several names, whose copy may be elsewhere.
 */
function takeSeen(
  overlay: Overlay,
  { node: parent, seen, seenAt }: OverlayDirectoryHandle,
  { name, type, numberHigh }: MergedEntry,
  out: AttrRecord,
): OverlayNode | undefined {
  const entry = seen.get(name);
  if (
    entry === undefined ||
    seenAt !== parent.changes ||
    type === S_IFDIR ||
    parent.children?.has(name) ||
    ((entry.words[entry.attrWord + Attr.NLINK] as number) > 1 && overlay.upper !== undefined)
  ) {
    return undefined;
  }
  seen.delete(name);
  const { layer, node: lower } = entry;
  copySeenAttributes(entry, out);
  out[Attr.INO + 1] = withHigh(out[Attr.INO + 1] as number, numberHigh);
  const node = adopt(overlay, { type, upper: undefined, lowers: [{ layer, node: lower }] }, out);
  node.known = true;
  overlay.nodes.place(node, parent, name);
  overlay.present(node, out);
  return node;
}

/** Whether an entry shows the type and inode number that its layer lists. */
function* isPlain(overlay: Overlay, parent: OverlayNode, { layer, name, type }: MergedEntry): Steps<boolean> {
  const { upper } = overlay;
  if (type === 0 || parent.children?.has(name)) {
    return false;
  }
  return (
    layer !== upper ||
    !(
      (yield* mayHoldCopies(overlay, layer, parent)) || (yield* mayHoldGuestWhiteouts(overlay, layer, parent))
    )
  );
}
