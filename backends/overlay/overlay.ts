import type { AttrRecord } from "../../src/vfs/attributes.js";
import { Attr, S_IFMT } from "../../src/vfs/attributes.js";
import type { VfsNode } from "../../src/vfs/node.js";
import { InodeNumbers } from "./inode-numbers.js";
import { attrRecord, type Layer, type LayerNode, OVERLAY, type UpperLayer } from "./layers.js";
import type { OverlayNode } from "./merged-node.js";
import type { NodeTable } from "./node-table.js";
import { type Steps, wait } from "./steps.js";
import type { XattrNames } from "./xattr-names.js";

/** What a user chooses about an overlay. */
export interface OverlaySettings {
  /** Directories of lower layers can be renamed: the upper one says where the rest is. Off: EXDEV. */
  readonly redirectDir: boolean;
  /** Changes of attributes alone leave the data of a file in its lower layer. */
  readonly metacopy: boolean;
  /** Nothing is synchronised to disk. */
  readonly isVolatile: boolean;
}

/** A layer and the node that has the attributes and data of a file. */
export interface Real {
  readonly layer: Layer;
  readonly node: VfsNode;
}

/** An overlay that is running: its layers and nodes. */
export class Overlay {
  readonly upper: UpperLayer | undefined;
  /** From the top. */
  readonly lowers: readonly Layer[];
  readonly names: XattrNames;
  readonly settings: OverlaySettings;
  readonly nodes: NodeTable;
  readonly #inodeNumbers = new InodeNumbers();

  constructor(
    upper: UpperLayer | undefined,
    lowers: readonly Layer[],
    names: XattrNames,
    settings: OverlaySettings,
    nodes: NodeTable,
  ) {
    this.upper = upper;
    this.lowers = lowers;
    this.names = names;
    this.settings = settings;
    this.nodes = nodes;
  }

  /** Where a node's attributes and data are. */
  real(node: OverlayNode): Real {
    if (node.upper !== undefined && this.upper !== undefined) {
      return { layer: this.upper, node: node.upper };
    }
    const [top] = node.lowers;
    if (top === undefined) {
      throw new Error("a node without layers");
    }
    return top;
  }

  /** Turns the inode number in attributes of a layer into what the guest sees. */
  mapNumber(layer: Layer, out: AttrRecord): void {
    this.#inodeNumbers.map(layer, out);
  }

  /** What is added above bit 48 of the numbers of a file system: its high half. */
  numberHigh(layer: Layer, dev: number): number {
    return this.#inodeNumbers.high(layer, dev);
  }

  /** The same, for the entries of a directory of a layer. */
  *numberHighOf({ layer, node }: LayerNode): Steps<number> {
    const attr = attrRecord();
    const status = yield* wait(layer.backend.getattr(OVERLAY, node, undefined, attr));
    return status < 0 ? 0 : this.numberHigh(layer, attr[Attr.DEV] as number);
  }

  /** Makes a layer's attributes those of the node. */
  present(node: OverlayNode, out: AttrRecord): void {
    out[Attr.INO] = node.inoLow;
    out[Attr.INO + 1] = node.inoHigh;
    if (node.isGuestWhiteout) {
      out[Attr.MODE] = ((out[Attr.MODE] as number) & ~S_IFMT) | node.type;
      out[Attr.RDEV] = 0;
    }
    if (node.extraLinks !== undefined) {
      out[Attr.NLINK] = (out[Attr.NLINK] as number) + node.extraLinks;
    }
    if (node.isMerged) {
      // Nobody counts the subdirectories of all layers; find(1) and others take 1 as "not known".
      out[Attr.NLINK] = 1;
    }
  }
}
