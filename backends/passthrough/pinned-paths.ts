import type { PassthroughNode } from "./node.js";

/** Nodes that an operation may be using right now: at most a handful are pinned by one. */
const IN_USE = 16;
/** Least limit with which operations still find room for the nodes that they use. */
const LEAST_LIMIT = 2 * IN_USE;
/** What one new descriptor may cost at most. */
const MAX_VISITS = 64;
const MAX_CLOSED = 4;

/**
 * The nodes that hold an O_PATH descriptor. Above the limit, those that were not used for long give
 * theirs up: a hand goes round, and whoever was used among the later half keeps it.
 */
export class PinnedPaths {
  readonly #limit: number;
  readonly #unpin: (node: PassthroughNode) => boolean;
  readonly #nodes: PassthroughNode[] = [];
  #hand = 0;
  #tick = 0;

  /** @param unpin closes a node's descriptor and takes it out, or returns false where it must stay open */
  constructor(limit: number, unpin: (node: PassthroughNode) => boolean) {
    this.#limit = Math.max(limit, LEAST_LIMIT);
    this.#unpin = unpin;
  }

  get size(): number {
    return this.#nodes.length;
  }

  /** The node is used now: it stays for as long as an operation lasts. */
  use(node: PassthroughNode): void {
    this.#tick = (this.#tick + 1) | 0;
    node.usedAt = this.#tick;
  }

  add(node: PassthroughNode): void {
    node.pinIndex = this.#nodes.push(node) - 1;
    this.use(node);
    if (this.#nodes.length > this.#limit) {
      this.#trim();
    }
  }

  remove(node: PassthroughNode): void {
    const last = this.#nodes.pop();
    if (last !== undefined && last !== node) {
      this.#nodes[node.pinIndex] = last;
      last.pinIndex = node.pinIndex;
    }
    node.pinIndex = -1;
  }

  #trim(): void {
    let closed = 0;
    for (let visit = 0; visit < MAX_VISITS && closed < MAX_CLOSED; visit++) {
      if (this.#nodes.length <= this.#limit) {
        return;
      }
      if (this.#hand >= this.#nodes.length) {
        this.#hand = 0;
      }
      const node = this.#nodes[this.#hand] as PassthroughNode;
      const age = (this.#tick - node.usedAt) | 0;
      const isOld = age > IN_USE && age > this.#nodes.length >> 1;
      if (isOld && this.#unpin(node)) {
        // Another node is in its place now, the youngest of all.
        closed++;
      }
      this.#hand++;
    }
  }
}
