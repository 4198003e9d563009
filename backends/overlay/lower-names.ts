import type { VfsNode } from "../../src/vfs/node.js";
import { type DirectoryEntry, readEntries, type SeenEntry } from "./directory-entries.js";
import type { LayerNode } from "./layers.js";
import type { Steps } from "./steps.js";

/** Names that stand for deleted ones in layers as archives have them. */
export const MARKER_PREFIX = ".wh.";
/** Larger directories are asked for one name at a time. */
const MOST_NAMES = 20_000;

/** What a directory of a lower layer holds, which never changes. */
export interface LowerNames {
  readonly entries: ReadonlyMap<string, DirectoryEntry>;
  /** Names that it hides by markers, for the layers below. */
  readonly hidden: ReadonlySet<string>;
}

/** What was read, for as long as the directory's node lives; undefined: the directory is too large. */
const known = new WeakMap<VfsNode, LowerNames | undefined>();

/** The names in a directory of a lower layer if they were read before. */
export function knownNames({ node }: LayerNode): LowerNames | undefined {
  return known.get(node);
}

/**
 * The names in a directory of a lower layer; undefined where there are too many, or it cannot be read.
 * @param seen takes nodes and attributes of the entries
 */
export function* lowerNames(
  { layer, node }: LayerNode,
  seen?: Map<string, SeenEntry>,
): Steps<LowerNames | undefined> {
  const before = known.get(node);
  if (known.has(node) && (seen === undefined || before === undefined)) {
    return before;
  }
  const all = yield* readEntries(layer, node, MOST_NAMES, seen);
  const names = typeof all === "number" || all.length > MOST_NAMES ? undefined : sortOut(all);
  known.set(node, names);
  return names;
}

export function byName(all: readonly DirectoryEntry[]): ReadonlyMap<string, DirectoryEntry> {
  return new Map(all.map((entry) => [entry.name, entry]));
}

/** Tells entries and markers apart. */
export function sortOut(all: readonly DirectoryEntry[]): LowerNames {
  const entries = new Map<string, DirectoryEntry>();
  const hidden = new Set<string>();
  for (const entry of all) {
    if (entry.name.startsWith(MARKER_PREFIX)) {
      hidden.add(entry.name.slice(MARKER_PREFIX.length));
    } else {
      entries.set(entry.name, entry);
    }
  }
  return { entries, hidden };
}
