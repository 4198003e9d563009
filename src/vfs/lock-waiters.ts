import type { Status } from "./errno.js";
import type { HeldLock, LockRequest } from "./lock-ranges.js";

/** A request that is held until its range is free. */
export interface Waiter {
  readonly request: LockRequest;
  readonly group: WaitGroup;
  /** The number an INTERRUPT would name. */
  readonly id: number | string;
  /** The lock it waits for: the first that was in the way when it last looked. */
  blocker: HeldLock;
  /** Takes it out of the queue and answers it. */
  answer(status: Status): void;
}

/**
 * Requests that wait and share the means of waiting, which are few: the descriptors of one virtqueue. When
 * it stops, all of them are answered.
 */
export class WaitGroup {
  readonly waiters = new Set<Waiter>();
  /** How many may wait; what comes then is refused with ENOLCK. */
  limit: number;

  constructor(limit = Number.POSITIVE_INFINITY) {
    this.limit = limit;
  }

  /** Answers those that wait, or the one that waits under `id`, with a negative errno. */
  cancel(status: Status, id?: number | string): void {
    for (const waiter of this.waiters) {
      if (id === undefined || waiter.id === id) {
        waiter.answer(status);
      }
    }
  }
}

/** Who waits for whom: the graph in which a cycle is a deadlock. */
export class WaitGraph {
  readonly #waiters = new Map<string, Set<Waiter>>();

  add(waiter: Waiter): void {
    const { owner } = waiter.request;
    const waiters = this.#waiters.get(owner);
    if (waiters === undefined) {
      this.#waiters.set(owner, new Set([waiter]));
    } else {
      waiters.add(waiter);
    }
  }

  remove(waiter: Waiter): void {
    const { owner } = waiter.request;
    const waiters = this.#waiters.get(owner);
    waiters?.delete(waiter);
    if (waiters?.size === 0) {
      this.#waiters.delete(owner);
    }
  }

  /** Whether `holder` waits, directly or through others, for `owner`: then `owner` must not wait for it. */
  waitsFor(holder: string, owner: string): boolean {
    const seen = new Set<string>([holder]);
    // A Set yields what is added while it is walked.
    for (const next of seen) {
      if (next === owner) {
        return true;
      }
      for (const waiter of this.#waiters.get(next) ?? []) {
        seen.add(waiter.blocker.owner);
      }
    }
    return false;
  }
}
