import { S_IFCHR, S_IFREG } from "../../src/vfs/attributes.js";
import type { Result, Status } from "../../src/vfs/errno.js";
import { type DirectoryEntry, readEntries, releaseSeen, type SeenEntry } from "./directory-entries.js";
import { attrRecord, type Layer, type LayerNode } from "./layers.js";
import { byName, type LowerNames, lowerNames, sortOut } from "./lower-names.js";
import type { OverlayNode } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { type Steps, wait } from "./steps.js";
import { isWhiteout } from "./whiteout-forms.js";

/** An entry of a merged directory, with the layer that shows it. */
export interface MergedEntry extends DirectoryEntry {
  readonly layer: Layer;
  /** Added to the high half of its inode number. */
  readonly numberHigh: number;
}

/** Nodes and attributes of entries that lower layers show, by name. */
export type SeenEntries = Map<string, SeenEntry>;

/**
 * What a directory shows: the entries of all its layers, those on top hiding those below.
 * @param seen takes nodes and attributes of what lower layers show; without, the layers are not asked for them
 */
export function* mergedEntries(
  overlay: Overlay,
  node: OverlayNode,
  seen?: SeenEntries,
): Steps<Result<MergedEntry[]>> {
  const merge: Merge = { shown: [], hidden: new Set(), seen };
  const directories: LayerNode[] = [...node.lowers];
  if (node.upper !== undefined && overlay.upper !== undefined) {
    directories.unshift({ layer: overlay.upper, node: node.upper });
  }
  for (const directory of directories) {
    const status = yield* addLayer(overlay, merge, directory);
    if (status < 0) {
      return status;
    }
  }
  return merge.shown;
}

interface Merge {
  readonly shown: MergedEntry[];
  /** Names that the layers looked at hide or show. */
  readonly hidden: Set<string>;
  readonly seen: SeenEntries | undefined;
}

function* addLayer(overlay: Overlay, merge: Merge, directory: LayerNode): Steps<Status> {
  const { layer } = directory;
  const { shown, hidden, seen } = merge;
  const here: SeenEntries | undefined = seen === undefined ? undefined : new Map();
  const names = yield* namesIn(overlay, directory, here);
  if (typeof names === "number") {
    return names;
  }
  const numberHigh = yield* overlay.numberHighOf(directory);
  for (const entry of names.entries.values()) {
    const { name, type, inoLow, inoHigh } = entry;
    if (hidden.has(name)) {
      continue;
    }
    hidden.add(name);
    if (mayBeWhiteout(directory, entry) && (yield* isHidden(overlay, directory, name))) {
      continue;
    }
    // Spreading an object takes ten times as long.
    shown.push({ name, type, inoLow, inoHigh, layer, numberHigh });
    const found = here?.get(name);
    if (found !== undefined) {
      seen?.set(name, found);
      here?.delete(name);
    }
  }
  // Markers of a layer hide what is below it, not its own entries.
  for (const name of names.hidden) {
    hidden.add(name);
  }
  releaseSeen(here ?? new Map());
  return 0;
}

/** Names in one layer: those of lower ones are read once. */
function* namesIn(
  overlay: Overlay,
  directory: LayerNode,
  seen: SeenEntries | undefined,
): Steps<Result<LowerNames>> {
  const { layer, node } = directory;
  const names = layer === overlay.upper ? undefined : yield* lowerNames(directory, seen);
  if (names !== undefined) {
    return names;
  }
  const all = yield* readEntries(layer, node);
  if (typeof all === "number") {
    return all;
  }
  return layer === overlay.upper ? { entries: byName(all), hidden: new Set() } : sortOut(all);
}

/** Whether what a layer lists may be a whiteout. */
function mayBeWhiteout({ layer, node }: LayerNode, { type }: DirectoryEntry): boolean {
  return type === S_IFCHR || type === 0 || (type === S_IFREG && layer.hasXattrWhiteouts(node));
}

/** Whether an entry of a layer is a whiteout. */
function* isHidden(overlay: Overlay, { layer, node }: LayerNode, name: string): Steps<boolean> {
  const out = attrRecord();
  const found = yield* wait(layer.lookup(node, name, out));
  if (typeof found === "number") {
    return true;
  }
  const hidden = yield* isWhiteout(overlay, layer, node, found, out);
  layer.release(found);
  return hidden;
}
