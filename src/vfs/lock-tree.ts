import type { HeldLock } from "./lock-ranges.js";

/** A lock with those that come before and after it, and what is true of all these. */
interface Branch {
  readonly lock: HeldLock;
  /** Highest at the root. Random ones keep the tree balanced whatever the guest locks. */
  readonly priority: number;
  left: Branch | undefined;
  right: Branch | undefined;
  /** How far any of them reaches. */
  furthestEnd: bigint;
  /** Whose all of them are, if they are one owner's. */
  soleOwner: string | undefined;
}

/** Locks in the order of their starts: a treap that finds those of a range in logarithmic time. */
export class LockTree implements Iterable<HeldLock> {
  #root: Branch | undefined;

  get isEmpty(): boolean {
    return this.#root === undefined;
  }

  add(lock: HeldLock): void {
    const branch = {
      lock,
      priority: Math.random(),
      left: undefined,
      right: undefined,
      furthestEnd: lock.end,
      soleOwner: lock.owner,
    };
    this.#root = insert(this.#root, branch);
  }

  remove(lock: HeldLock): void {
    this.#root = without(this.#root, lock);
  }

  /** The first lock that shares a byte with the range and is none of `except`'s. */
  find(start: bigint, end: bigint, except?: string): HeldLock | undefined {
    return find(this.#root, start, end, except);
  }

  /** All locks that share a byte with the range, in order. */
  within(start: bigint, end: bigint): HeldLock[] {
    const found: HeldLock[] = [];
    collect(this.#root, start, end, found);
    return found;
  }

  *[Symbol.iterator](): Iterator<HeldLock> {
    const above: Branch[] = [];
    for (let next = this.#root; next !== undefined || above.length > 0; ) {
      for (; next !== undefined; next = next.left) {
        above.push(next);
      }
      const branch = above.pop() as Branch;
      yield branch.lock;
      next = branch.right;
    }
  }
}

function isBefore(one: HeldLock, other: HeldLock): boolean {
  return one.start < other.start || (one.start === other.start && one.serial < other.serial);
}

function update(branch: Branch): Branch {
  let { end, owner }: { end: bigint; owner: string | undefined } = branch.lock;
  const { left, right } = branch;
  if (left !== undefined) {
    end = left.furthestEnd > end ? left.furthestEnd : end;
    owner = left.soleOwner === owner ? owner : undefined;
  }
  if (right !== undefined) {
    end = right.furthestEnd > end ? right.furthestEnd : end;
    owner = right.soleOwner === owner ? owner : undefined;
  }
  branch.furthestEnd = end;
  branch.soleOwner = owner;
  return branch;
}

function insert(branch: Branch | undefined, added: Branch): Branch {
  if (branch === undefined) {
    return added;
  }
  if (isBefore(added.lock, branch.lock)) {
    const left = insert(branch.left, added);
    branch.left = left;
    if (left.priority > branch.priority) {
      branch.left = left.right;
      left.right = update(branch);
      return update(left);
    }
  } else {
    const right = insert(branch.right, added);
    branch.right = right;
    if (right.priority > branch.priority) {
      branch.right = right.left;
      right.left = update(branch);
      return update(right);
    }
  }
  return update(branch);
}

/** Makes one tree of two, all of the first being before all of the second. */
function join(first: Branch | undefined, second: Branch | undefined): Branch | undefined {
  if (first === undefined || second === undefined) {
    return first ?? second;
  }
  if (first.priority > second.priority) {
    first.right = join(first.right, second);
    return update(first);
  }
  second.left = join(first, second.left);
  return update(second);
}

function without(branch: Branch | undefined, lock: HeldLock): Branch | undefined {
  if (branch === undefined) {
    return undefined;
  }
  if (branch.lock === lock) {
    return join(branch.left, branch.right);
  }
  if (isBefore(lock, branch.lock)) {
    branch.left = without(branch.left, lock);
  } else {
    branch.right = without(branch.right, lock);
  }
  return update(branch);
}

function find(
  branch: Branch | undefined,
  start: bigint,
  end: bigint,
  except: string | undefined,
): HeldLock | undefined {
  if (branch === undefined || branch.furthestEnd < start) {
    return undefined;
  }
  if (except !== undefined && branch.soleOwner === except) {
    return undefined;
  }
  const { lock } = branch;
  const earlier = find(branch.left, start, end, except);
  if (earlier !== undefined || lock.start > end) {
    return earlier;
  }
  return lock.end >= start && lock.owner !== except ? lock : find(branch.right, start, end, except);
}

function collect(branch: Branch | undefined, start: bigint, end: bigint, found: HeldLock[]): void {
  if (branch === undefined || branch.furthestEnd < start) {
    return;
  }
  const { lock } = branch;
  collect(branch.left, start, end, found);
  if (lock.start <= end) {
    if (lock.end >= start) {
      found.push(lock);
    }
    collect(branch.right, start, end, found);
  }
}
