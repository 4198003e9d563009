import type { Lane } from "../native/lane.js";
import { EAGAIN, EINTR, EIO } from "../vfs/errno.js";
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
   * Answers what came from a queue that stops. A stopped queue must have nothing in flight, and a lock may
   * be held for ever. Why EAGAIN:
   * - A guest that reboots or gives up the device no longer reads the answer.
   * - A guest that is only paused (QEMU stops the rings and starts them again) goes on, and the program
   *   finds that fcntl or flock failed. EINTR would be wrong: Linux makes -ERESTARTSYS of it, which, as no
   *   signal is pending, ends up in the program as error 512. EAGAIN is what "somebody else has it" is
   *   called; programs that know it try again.
   * - Migration would have to carry the requests over: the waiters with the heads of their chains, to be
   *   queued again at the destination. Until there is migration nothing can go on elsewhere.
   */
  cancelWaiting(queue: number): void {
    this.#groups[queue]?.cancel(-EAGAIN);
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
