import { type Awaitable, EAGAIN, EBADF, EDEADLK, ENOLCK, type Status } from "./errno.js";
import {
  changeRange,
  firstConflict,
  firstEndingFrom,
  type HeldLock,
  type LockRequest,
  LockType,
} from "./lock-ranges.js";
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
  /** The locks of each owner, sorted; owners in the order in which they came, as Linux searches them. */
  readonly owners: Map<string, HeldLock[]>;
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

  /**
   * @param graph for locks of fcntl(2): deadlocks are refused. Without it the locks are those of flock(2): an
   *   owner has one at most, and gives it up before it gets another.
   */
  constructor(budget: LockBudget, graph: WaitGraph | undefined) {
    this.#budget = budget;
    this.#graph = graph;
  }

  /** The first lock that is in the request's way; for UNLOCK the owner's own first lock in the range. */
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
      this.#drop(lock);
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
    const owners = new Set<string>();
    for (const lock of this.#byHandle.get(handle) ?? []) {
      this.#drop(lock);
      owners.add(lock.owner);
    }
    for (const owner of owners) {
      const left = (at.owners.get(owner) ?? []).filter((lock) => lock.held);
      if (left.length > 0) {
        at.owners.set(owner, left);
      } else {
        at.owners.delete(owner);
      }
    }
    this.#settle(handle.node, at);
  }

  #locksOf(node: VfsNode): NodeLocks {
    let at = this.#nodes.get(node);
    if (at === undefined) {
      at = { owners: new Map(), waiters: new Set() };
      this.#nodes.set(node, at);
    }
    return at;
  }

  #isFree(at: NodeLocks, request: LockRequest): boolean {
    const own = at.owners.get(request.owner)?.[0];
    if (this.#graph === undefined && own !== undefined && own.type !== request.type) {
      // flock(2) converts by unlocking first, and the old lock is lost even when the new one is refused.
      this.#drop(own);
      at.owners.delete(request.owner);
    }
    return request.type === LockType.UNLOCK || findBlocker(at, request) === undefined;
  }

  #apply(at: NodeLocks, request: LockRequest): Status {
    const locks = at.owners.get(request.owner) ?? [];
    const { from, to, pieces } = changeRange(locks, request);
    const more = pieces.length - (to - from);
    if (more > 0 && this.#budget.locks + more > this.#budget.maxLocks) {
      return -ENOLCK;
    }
    const before = locks.splice(from, to - from, ...pieces);
    for (const lock of before) {
      if (!pieces.includes(lock)) {
        this.#drop(lock);
      }
    }
    for (const lock of pieces) {
      if (!before.includes(lock)) {
        this.#add(lock);
      }
    }
    if (locks.length === 0) {
      at.owners.delete(request.owner);
    } else {
      at.owners.set(request.owner, locks);
    }
    return 0;
  }

  #add(lock: HeldLock): void {
    this.#budget.locks++;
    const locks = this.#byHandle.get(lock.handle);
    if (locks === undefined) {
      this.#byHandle.set(lock.handle, new Set([lock]));
    } else {
      locks.add(lock);
    }
  }

  #drop(lock: HeldLock): void {
    this.#budget.locks--;
    lock.held = false;
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

function findBlocker(at: NodeLocks, request: LockRequest): HeldLock | undefined {
  if (request.type === LockType.UNLOCK) {
    const own = at.owners.get(request.owner) ?? [];
    const lock = own[firstEndingFrom(own, request.start)];
    return lock !== undefined && lock.start <= request.end ? lock : undefined;
  }
  for (const [owner, locks] of at.owners) {
    const lock = owner === request.owner ? undefined : firstConflict(locks, request);
    if (lock !== undefined) {
      return lock;
    }
  }
  return undefined;
}
