import { type Awaitable, EAGAIN, EBADF, EDEADLK, ENOLCK, type Status } from "./errno.js";
import { changeRange, type HeldLock, LOCK_END_MAX, type LockRequest, LockType } from "./lock-ranges.js";
import { LockTree } from "./lock-tree.js";
import type { Waiter, WaitGraph, WaitGroup } from "./lock-waiters.js";
import type { VfsHandle, VfsNode } from "./node.js";

/** What all locks of a share count against, so that a guest cannot fill the server's memory with them. */
export interface LockBudget {
  locks: number;
  waiters: number;
  readonly maxLocks: number;
  readonly maxWaiters: number;
}

/** The locks on one node. */
interface NodeLocks {
  /** The locks of each owner. They share no byte. */
  readonly owners: Map<string, LockTree>;
  /** The same locks of all owners, those for reading and those for writing. */
  readonly reads: LockTree;
  readonly writes: LockTree;
  /** Those who wait, first come first. */
  readonly waiters: Set<Waiter>;
}

/**
 * Locks of one kind, on all nodes. Like Linux it lets a request that conflicts with no lock pass those that
 * wait, and gives those that wait their turn in the order in which they came.
 */
export class LockSpace {
  readonly #budget: LockBudget;
  readonly #graph: WaitGraph | undefined;
  readonly #nodes = new Map<VfsNode, NodeLocks>();
  readonly #byHandle = new Map<VfsHandle, Set<HeldLock>>();
  #serial = 0;

  /**
   * @param graph for locks of fcntl(2): deadlocks are refused. Without it the locks are those of flock(2): an
   *   owner has one at most, and gives it up before it gets another.
   */
  constructor(budget: LockBudget, graph: WaitGraph | undefined) {
    this.#budget = budget;
    this.#graph = graph;
  }

  /** The lock in the request's way that begins first; for UNLOCK the owner's own first lock in the range. */
  find(request: LockRequest): HeldLock | undefined {
    const at = this.#nodes.get(request.handle.node);
    return at === undefined ? undefined : findBlocker(at, request);
  }

  /** Sets or unlocks a range. Errors: EAGAIN when somebody else's lock is in the way, ENOLCK. */
  set(request: LockRequest): Status {
    const { node } = request.handle;
    if (request.type === LockType.UNLOCK && !this.#nodes.has(node)) {
      return 0;
    }
    const at = this.#locksOf(node);
    const status = this.#isFree(at, request) ? this.#apply(at, request) : -EAGAIN;
    this.#settle(node, at);
    return status;
  }

  /**
   * The same, but waits until the range is free. Errors: EDEADLK when the holder waits for this owner, ENOLCK
   * when too many wait, or what {@link WaitGroup.cancel} says.
   * @param id what INTERRUPT would call the request
   */
  wait(request: LockRequest, group: WaitGroup, id: number | string): Awaitable<Status> {
    const { node } = request.handle;
    if (request.type === LockType.UNLOCK) {
      return this.set(request);
    }
    const at = this.#locksOf(node);
    const result = this.#isFree(at, request)
      ? this.#apply(at, request)
      : this.#enqueue(at, request, group, id);
    this.#settle(node, at);
    return result;
  }

  /** Unlocks everything an owner has on a node. */
  releaseOwner(node: VfsNode, owner: string): void {
    const at = this.#nodes.get(node);
    const locks = at?.owners.get(owner);
    if (at === undefined || locks === undefined) {
      return;
    }
    for (const lock of locks) {
      this.#drop(at, lock);
    }
    at.owners.delete(owner);
    this.#settle(node, at);
  }

  /** Unlocks what was locked through a handle. What waits through it is answered as if it came now: EBADF. */
  releaseHandle(handle: VfsHandle): void {
    const at = this.#nodes.get(handle.node);
    if (at === undefined) {
      return;
    }
    for (const waiter of at.waiters) {
      if (waiter.request.handle === handle) {
        waiter.answer(-EBADF);
      }
    }
    for (const lock of this.#byHandle.get(handle) ?? []) {
      this.#drop(at, lock);
      const locks = at.owners.get(lock.owner);
      locks?.remove(lock);
      if (locks?.isEmpty === true) {
        at.owners.delete(lock.owner);
      }
    }
    this.#settle(handle.node, at);
  }

  #locksOf(node: VfsNode): NodeLocks {
    let at = this.#nodes.get(node);
    if (at === undefined) {
      at = { owners: new Map(), reads: new LockTree(), writes: new LockTree(), waiters: new Set() };
      this.#nodes.set(node, at);
    }
    return at;
  }

  #isFree(at: NodeLocks, request: LockRequest): boolean {
    const own = this.#graph === undefined ? at.owners.get(request.owner)?.find(0n, LOCK_END_MAX) : undefined;
    if (own !== undefined && own.type !== request.type) {
      // flock(2) converts by unlocking first, and the old lock is lost even when the new one is refused.
      this.#drop(at, own);
      at.owners.delete(request.owner);
    }
    return request.type === LockType.UNLOCK || findBlocker(at, request) === undefined;
  }

  #apply(at: NodeLocks, request: LockRequest): Status {
    const locks = at.owners.get(request.owner) ?? new LockTree();
    const touching = locks.within(request.start - 1n, request.end + 1n);
    const { removed, added } = changeRange(touching, request, this.#serial++);
    const more = added.length - removed.length;
    if (more > 0 && this.#budget.locks + more > this.#budget.maxLocks) {
      return -ENOLCK;
    }
    for (const lock of removed) {
      locks.remove(lock);
      this.#drop(at, lock);
    }
    for (const lock of added) {
      locks.add(lock);
      this.#add(at, lock);
    }
    if (locks.isEmpty) {
      at.owners.delete(request.owner);
    } else {
      at.owners.set(request.owner, locks);
    }
    return 0;
  }

  #add(at: NodeLocks, lock: HeldLock): void {
    this.#budget.locks++;
    treeOf(at, lock).add(lock);
    const locks = this.#byHandle.get(lock.handle);
    if (locks === undefined) {
      this.#byHandle.set(lock.handle, new Set([lock]));
    } else {
      locks.add(lock);
    }
  }

  /** Leaves the owner's tree to the caller. */
  #drop(at: NodeLocks, lock: HeldLock): void {
    this.#budget.locks--;
    lock.held = false;
    treeOf(at, lock).remove(lock);
    const locks = this.#byHandle.get(lock.handle);
    locks?.delete(lock);
    if (locks?.size === 0) {
      this.#byHandle.delete(lock.handle);
    }
  }

  #enqueue(at: NodeLocks, request: LockRequest, group: WaitGroup, id: number | string): Awaitable<Status> {
    const blocker = findBlocker(at, request) as HeldLock;
    const budget = this.#budget;
    if (this.#graph?.waitsFor(blocker.owner, request.owner)) {
      return -EDEADLK;
    }
    if (budget.waiters >= budget.maxWaiters || group.waiters.size >= group.limit) {
      return -ENOLCK;
    }
    budget.waiters++;
    return new Promise((resolve) => {
      const waiter: Waiter = {
        request,
        group,
        id,
        blocker,
        answer: (status) => {
          budget.waiters--;
          at.waiters.delete(waiter);
          group.waiters.delete(waiter);
          this.#graph?.remove(waiter);
          this.#forgetIfEmpty(request.handle.node, at);
          resolve(status);
        },
      };
      at.waiters.add(waiter);
      group.waiters.add(waiter);
      this.#graph?.add(waiter);
    });
  }

  /** Gives those who wait their turn after something changed. */
  #settle(node: VfsNode, at: NodeLocks): void {
    let granted = at.waiters.size > 0;
    // Who gets a lock may give up a part of what it had, and so make room for those before it.
    while (granted) {
      granted = false;
      for (const waiter of at.waiters) {
        granted = (!waiter.blocker.held && this.#retry(at, waiter)) || granted;
      }
    }
    this.#forgetIfEmpty(node, at);
  }

  /** Tries a request that has waited. True when it got its lock. */
  #retry(at: NodeLocks, waiter: Waiter): boolean {
    const { request } = waiter;
    const blocker = findBlocker(at, request);
    if (blocker === undefined) {
      const status = this.#apply(at, request);
      waiter.answer(status);
      return status === 0;
    }
    waiter.blocker = blocker;
    // The new holder may have been waiting for this owner all along.
    if (this.#graph?.waitsFor(blocker.owner, request.owner)) {
      waiter.answer(-EDEADLK);
    }
    return false;
  }

  #forgetIfEmpty(node: VfsNode, at: NodeLocks): void {
    if (at.owners.size === 0 && at.waiters.size === 0 && this.#nodes.get(node) === at) {
      this.#nodes.delete(node);
    }
  }
}

function treeOf(at: NodeLocks, lock: HeldLock): LockTree {
  return lock.type === LockType.READ ? at.reads : at.writes;
}

function findBlocker(at: NodeLocks, { owner, type, start, end }: LockRequest): HeldLock | undefined {
  if (type === LockType.UNLOCK) {
    return at.owners.get(owner)?.find(start, end);
  }
  const write = at.writes.find(start, end, owner);
  const read = type === LockType.WRITE ? at.reads.find(start, end, owner) : undefined;
  return write === undefined || (read !== undefined && read.start < write.start) ? read : write;
}
