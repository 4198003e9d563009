import type { VfsNode } from "../../src/vfs/node.js";
import type { UpperLayer } from "./layers.js";
import { OverlayNode, type Place, type Stack } from "./merged-node.js";

/**
 * The nodes of an overlay. A file of the upper layer, and a directory of a lower one, has one node however it is
 * reached; a node belongs to the names it was seen under, and keeps their directories.
 */
export class NodeTable {
  readonly root: OverlayNode;
  readonly #upperLayer: UpperLayer | undefined;
  readonly #byUpper = new Map<VfsNode, OverlayNode>();
  readonly #byLower = new Map<VfsNode, OverlayNode>();

  /** Nodes are between two names and must not be let go. */
  #moving = false;

  constructor(root: Stack, upper: UpperLayer | undefined) {
    this.#upperLayer = upper;
    this.root = new OverlayNode(root);
    this.root.known = true;
    this.#add(this.root);
  }

  /** The node of what was found in the layers: a known one, or a new one that `begin` completes. */
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

  /** Lets go of what was found in the layers, as far as no node has it. */
  drop({ upper, lowers }: Stack): void {
    if (upper !== undefined) {
      this.#upperLayer?.drop(upper);
    }
    for (const { layer, node } of lowers) {
      layer.drop(node);
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

  /** The node was copied up to `upper`, which belongs to it from now on. */
  copiedUp(node: OverlayNode, upper: VfsNode): void {
    node.upper = upper;
    this.#upperLayer?.retain(upper);
    this.#byUpper.set(upper, node);
    if (!node.isDirectory) {
      this.#dropLowers(node);
    }
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
    if (upper !== undefined) {
      return this.#byUpper.get(upper);
    }
    const [top] = lowers;
    return top === undefined ? undefined : this.#byLower.get(top.node);
  }

  #add(node: OverlayNode): void {
    const { upper, lowers } = node;
    if (upper !== undefined) {
      this.#upperLayer?.retain(upper);
      this.#byUpper.set(upper, node);
    }
    for (const { layer, node: lower } of lowers) {
      layer.retain(lower);
    }
    const [top] = lowers;
    if (top !== undefined && upper === undefined && !node.isAlias) {
      this.#byLower.set(top.node, node);
    }
  }

  #dropLowers(node: OverlayNode): void {
    const [top] = node.lowers;
    if (top !== undefined && this.#byLower.get(top.node) === node) {
      this.#byLower.delete(top.node);
    }
    for (const { layer, node: lower } of node.lowers) {
      layer.release(lower);
    }
    node.lowers = [];
  }

  /** Lets go of a node that neither the guest nor a name below it needs. */
  #release(node: OverlayNode): void {
    if (
      this.#moving ||
      node.known ||
      node === this.root ||
      (node.children !== undefined && node.children.size > 0)
    ) {
      return;
    }
    if (node.upper !== undefined && this.#byUpper.get(node.upper) === node) {
      this.#byUpper.delete(node.upper);
      this.#upperLayer?.release(node.upper);
    }
    this.#dropLowers(node);
    for (const { parent, name } of node.places.splice(0)) {
      parent.children?.delete(name);
      this.#release(parent);
    }
  }
}
