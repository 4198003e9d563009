import type { VfsNode } from "./node.js";

/** The guest's number of the root directory (FUSE_ROOT_ID). */
export const ROOT_NODE_ID = 1;

/**
 * Which nodes the guest knows, by node id, and how many references it holds.
 *
 * A node id is two 32-bit halves: a dense index (low) and the index's generation (high), so an id that
 * was forgotten never names another file. What the guest sends is only ever an index that is checked.
 * Lookup counts are kept here and nowhere else. A node leaves the table when its lookup count and its
 * pins (open handles, operations that wait) are both zero.
 */
export class InodeTable {
  readonly #nodes: (VfsNode | undefined)[] = [undefined];
  readonly #generations: number[] = [0];
  readonly #lookups: number[] = [0];
  readonly #pins: number[] = [0];
  readonly #free: number[] = [];
  readonly #release: (node: VfsNode) => void;
  #closed = false;
  #size = 0;

  /**
   * @param root gets node id 1 and is never released
   * @param release called when the guest and the server no longer need a node
   */
  constructor(root: VfsNode, release: (node: VfsNode) => void) {
    this.#release = release;
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
    return node !== undefined && this.#generations[low] === high ? node : undefined;
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
      index = this.#insert(node);
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
    const index = node.tableIndex;
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
          this.#release(node);
        }
      }
    }
    this.#size = 0;
  }

  #insert(node: VfsNode): number {
    const reused = this.#free.pop();
    const index = reused ?? this.#nodes.length;
    if (reused === undefined) {
      this.#generations.push(0);
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

  #dropIfUnused(index: number): void {
    const node = this.#nodes[index];
    if (node === undefined || this.#lookups[index] !== 0 || this.#pins[index] !== 0) {
      return;
    }
    this.#nodes[index] = undefined;
    this.#generations[index] = ((this.#generations[index] as number) + 1) >>> 0;
    this.#free.push(index);
    this.#size--;
    node.tableIndex = -1;
    this.#release(node);
  }
}
