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
  /** False once it was released or replaced: those who wait for it have to look again. */
  held: boolean;
}

/** How the locks of one owner change: `pieces` take the place of the locks [from, to). */
export interface RangeChange {
  readonly from: number;
  readonly to: number;
  readonly pieces: HeldLock[];
}

/** Whether two ranges share a byte, and not both are for reading. */
export function conflicts(one: LockRange, other: LockRange): boolean {
  const overlap = one.start <= other.end && other.start <= one.end;
  return overlap && (one.type === LockType.WRITE || other.type === LockType.WRITE);
}

/** Index of the first lock that ends at or behind `offset`; locks of one owner are sorted and disjoint. */
export function firstEndingFrom(locks: readonly HeldLock[], offset: bigint): number {
  let low = 0;
  let high = locks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((locks[middle] as HeldLock).end < offset) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/** The first of an owner's locks that stands in the way of somebody else's request. */
export function firstConflict(locks: readonly HeldLock[], wanted: LockRange): HeldLock | undefined {
  for (let index = firstEndingFrom(locks, wanted.start); index < locks.length; index++) {
    const lock = locks[index] as HeldLock;
    if (lock.start > wanted.end) {
      return undefined;
    }
    if (conflicts(lock, wanted)) {
      return lock;
    }
  }
  return undefined;
}

/**
 * What fcntl(2) makes of an owner's locks when it sets or unlocks a range: what was there is replaced, cut
 * or split, and neighbours of the same type become one lock.
 */
export function changeRange(locks: readonly HeldLock[], wanted: LockRequest): RangeChange {
  const { type } = wanted;
  let { start, end } = wanted;
  const left: HeldLock[] = [];
  const right: HeldLock[] = [];
  const from = firstEndingFrom(locks, start - 1n);
  let to = from;
  for (let lock = locks[to]; lock !== undefined && lock.start <= wanted.end + 1n; lock = locks[to]) {
    to++;
    if (lock.type === type) {
      start = lock.start < start ? lock.start : start;
      end = lock.end > end ? lock.end : end;
      continue;
    }
    if (lock.end < wanted.start) {
      left.push(lock);
    } else if (lock.start > wanted.end) {
      right.push(lock);
    } else {
      if (lock.start < wanted.start) {
        left.push({ ...lock, end: wanted.start - 1n });
      }
      if (lock.end > wanted.end) {
        right.push({ ...lock, start: wanted.end + 1n });
      }
    }
  }
  const middle = type === LockType.UNLOCK ? [] : [{ ...wanted, start, end, held: true }];
  return { from, to, pieces: [...left, ...middle, ...right] };
}
