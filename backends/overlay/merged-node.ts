import { S_IFDIR, S_IFREG } from "../../src/vfs/attributes.js";
import type { Status } from "../../src/vfs/errno.js";
import { VfsNode } from "../../src/vfs/node.js";
import type { OverlayFileHandle } from "./file-handle.js";
import type { LayerNode } from "./layers.js";

/** A name of a node in a directory. */
export interface Place {
  readonly parent: OverlayNode;
  readonly name: string;
}

/** What the layers have under one name. */
export interface Stack {
  /** S_IFMT bits. */
  readonly type: number;
  readonly upper: VfsNode | undefined;
  /** From the top: of a directory all that merge, of anything else at most one. */
  readonly lowers: readonly LayerNode[];
  /** One of several names of a lower file, each of which is a file of its own here. */
  readonly isAlias?: boolean;
}

/**
 * A file or directory as the guest sees it. It stays the same object when it is copied up, so the guest's node id
 * and page cache stay valid.
 */
export class OverlayNode extends VfsNode implements Stack {
  readonly type: number;
  upper: VfsNode | undefined;
  lowers: readonly LayerNode[];
  /** st_ino, in two halves; it never changes. */
  inoLow = 0;
  inoHigh = 0;
  /** The guest may name the node. */
  known = false;
  /** Operations that use the node and may have to wait. */
  users = 0;
  /** Where it can be found; empty once its last name is removed. */
  readonly places: Place[] = [];
  /** Nodes of this directory by name. A node is kept as long as it has any. */
  children: Map<string, OverlayNode> | undefined;
  /** How often a name of this directory was removed, or what it leads to copied up: what was listed before is old. */
  changes = 0;
  /** Open files. */
  handles: Set<OverlayFileHandle> | undefined;
  /** The copy-up that is under way. */
  copying: Promise<Status> | undefined;
  /** Whether the data of a regular file is in another layer has been looked up. */
  dataKnown = false;
  /** The file, held, that has the data of a copy of attributes only. */
  lowerData: LayerNode | undefined;
  /** chattr's immutable and append-only flags; undefined while nobody has looked. */
  protection: number | undefined;
  readonly isAlias: boolean;
  /** Names that a copy in the index shows beyond those that its upper file has. */
  extraLinks: number | undefined;
  /** It was copied up, in this life of the server or an earlier one. */
  isCopy = false;
  /** A whiteout of an overlay in the guest: a character device 0:0 to the guest, an empty file in the upper layer. */
  isGuestWhiteout = false;
  /** The upper directory may hold such whiteouts; undefined while nobody has looked. */
  holdsGuestWhiteouts: boolean | undefined;
  /** The upper directory is marked as holding copies of lower files; undefined while nobody has looked. */
  impure: boolean | undefined;

  constructor(stack: Stack) {
    super();
    this.type = stack.type;
    this.upper = stack.upper;
    this.lowers = stack.lowers;
    this.isAlias = stack.isAlias ?? false;
  }

  get isDirectory(): boolean {
    return this.type === S_IFDIR;
  }

  get isRegular(): boolean {
    return this.type === S_IFREG;
  }

  /** Several layers have a part in this directory. */
  get isMerged(): boolean {
    return this.isDirectory && this.lowers.length + (this.upper === undefined ? 0 : 1) > 1;
  }
}
