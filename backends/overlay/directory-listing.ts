import { Attr, type AttrRecord, S_IFCHR, S_IFDIR, S_IFREG } from "../../src/vfs/attributes.js";
import type { DirectoryBuffer } from "../../src/vfs/directory-buffer.js";
import { ENOENT, type Result, type Status } from "../../src/vfs/errno.js";
import { type Caller, VfsHandle, type VfsNode } from "../../src/vfs/node.js";
import { type DirectoryEntry, readEntries } from "./directory-entries.js";
import { attrRecord, type LayerNode, OVERLAY } from "./layers.js";
import { isWhiteout, lookup, MARKER_PREFIX } from "./lookup.js";
import { mark } from "./marks.js";
import type { OverlayNode } from "./merged-node.js";
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
  entries: readonly DirectoryEntry[] | undefined;
  /** Where one layer alone has entries to show, the layer's open directory. */
  pure: PureListing | undefined;

  constructor(node: VfsNode, flags: number) {
    super(node);
    this.flags = flags;
  }
}

/** What a directory shows: the entries of all its layers, those on top hiding those below. */
export function* mergedEntries(overlay: Overlay, node: OverlayNode): Steps<Result<DirectoryEntry[]>> {
  const shown: DirectoryEntry[] = [];
  const hidden = new Set<string>();
  const directories: LayerNode[] = [...node.lowers];
  if (node.upper !== undefined && overlay.upper !== undefined) {
    directories.unshift({ layer: overlay.upper, node: node.upper });
  }
  for (const directory of directories) {
    const entries = yield* readEntries(directory.layer, directory.node);
    if (typeof entries === "number") {
      return entries;
    }
    const isLower = directory.layer !== overlay.upper;
    // Markers of a layer hide what is below it, not its own entries.
    const markers: string[] = [];
    for (const entry of entries) {
      if (isLower && entry.name.startsWith(MARKER_PREFIX)) {
        markers.push(entry.name.slice(MARKER_PREFIX.length));
        continue;
      }
      if (hidden.has(entry.name)) {
        continue;
      }
      hidden.add(entry.name);
      if (!(yield* isHidden(overlay, directory, entry))) {
        shown.push(entry);
      }
    }
    for (const name of markers) {
      hidden.add(name);
    }
  }
  return shown;
}

/** Whether an entry of a layer is a whiteout. */
function* isHidden(
  overlay: Overlay,
  { layer, node }: LayerNode,
  { name, type }: DirectoryEntry,
): Steps<boolean> {
  const mayBeFile = type === S_IFREG && layer.hasXattrWhiteouts(node);
  if (type !== S_IFCHR && type !== 0 && !mayBeFile) {
    return false;
  }
  const out = attrRecord();
  const found = yield* wait(layer.backend.lookup(OVERLAY, node, name, out));
  if (typeof found === "number") {
    return true;
  }
  const hidden =
    isWhiteout(out) || (mayBeFile && (yield* mark(layer, found, overlay.names.whiteout)) !== undefined);
  layer.drop(found);
  return hidden;
}

/** Closes what a listing has open in a layer. */
export function* closePure(handle: OverlayDirectoryHandle): Steps<void> {
  const { pure } = handle;
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
    yield* closePure(handle);
    handle.pure = yield* openPure(overlay, node, handle.flags);
  }
  if (handle.pure !== undefined) {
    return yield* listPure(overlay, handle.pure, caller, node, sink);
  }
  if (handle.entries === undefined || sink.offset === 0) {
    const entries = yield* mergedEntries(overlay, node);
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
    const entry = entries[i] as DirectoryEntry;
    const added = yield* addEntry(overlay, caller, node, entry, i + 1 + DOT_DOT_OFFSET, sink, out);
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
  _caller: Caller,
  parent: OverlayNode,
  { name, type }: DirectoryEntry,
  offset: number,
  sink: DirectoryBuffer,
  out: AttrRecord,
): Steps<boolean> {
  const node = yield* wait(lookup(overlay, parent, name, out));
  if (typeof node === "number") {
    return node === -ENOENT ? true : sink.plus ? sink.add(name, 0, 0, type >>> 12, offset) : true;
  }
  const kind = (out[Attr.MODE] as number) >>> 12;
  if (!sink.plus) {
    return sink.add(name, node.inoLow, node.inoHigh, kind, offset);
  }
  const added = sink.add(name, node.inoLow, node.inoHigh, kind, offset, node, out);
  if (added) {
    node.known = true;
  } else if (node.tableIndex < 0) {
    overlay.nodes.forget(node);
  }
  return added;
}
