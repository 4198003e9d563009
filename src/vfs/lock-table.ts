import { type LockBudget, LockSpace } from "./lock-space.js";
import { WaitGraph } from "./lock-waiters.js";
import type { VfsHandle } from "./node.js";

/** Most locks, and most requests that wait for one, in a share. */
export interface LockLimits {
  readonly maxLocks: number;
  readonly maxWaiters: number;
}

/** A lock takes up to 1 KB with its owner; and half of the lane's 2,048 slots stay free for those who unlock. */
const DEFAULT_LIMITS: LockLimits = { maxLocks: 65_536, maxWaiters: 1024 };

/**
 * The file locks of a share, whatever its backend and however many sessions it has. They are locks between
 * those who use the share: processes of the host do not see them, as with other virtio-fs servers.
 */
export class LockTable {
  /** Locks of fcntl(2), F_SETLK and F_OFD_SETLK alike: ranges of bytes. */
  readonly posix: LockSpace;
  /** Locks of flock(2): one for a whole file, apart from the others. */
  readonly flock: LockSpace;
  readonly #budget: LockBudget;
  #sessions = 0;

  constructor(limits: Partial<LockLimits> = {}) {
    this.#budget = { ...DEFAULT_LIMITS, ...limits, locks: 0, waiters: 0 };
    this.posix = new LockSpace(this.#budget, new WaitGraph());
    this.flock = new LockSpace(this.#budget, undefined);
  }

  /** Locks that are held. */
  get size(): number {
    return this.#budget.locks;
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#budget.waiters;
  }

  /** A number for a new session, so that its lock owners are none of another session's. */
  nextSession(): number {
    return this.#sessions++;
  }

  /** Unlocks all that was locked through a handle. */
  releaseHandle(handle: VfsHandle): void {
    if (this.#budget.locks + this.#budget.waiters > 0) {
      this.posix.releaseHandle(handle);
      this.flock.releaseHandle(handle);
    }
  }
}
