import type { VfsHandle } from "./node.js";

/** Types of locks and lock requests; the numbers are F_RDLCK, F_WRLCK and F_UNLCK of fcntl(2). */
export const LockType = { READ: 0, WRITE: 1, UNLOCK: 2 } as const;

/** The last byte a lock can cover: OFFSET_MAX of Linux, 2^63 - 1. A lock "to the end" ends here. */
export const LOCK_END_MAX = (1n << 63n) - 1n;

/** A range of bytes, both ends included, and what is or shall be on it. */
export interface LockRange {
  /** One of {@link LockType}. */
  readonly type: number;
  readonly start: bigint;
  readonly end: bigint;
  /** Process of the holder as the guest numbers it: what F_GETLK shows. */
  readonly pid: number;
}

/** Who wants a range. Two requests of one `owner` never conflict, whatever handle they come through. */
export interface LockRequest extends LockRange {
  readonly handle: VfsHandle;
  /** Unique among all sessions of a share. */
  readonly owner: string;
}

/** A lock that somebody holds. It is never changed, only replaced. */
export interface HeldLock extends LockRequest {
  /** Orders locks that begin at the same byte. */
  readonly serial: number;
  /** False once it was released or replaced: those who wait for it have to look again. */
  held: boolean;
}

/** How the locks of one owner change: `added` take the place of `removed`. */
export interface RangeChange {
  readonly removed: readonly HeldLock[];
  readonly added: readonly HeldLock[];
}

/**
 * What fcntl(2) makes of an owner's locks when it sets or unlocks a range: what was there is replaced, cut
 * or split, and neighbours of the same type become one lock.
 * @param touching the owner's locks in the range and beside it
 * @param serial of the new lock
 */
export function changeRange(touching: readonly HeldLock[], wanted: LockRequest, serial: number): RangeChange {
  const { type } = wanted;
  let { start, end } = wanted;
  const removed: HeldLock[] = [];
  const added: HeldLock[] = [];
  for (const lock of touching) {
    if (lock.type === type) {
      start = lock.start < start ? lock.start : start;
      end = lock.end > end ? lock.end : end;
    } else if (lock.end < wanted.start || lock.start > wanted.end) {
      continue;
    } else {
      if (lock.start < wanted.start) {
        added.push({ ...lock, end: wanted.start - 1n });
      }
      if (lock.end > wanted.end) {
        added.push({ ...lock, start: wanted.end + 1n });
      }
    }
    removed.push(lock);
  }
  if (type !== LockType.UNLOCK) {
    added.push({ ...wanted, start, end, serial, held: true });
  }
  return { removed, added };
}
