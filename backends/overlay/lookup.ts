import { Attr, type AttrRecord, PROTECTED, S_IFCHR, S_IFDIR, S_IFMT } from "../../src/vfs/attributes.js";
import { type Awaitable, ENOENT, ENOTDIR, ESTALE, type Result, type Status } from "../../src/vfs/errno.js";
import type { VfsNode } from "../../src/vfs/node.js";
import { hasEntry, readBelow } from "./below.js";
import { isGuestWhiteout } from "./guest-whiteouts.js";
import { readLinks, resolveLinks } from "./hard-links.js";
import { attrRecord, type Layer, type LayerNode, OVERLAY, releaseAll } from "./layers.js";
import { knownNames, lowerNames, MARKER_PREFIX } from "./lower-names.js";
import type { OverlayNode, Stack } from "./merged-node.js";
import { mayHoldCopies, numberFor } from "./origin.js";
import type { Overlay } from "./overlay.js";
import { andThen, run, type Steps, wait } from "./steps.js";
import { isWhiteout } from "./whiteout-forms.js";

/** A name that a layer hides. */
export const HIDDEN = "hidden";

/** Finds a name in one layer; the node is held. Errors, and {@link HIDDEN} for a whiteout. */
export function* findIn(
  overlay: Overlay,
  at: LayerNode,
  name: string,
  out: AttrRecord,
  isLast: boolean,
): Steps<Result<VfsNode> | typeof HIDDEN> {
  const { layer, node: directory } = at;
  const isLower = layer !== overlay.upper;
  if (isLower) {
    const names = knownNames(at);
    if (name.startsWith(MARKER_PREFIX) || names?.entries.has(name) === false) {
      return names?.hidden.has(name) ? HIDDEN : -ENOENT;
    }
  }
  const found = yield* wait(layer.lookup(directory, name, out));
  if (found === -ENOENT && isLower && !isLast) {
    return yield* findMarker(at, name);
  }
  if (typeof found === "number") {
    return found;
  }
  if (yield* isWhiteout(overlay, layer, directory, found, out)) {
    layer.release(found);
    return HIDDEN;
  }
  return found;
}

/** Looks for a marker; having read all names of the directory, nobody need ask it for absent ones again. */
function* findMarker(at: LayerNode, name: string): Steps<typeof HIDDEN | number> {
  const names = yield* lowerNames(at);
  if (names !== undefined) {
    return names.hidden.has(name) ? HIDDEN : -ENOENT;
  }
  return yield* hasEntry(at, MARKER_PREFIX + name, HIDDEN);
}

/** Where the lower parts of a name are looked for: in directories of layers, from the top. */
export interface Search {
  readonly directories: readonly LayerNode[];
  readonly name: string;
  /** The directories were found for this search and are released after it. */
  readonly isHeld?: boolean;
}

/** Follows the mark of what was renamed. */
export function* follow(
  overlay: Overlay,
  search: Search,
  at: LayerNode,
  path: string,
): Steps<Result<Search>> {
  if (!path.startsWith("/")) {
    return { directories: search.directories, name: path };
  }
  const components = path.split("/").filter((part) => part !== "");
  const name = components.pop() ?? "";
  const below = overlay.lowers.slice(overlay.lowers.indexOf(at.layer) + 1);
  const directories: LayerNode[] = [];
  for (const layer of below) {
    const directory = yield* descend(overlay, layer, components);
    if (typeof directory === "number" && directory !== -ENOENT) {
      releaseAll(directories);
      return directory;
    }
    if (typeof directory !== "number") {
      directories.push({ layer, node: directory });
    }
  }
  return { directories, name, isHeld: true };
}

/** The directory of a layer at a path from its root, held. */
function* descend(overlay: Overlay, layer: Layer, components: readonly string[]): Steps<Result<VfsNode>> {
  const out = attrRecord();
  let node = layer.root;
  layer.retain(node);
  for (const name of components) {
    const next = yield* findIn(overlay, { layer, node }, name, out, true);
    layer.release(node);
    if (typeof next === "number") {
      return next;
    }
    if (next === HIDDEN) {
      return -ENOENT;
    }
    if (((out[Attr.MODE] as number) & S_IFMT) !== S_IFDIR) {
      layer.release(next);
      return -ENOENT;
    }
    node = next;
  }
  return node;
}

/** What was found so far under a name, and where to look on. */
class Finding implements Stack {
  type = 0;
  upper: VfsNode | undefined;
  readonly lowers: LayerNode[] = [];
  search: Search;
  readonly #held: LayerNode[] = [];

  constructor(search: Search) {
    this.search = search;
  }

  /** Goes on elsewhere. */
  follow(search: Search): void {
    if (search.isHeld) {
      this.#held.push(...search.directories);
    }
    this.search = search;
  }

  /** The search has come to its end. */
  end(): void {
    releaseAll(this.#held);
  }

  /** Takes in what a layer has. False when it goes no further: what lies below is hidden. */
  add(at: LayerNode, out: AttrRecord, isUpper: boolean): boolean {
    const type = (out[Attr.MODE] as number) & S_IFMT;
    if (this.type !== 0 && type !== S_IFDIR) {
      at.layer.release(at.node);
      return false;
    }
    this.type = type;
    if (isUpper) {
      this.upper = at.node;
    } else {
      this.lowers.push(at);
    }
    return type === S_IFDIR;
  }
}

/** What the layers have under a name, held; `out` has the attributes of the topmost. */
export function* findStack(
  overlay: Overlay,
  parent: OverlayNode,
  name: string,
  out: AttrRecord,
): Steps<Result<Stack>> {
  const finding = new Finding({ directories: parent.lowers, name });
  // Not every backend writes it.
  out[Attr.INODE_FLAGS] = 0;
  let status: number = 0;
  if (parent.upper !== undefined && overlay.upper !== undefined) {
    const directory = { layer: overlay.upper, node: parent.upper };
    const mayRedirect = parent.lowers.length === 0 && (yield* mayHoldCopies(overlay, overlay.upper, parent));
    status = yield* lookInto(overlay, finding, directory, out, mayRedirect);
  }
  while (status >= 0 && finding.search.directories.length > 0) {
    const [directory, ...below] = finding.search.directories as [LayerNode, ...LayerNode[]];
    finding.search = { directories: below, name: finding.search.name };
    status = yield* lookInto(overlay, finding, directory, out, directory.layer !== overlay.lowers.at(-1));
  }
  finding.end();
  if (status < 0) {
    overlay.nodes.drop(finding);
    return status;
  }
  return finding.type === 0 ? -ENOENT : finding;
}

const NOWHERE: readonly LayerNode[] = [];

/**
 * Looks into one directory of a layer, and finds out where to go on.
 * @param mayRedirect a directory in it may say that other layers have more of it, though they have none of this one
 */
function* lookInto(
  overlay: Overlay,
  finding: Finding,
  directory: LayerNode,
  out: AttrRecord,
  mayRedirect: boolean,
): Steps<Status> {
  const { search } = finding;
  const isLast = search.directories.length === 0;
  const attr = finding.type === 0 ? out : attrRecord();
  const found = yield* findIn(overlay, directory, search.name, attr, isLast);
  if (typeof found === "number") {
    return found === -ENOENT ? 0 : found;
  }
  const at = found === HIDDEN ? undefined : { layer: directory.layer, node: found };
  if (at === undefined || !finding.add(at, attr, directory.layer === overlay.upper)) {
    finding.search = { directories: NOWHERE, name: search.name };
    return 0;
  }
  if (isLast && !mayRedirect) {
    return 0;
  }
  const below = yield* readBelow(overlay, at);
  if (typeof below === "number") {
    return below;
  }
  if (below.isHidden) {
    finding.search = { directories: NOWHERE, name: search.name };
  } else if (below.redirect !== undefined) {
    const next = yield* follow(overlay, search, at, below.redirect);
    if (typeof next === "number") {
      return next;
    }
    finding.follow(next);
  }
  return 0;
}

/**
 * Finds `name` in a directory and gives it its node.
 * @param isGiven the guest gets the node: it is kept from the moment it is found
 */
export function lookup(
  overlay: Overlay,
  parent: OverlayNode,
  name: string,
  out: AttrRecord,
  isGiven = false,
): Awaitable<Result<OverlayNode>> {
  if (!parent.isDirectory) {
    return -ENOTDIR;
  }
  const child = parent.children?.get(name);
  if (child === undefined) {
    return run(find(overlay, parent, name, out, isGiven));
  }
  const { layer, node } = overlay.real(child);
  return andThen(layer.backend.getattr(OVERLAY, node, undefined, out), (status) => {
    if (parent.children?.get(name) !== child) {
      return lookup(overlay, parent, name, out, isGiven);
    }
    if (status === -ENOENT || status === -ESTALE) {
      // Somebody else changed the layer.
      overlay.nodes.unplace(parent, name);
      return run(find(overlay, parent, name, out, isGiven));
    }
    if (status < 0) {
      return status;
    }
    child.known ||= isGiven;
    overlay.present(child, out);
    return child;
  });
}

function* find(
  overlay: Overlay,
  parent: OverlayNode,
  name: string,
  out: AttrRecord,
  isGiven: boolean,
): Steps<Result<OverlayNode>> {
  const found = yield* findStack(overlay, parent, name, out);
  const stack = typeof found === "number" ? found : yield* resolveLinks(overlay, found, out);
  if (typeof stack === "number") {
    if (typeof found !== "number") {
      overlay.nodes.drop(found);
    }
    return stack;
  }
  const known = overlay.nodes.known(stack);
  if (known !== undefined) {
    overlay.nodes.drop(stack);
  }
  const node = known ?? (yield* newNode(overlay, parent, stack, found !== stack, out));
  node.known ||= isGiven;
  overlay.nodes.place(node, parent, name);
  overlay.present(node, out);
  return node;
}

/** The node of what nobody asked for before; whatever has to be read for it is read first. */
function* newNode(
  overlay: Overlay,
  parent: OverlayNode,
  stack: Stack,
  byIndex: boolean,
  out: AttrRecord,
): Steps<OverlayNode> {
  const isCopy = yield* numberFor(overlay, parent, stack, out);
  // Copies are in directories that are marked for it, or that merge.
  const dataKnown =
    stack.upper !== undefined && !byIndex && parent.impure === false && parent.lowers.length === 0;
  const isWhiteoutOfGuest = yield* isGuestWhiteout(overlay, parent, stack, out);
  const links = isCopy ? yield* readLinks(overlay, stack, byIndex, out) : undefined;
  return overlay.nodes.adopt(isWhiteoutOfGuest ? { ...stack, type: S_IFCHR } : stack, (node) => {
    node.inoLow = out[Attr.INO] as number;
    node.inoHigh = out[Attr.INO + 1] as number;
    node.isGuestWhiteout = isWhiteoutOfGuest;
    node.isCopy = isCopy;
    node.dataKnown = dataKnown;
    node.extraLinks = links;
    node.protection = stack.upper === undefined ? (out[Attr.INODE_FLAGS] as number) & PROTECTED : undefined;
  });
}

/** The node of what was found; `out` has its attributes, with the inode number that the guest sees. */
export function adopt(overlay: Overlay, stack: Stack, out: AttrRecord): OverlayNode {
  return overlay.nodes.adopt(stack, (node) => {
    node.inoLow = out[Attr.INO] as number;
    node.inoHigh = out[Attr.INO + 1] as number;
  });
}

/** Whether a layer below the upper one shows a name that the upper one would have to hide. */
export function* lowerShows(overlay: Overlay, parent: OverlayNode, name: string): Steps<number | boolean> {
  const out = attrRecord();
  for (const [i, directory] of parent.lowers.entries()) {
    const isLast = i + 1 === parent.lowers.length;
    const found = yield* findIn(overlay, directory, name, out, isLast);
    if (found === HIDDEN) {
      return false;
    }
    if (typeof found !== "number") {
      directory.layer.release(found);
      return true;
    }
    if (found !== -ENOENT) {
      return found;
    }
  }
  return false;
}
