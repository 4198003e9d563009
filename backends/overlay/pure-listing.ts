import { Attr, S_IFCHR, S_IFDIR } from "../../src/vfs/attributes.js";
import { DIRENT_HEADER_BYTES, type DirectoryBuffer, ENTRY_BYTES } from "../../src/vfs/directory-buffer.js";
import type { Status } from "../../src/vfs/errno.js";
import type { Caller, VfsHandle, VfsNode } from "../../src/vfs/node.js";
import { ENTRY_ATTR_WORD } from "./directory-entries.js";
import { mayHoldGuestWhiteouts } from "./guest-whiteouts.js";
import { withHigh } from "./inode-numbers.js";
import { attrRecord, type Layer, OVERLAY } from "./layers.js";
import { MARKER_PREFIX } from "./lower-names.js";
import { mark } from "./marks.js";
import type { OverlayNode, Stack } from "./merged-node.js";
import { mayHoldCopies } from "./origin.js";
import type { Overlay } from "./overlay.js";
import { type Steps, wait } from "./steps.js";
import { isWhiteoutDevice } from "./whiteout-forms.js";

const DIRENT_TYPE_SHIFT = 12;

/** A directory that one layer alone has, open there: its entries need no merging. */
export interface PureListing {
  readonly layer: Layer;
  /** The directory in the layer, which is the upper one or not. */
  readonly directory: VfsNode;
  readonly isUpper: boolean;
  readonly handle: VfsHandle;
  /** Added to the high half of inode numbers. */
  readonly numberHigh: number;
}

/** Opens a directory in its only layer; undefined when its entries have to be looked at one by one. */
export function* openPure(
  overlay: Overlay,
  node: OverlayNode,
  flags: number,
): Steps<PureListing | undefined> {
  const { upper } = overlay;
  if (node.isMerged) {
    return undefined;
  }
  const { layer, node: directory } = overlay.real(node);
  const isUpper = layer === upper;
  const isPlain =
    !layer.hasXattrWhiteouts(directory) && !(isUpper && (yield* mayHoldCopies(overlay, layer, node)));
  const attr = attrRecord();
  if (!isPlain || (isUpper && (yield* mayHoldGuestWhiteouts(overlay, layer, node)))) {
    return undefined;
  }
  if ((yield* wait(layer.backend.getattr(OVERLAY, directory, undefined, attr))) < 0) {
    return undefined;
  }
  const handle = yield* wait(layer.backend.opendir(OVERLAY, directory, flags));
  if (typeof handle === "number") {
    return undefined;
  }
  const numberHigh = overlay.numberHigh(layer, attr[Attr.DEV] as number);
  return { layer, directory, isUpper, handle, numberHigh };
}

/** readdir and readdirplus of the layer, its nodes and inode numbers replaced by the overlay's. */
export function* listPure(
  overlay: Overlay,
  listing: PureListing,
  caller: Caller,
  parent: OverlayNode,
  sink: DirectoryBuffer,
): Steps<Status> {
  for (;;) {
    const nodes = new Map<number, VfsNode>();
    const lent = sink.lend({
      referenceEntry: (node, _words, word) => {
        listing.layer.retain(node);
        nodes.set(word, node);
      },
    });
    const status = yield* wait(listing.layer.backend.readdir(caller, listing.handle, lent));
    if (status < 0 || lent.length === 0) {
      sink.accept(0, lent.full);
      return status;
    }
    const length = yield* translate(overlay, listing, parent, lent, nodes);
    if (length > 0) {
      sink.accept(length, lent.full);
      give(sink, nodes as Map<number, OverlayNode>);
      return 0;
    }
    // Nothing that is to be seen; an empty answer would mean the end.
    sink.offsetLow = lent.offsetLow;
    sink.offsetHigh = lent.offsetHigh;
  }
}

/** Counts the references of what the guest receives: only now is it sure that it does. */
function give(sink: DirectoryBuffer, nodes: Map<number, OverlayNode>): void {
  for (const [word, node] of nodes) {
    node.known = true;
    sink.referenceAt(word * 4, node);
  }
}

/**
 * Rewrites the entries of a layer in place, without those that are not to be seen.
 * @param nodes the layer's nodes by the word where their entry begins; the overlay's afterwards
 * @returns bytes that are left; when there are none, `buffer` goes on behind what was left out
 */
function* translate(
  overlay: Overlay,
  listing: PureListing,
  parent: OverlayNode,
  buffer: DirectoryBuffer,
  nodes: Map<number, VfsNode>,
): Steps<number> {
  const { bytes, words, plus } = buffer;
  const found = new Map(nodes);
  nodes.clear();
  const prefix = plus ? ENTRY_BYTES : 0;
  let end = 0;
  for (let position = 0; position < buffer.length; ) {
    const dirent = (position + prefix) >>> 2;
    const begin = position + prefix + DIRENT_HEADER_BYTES;
    const nameEnd = begin + (words[dirent + 4] as number);
    const next = (nameEnd + 7) & ~7;
    const name = bytes.latin1Slice(begin, nameEnd);
    const layerNode = found.get(position >>> 2);
    buffer.offsetLow = words[dirent + 2] as number;
    buffer.offsetHigh = words[dirent + 3] as number;
    if (yield* isHidden(listing, name, words[dirent + 5] as number)) {
      if (layerNode !== undefined) {
        listing.layer.release(layerNode);
      }
    } else {
      if (end !== position) {
        bytes.copyWithin(end, position, next);
      }
      yield* present(overlay, listing, parent, name, layerNode, buffer, end, nodes);
      end += next - position;
    }
    position = next;
  }
  return end;
}

/** Gives the entry at byte `begin` the overlay's node and numbers. */
function* present(
  overlay: Overlay,
  listing: PureListing,
  parent: OverlayNode,
  name: string,
  layerNode: VfsNode | undefined,
  { words, plus }: DirectoryBuffer,
  begin: number,
  nodes: Map<number, VfsNode>,
): Steps<void> {
  const at = (begin + (plus ? ENTRY_BYTES : 0)) >>> 2;
  const low = words[at] as number;
  const high = withHigh(words[at + 1] as number, listing.numberHigh);
  const links = plus ? (words[(begin >>> 2) + ENTRY_ATTR_WORD + Attr.NLINK] as number) : 1;
  const type = (words[at + 5] as number) << DIRENT_TYPE_SHIFT;
  const node =
    layerNode === undefined
      ? undefined
      : yield* nodeOf(overlay, listing, layerNode, type, { low, high }, links);
  if (node !== undefined) {
    overlay.nodes.place(node, parent, name);
    nodes.set(begin >>> 2, node);
  }
  const shown = node ?? shownAs(overlay, parent, name);
  setNumber(words, at, shown?.inoLow ?? low, shown?.inoHigh ?? high);
  if (plus) {
    if (node === undefined) {
      words.fill(0, begin >>> 2, (begin >>> 2) + ENTRY_ATTR_WORD);
    }
    setNumber(
      words,
      (begin >>> 2) + ENTRY_ATTR_WORD + Attr.INO,
      shown?.inoLow ?? low,
      shown?.inoHigh ?? high,
    );
  }
}

function setNumber(words: Uint32Array, at: number, low: number, high: number): void {
  words[at] = low;
  words[at + 1] = high;
}

/** The node of an entry that the layer gave none for, if the guest knows it. */
function shownAs(overlay: Overlay, parent: OverlayNode, name: string): OverlayNode | undefined {
  switch (name) {
    case ".":
      return parent;
    case "..":
      return parent.places[0]?.parent ?? overlay.nodes.root;
    default:
      return parent.children?.get(name);
  }
}

/** Whether an entry is a whiteout, which a directory without others below it should not have, or a marker. */
function* isHidden({ layer, directory, isUpper }: PureListing, name: string, type: number): Steps<boolean> {
  if (!isUpper && name.startsWith(MARKER_PREFIX)) {
    return true;
  }
  if (type !== S_IFCHR >>> DIRENT_TYPE_SHIFT) {
    return false;
  }
  const out = attrRecord();
  const found = yield* wait(layer.lookup(directory, name, out));
  if (typeof found !== "number") {
    layer.release(found);
  }
  return typeof found === "number" || isWhiteoutDevice(out);
}

/** The node of an entry; undefined for what only a lookup can tell: a directory that has parts elsewhere. */
function* nodeOf(
  overlay: Overlay,
  listing: PureListing,
  layerNode: VfsNode,
  type: number,
  number: { readonly low: number; readonly high: number },
  links: number,
): Steps<OverlayNode | undefined> {
  const { layer, isUpper } = listing;
  const at = { layer, node: layerNode };
  const stack: Stack = isUpper
    ? { type, upper: layerNode, lowers: [] }
    : { type, upper: undefined, lowers: [at] };
  const known = overlay.nodes.known(stack);
  if (known !== undefined) {
    overlay.nodes.drop(stack);
    return known;
  }
  if (links > 1 && type !== S_IFDIR && !isUpper && overlay.upper !== undefined) {
    // Its copy may be elsewhere.
    layer.release(layerNode);
    return undefined;
  }
  const mayBeRedirected = !isUpper && type === S_IFDIR && layer !== overlay.lowers.at(-1);
  if (mayBeRedirected && (yield* mark(layer, layerNode, overlay.names.redirect)) !== undefined) {
    layer.release(layerNode);
    return undefined;
  }
  return overlay.nodes.adopt(stack, (node) => {
    node.inoLow = number.low;
    node.inoHigh = number.high;
    node.dataKnown = isUpper;
  });
}
