import type { VfsNode } from "./node.js";

/** The guest's number of the root directory (FUSE_ROOT_ID). */
export const ROOT_NODE_ID = 1;

/** Marks, in place of a lookup count, a node that the guest has forgotten and may still look up by its id. */
const RETAINED = -1;
/** {@link VfsNode.tableIndex} of a retained node is this minus its index: negative, as the guest does not know it. */
const RETAINED_BASE = -2;

/** Places at the end that are given back together once none of them is in use. */
const LEAST_CUT = 256;

/** The backend, as far as its nodes come and go. */
export interface NodeOwner {
  /** Whether a node that the guest forgot can be found again by its id. */
  retain(node: VfsNode): boolean;
  /** How many such nodes to keep. */
  readonly retainLimit: number;
  /** The guest and the server no longer need a node. */
  forget(node: VfsNode): void;
}

/**
 * Which nodes the guest knows, by node id, and how many references it holds.
 *
 * A node id is two 32-bit halves: a dense index (low) and the index's generation (high), so an id that
 * was forgotten never names another file. What the guest sends is only ever an index that is checked.
 * Lookup counts are kept here and nowhere else. When a node's lookup count and its pins (open handles,
 * operations that wait) are both zero, it is forgotten: it leaves the table, or is retained under its id
 * for a guest that exports the share and looks files up by id. The number of retained nodes is limited: those with
 * the highest indexes go, so that the table gets shorter again after a guest has walked through a large tree.
 */
export class InodeTable {
  readonly #nodes: (VfsNode | undefined)[] = [undefined];
  readonly #generations: number[] = [0];
  readonly #lookups: number[] = [0];
  readonly #pins: number[] = [0];
  /** Indexes to use again. Those behind the end are void; the table grows only when the list is empty. */
  #free: number[] = [];
  readonly #owner: NodeOwner;
  /** Of indexes at the end: ahead of all that were there before. */
  #firstGeneration: number;
  #closed = false;
  #size = 0;
  #retained = 0;
  /** No retained node has a higher index. */
  #highestRetained = 0;

  /**
   * @param root gets node id 1 and is never forgotten
   * @param firstGeneration of every other index, 32 bits: ids of another table, with another, are unknown to this one
   */
  constructor(root: VfsNode, owner: NodeOwner, firstGeneration = 0) {
    this.#owner = owner;
    this.#firstGeneration = firstGeneration;
    this.#nodes.push(root);
    this.#generations.push(0);
    this.#lookups.push(1);
    this.#pins.push(1);
    root.tableIndex = ROOT_NODE_ID;
    this.#size = 1;
  }

  /** Nodes that the guest knows, the root included. */
  get size(): number {
    return this.#size;
  }

  /** The node of an id, or undefined when the guest was not given it or forgot it. */
  get(low: number, high: number): VfsNode | undefined {
    const node = this.#nodes[low];
    return node !== undefined && this.#generations[low] === high && this.#lookups[low] !== RETAINED
      ? node
      : undefined;
  }

  /** The node of an id that the guest forgot, while it is retained. {@link pin} brings it back. */
  retained(low: number, high: number): VfsNode | undefined {
    const node = this.#nodes[low];
    return node !== undefined && this.#generations[low] === high && this.#lookups[low] === RETAINED
      ? node
      : undefined;
  }

  /** Generation of a node that is in the table: the high half of its id. */
  generationOf(node: VfsNode): number {
    return this.#generations[node.tableIndex] ?? 0;
  }

  /**
   * Counts one lookup, taking the node into the table when it is new.
   * @returns the low half of its id, or -1 when the table was cleared (the session has ended)
   */
  reference(node: VfsNode): number {
    if (this.#closed) {
      return -1;
    }
    let index = node.tableIndex;
    if (index < 0) {
      index = index === -1 ? this.#insert(node) : this.#bringBack(node);
    }
    this.#lookups[index] = (this.#lookups[index] as number) + 1;
    return index;
  }

  /** Takes `count` lookups back; more than there are count as all. False when the id is unknown. */
  forget(low: number, high: number, count: number): boolean {
    if (this.get(low, high) === undefined) {
      return false;
    }
    if (low !== ROOT_NODE_ID) {
      this.#lookups[low] = Math.max(0, (this.#lookups[low] as number) - count);
      this.#dropIfUnused(low);
    }
    return true;
  }

  /** Keeps a node that is in the table, whatever the guest forgets, until {@link unpin}. */
  pin(node: VfsNode): void {
    const index = node.tableIndex < -1 ? this.#bringBack(node) : node.tableIndex;
    if (index >= 0) {
      this.#pins[index] = (this.#pins[index] as number) + 1;
    }
  }

  unpin(node: VfsNode): void {
    const index = node.tableIndex;
    if (index >= 0 && this.#nodes[index] === node) {
      this.#pins[index] = (this.#pins[index] as number) - 1;
      this.#dropIfUnused(index);
    }
  }

  /** Releases all nodes but the root. The table takes no more references. */
  clear(): void {
    this.#closed = true;
    for (let index = 0; index < this.#nodes.length; index++) {
      const node = this.#nodes[index];
      if (node !== undefined) {
        this.#nodes[index] = undefined;
        node.tableIndex = -1;
        if (index !== ROOT_NODE_ID) {
          this.#owner.forget(node);
        }
      }
    }
    this.#size = 0;
    this.#retained = 0;
  }

  #insert(node: VfsNode): number {
    const reused = this.#takeFree();
    const index = reused ?? this.#nodes.length;
    if (reused === undefined) {
      this.#generations.push(this.#firstGeneration);
      this.#lookups.push(0);
      this.#pins.push(0);
      this.#nodes.push(node);
    } else {
      this.#nodes[index] = node;
    }
    node.tableIndex = index;
    this.#size++;
    return index;
  }

  /** A retained node is in use again, under its old id. */
  #bringBack(node: VfsNode): number {
    const index = RETAINED_BASE - node.tableIndex;
    node.tableIndex = index;
    this.#lookups[index] = 0;
    this.#retained--;
    this.#size++;
    return index;
  }

  #dropIfUnused(index: number): void {
    const node = this.#nodes[index];
    if (node === undefined || this.#lookups[index] !== 0 || this.#pins[index] !== 0) {
      return;
    }
    this.#size--;
    const isFull = this.#retained >= this.#owner.retainLimit;
    if ((isFull && index > this.#highestRetained) || !this.#owner.retain(node)) {
      this.#drop(node, index);
      return;
    }
    node.tableIndex = RETAINED_BASE - index;
    this.#lookups[index] = RETAINED;
    this.#retained++;
    this.#highestRetained = Math.max(this.#highestRetained, index);
    if (isFull) {
      this.#dropHighestRetained();
    }
  }

  #dropHighestRetained(): void {
    let index = this.#highestRetained;
    while (this.#lookups[index] !== RETAINED) {
      index--;
    }
    this.#highestRetained = index - 1;
    this.#retained--;
    this.#lookups[index] = 0;
    this.#drop(this.#nodes[index] as VfsNode, index);
  }

  #drop(node: VfsNode, index: number): void {
    this.#nodes[index] = undefined;
    this.#generations[index] = ((this.#generations[index] as number) + 1) >>> 0;
    this.#free.push(index);
    node.tableIndex = -1;
    this.#owner.forget(node);
    if (this.#nodes[this.#nodes.length - 1] === undefined) {
      this.#cut();
    }
  }

  #takeFree(): number | undefined {
    let index = this.#free.pop();
    while (index !== undefined && index >= this.#nodes.length) {
      index = this.#free.pop();
    }
    return index;
  }

  /** Shortens the table where its end is not in use. */
  #cut(): void {
    const before = this.#nodes.length;
    let length = before;
    while (this.#nodes[length - 1] === undefined) {
      length--;
    }
    if (before - length < LEAST_CUT) {
      return;
    }
    for (let index = length; index < before; index++) {
      const ahead = ((this.#generations[index] as number) - this.#firstGeneration) | 0;
      this.#firstGeneration = (this.#firstGeneration + Math.max(ahead, 0)) >>> 0;
    }
    for (const column of [this.#nodes, this.#generations, this.#lookups, this.#pins]) {
      column.length = length;
    }
    if (this.#free.length > 2 * length) {
      this.#free = this.#free.filter((index) => index < length);
    }
  }
}
