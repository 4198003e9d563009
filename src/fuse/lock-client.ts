import type { Lane } from "../native/lane.js";
import { EINTR, EIO } from "../vfs/errno.js";
import type { LockTable } from "../vfs/lock-table.js";
import { WaitGroup } from "../vfs/lock-waiters.js";
import type { VfsHandle } from "../vfs/node.js";

/** One session's part of the share's lock table: its owners, and its requests that wait. */
export class LockClient {
  readonly table: LockTable;
  readonly #lane: Lane;
  /** By the queue that the request came from. */
  readonly #groups: WaitGroup[] = [];
  #session: number;

  constructor(table: LockTable, lane: Lane) {
    this.table = table;
    this.#lane = lane;
    this.#session = table.nextSession();
  }

  /** The table's name for a lock owner, which the guest gives as two halves. */
  owner(low: number, high: number): string {
    return `${this.#session}:${high}:${low}`;
  }

  /** What waits and came from `queue`. */
  group(queue: number): WaitGroup {
    let group = this.#groups[queue];
    if (group === undefined) {
      group = new WaitGroup();
      this.#groups[queue] = group;
    }
    group.limit = this.#lane.holdLimit(queue);
    return group;
  }

  /**
   * Unlocks what was locked through a handle that is released. It is how locks of F_OFD_SETLK end: for them
   * the guest sends nothing else. Those of processes have ended with their FLUSH.
   */
  releaseHandle(handle: VfsHandle): void {
    this.table.releaseHandle(handle);
  }

  /**
   * How many requests of a queue wait. They outlast a stop of the queue: a guest that is paused and resumed finds
   * them waiting. To a guest that gives up the device or reboots they mean nothing, and INIT ends them.
   */
  waiting(queue: number): number {
    return this.#groups[queue]?.waiters.size ?? 0;
  }

  /** A signal has come for the process whose request has this number. */
  interrupt(unique: number): void {
    for (const group of this.#groups) {
      group?.cancel(-EINTR, unique);
    }
  }

  /** The session is over: nothing waits any more, and lock owners that come are others. */
  reset(): void {
    for (const group of this.#groups) {
      group?.cancel(-EIO);
    }
    this.#session = this.table.nextSession();
  }
}
