import type { VfsNode } from "../../src/vfs/node.js";
import type { UpperLayer } from "./layers.js";
import { OverlayNode, type Place, type Stack } from "./merged-node.js";
import type { Steps } from "./steps.js";

/**
 * The nodes of an overlay. A file of the upper layer, and a directory of a lower one, has one node however it is
 * reached; a node belongs to the names it was seen under, and keeps their directories.
 */
export class NodeTable {
  readonly root: OverlayNode;
  readonly #upperLayer: UpperLayer | undefined;

  /** Nodes are between two names and must not be let go. */
  #moving = false;

  constructor(root: Stack, upper: UpperLayer | undefined) {
    this.#upperLayer = upper;
    this.root = new OverlayNode(root);
    this.root.known = true;
    this.#add(this.root);
  }

  /** The node of what was found in the layers and is held: a known one, or a new one that `begin` completes. */
  adopt(stack: Stack, begin: (node: OverlayNode) => void): OverlayNode {
    const known = this.known(stack);
    if (known !== undefined) {
      this.drop(stack);
      return known;
    }
    const node = new OverlayNode(stack);
    this.#add(node);
    begin(node);
    return node;
  }

  /** Lets go of what was found in the layers. */
  drop({ upper, lowers }: Stack): void {
    if (upper !== undefined) {
      this.#upperLayer?.release(upper);
    }
    for (const { layer, node } of lowers) {
      layer.release(node);
    }
  }

  /** The node now has a name. */
  place(node: OverlayNode, parent: OverlayNode, name: string): void {
    parent.children ??= new Map();
    const before = parent.children.get(name);
    if (before === node) {
      return;
    }
    if (before !== undefined) {
      this.unplace(parent, name);
    }
    parent.children ??= new Map();
    parent.children.set(name, node);
    node.places.push({ parent, name });
  }

  /** The name no longer leads to the node it led to. */
  unplace(parent: OverlayNode, name: string): void {
    const node = parent.children?.get(name);
    if (node === undefined) {
      return;
    }
    parent.changes++;
    parent.children?.delete(name);
    node.places.splice(
      node.places.findIndex((place) => place.parent === parent && place.name === name),
      1,
    );
    this.#release(node);
    this.#release(parent);
  }

  /** An entry moved; with `exchange` the other one moved back. */
  moved(from: Place, to: Place, exchange: boolean): void {
    const source = from.parent.children?.get(from.name);
    const target = to.parent.children?.get(to.name);
    this.#moving = true;
    this.unplace(to.parent, to.name);
    this.unplace(from.parent, from.name);
    if (source !== undefined) {
      this.place(source, to.parent, to.name);
    }
    if (exchange && target !== undefined) {
      this.place(target, from.parent, from.name);
    }
    this.#moving = false;
    for (const node of [source, target, from.parent, to.parent]) {
      if (node !== undefined) {
        this.#release(node);
      }
    }
  }

  /** The node was copied up to `upper`, which is held and belongs to it from now on. */
  copiedUp(node: OverlayNode, upper: VfsNode): void {
    node.upper = upper;
    upper.holder = node;
    for (const { parent } of node.places) {
      parent.changes++;
    }
    if (!node.isDirectory) {
      this.#dropLowers(node);
    }
  }

  /** Keeps nodes until a promise is settled. */
  keepDuring<T>(nodes: readonly OverlayNode[], result: Promise<T>): Promise<T> {
    for (const node of nodes) {
      node.users++;
    }
    return result.finally(() => {
      for (const node of nodes) {
        this.#leave(node);
      }
    });
  }

  /** Runs steps that use a node, which is kept until they end. */
  *keeping<T>(node: OverlayNode, steps: Steps<T>): Steps<T> {
    node.users++;
    try {
      return yield* steps;
    } finally {
      this.#leave(node);
    }
  }

  /** Lets go of a node that was looked at without being given to the guest. */
  forgetUnknown(node: OverlayNode): void {
    this.#release(node);
  }

  /** The guest no longer knows the node. */
  forget(node: OverlayNode): void {
    node.known = false;
    this.#release(node);
  }

  /** The node that has what was found in the layers. */
  known({ upper, lowers, isAlias = false }: Stack): OverlayNode | undefined {
    if (isAlias) {
      return undefined;
    }
    const top = upper ?? lowers[0]?.node;
    return top?.holder as OverlayNode | undefined;
  }

  #leave(node: OverlayNode): void {
    node.users--;
    this.#release(node);
  }

  #add(node: OverlayNode): void {
    const { upper, lowers } = node;
    if (upper !== undefined) {
      upper.holder = node;
    }
    const [top] = lowers;
    if (top !== undefined && upper === undefined && !node.isAlias) {
      top.node.holder = node;
    }
  }

  #dropLowers(node: OverlayNode): void {
    const [top] = node.lowers;
    if (top?.node.holder === node) {
      top.node.holder = undefined;
    }
    for (const { layer, node: lower } of node.lowers) {
      layer.release(lower);
    }
    node.lowers = [];
  }

  /** Lets go of a node that neither the guest, nor an operation, nor a name below it needs. */
  #release(node: OverlayNode): void {
    if (
      this.#moving ||
      node.known ||
      node.users > 0 ||
      node === this.root ||
      (node.children !== undefined && node.children.size > 0)
    ) {
      return;
    }
    if (node.upper !== undefined && node.upper.holder === node) {
      node.upper.holder = undefined;
      this.#upperLayer?.release(node.upper);
    }
    this.#dropLowers(node);
    node.lowerData?.layer.release(node.lowerData.node);
    node.lowerData = undefined;
    for (const { parent, name } of node.places.splice(0)) {
      parent.children?.delete(name);
      this.#release(parent);
    }
  }
}
