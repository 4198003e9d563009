import type { Logger } from "../../../src/vfs/logger.js";
import { isStoreError } from "../errors.js";
import type { Condition, ObjectStore, StoreFeatures } from "../store/object-store.js";
import { Backoff } from "./backoff.js";
import { Debts } from "./debts.js";
import { ANYTHING, type Expectation, type Leftover, NOTHING } from "./file-state.js";
import type { Journal } from "./journal.js";
import { KeyTree } from "./key-tree.js";
import type { LocalFile } from "./local-file.js";

/** Removals wait a little, so that one request deletes many. */
const GATHER_MS = 20;
const MAX_BATCH = 1000;
const BATCHES_AT_A_TIME = 4;
/** A LIST that began before the deletion may still show the key: it stays hidden for so long. */
const LINGER_MS = 10_000;

/** A key that is not to be seen, and whose object is to be deleted. */
interface Tombstone {
  readonly key: string;
  /** Of what is there, where that is known. */
  readonly etag: string | undefined;
  /** Resolves when the object may go. */
  readonly until: Promise<unknown> | undefined;
  deleting: Promise<void> | undefined;
  /** Nothing is left in the bucket. */
  settled: boolean;
}

/** The directories that a key is in, itself if it is a marker. */
function* prefixesOf(key: string): Generator<string> {
  for (let slash = key.indexOf("/"); slash >= 0; slash = key.indexOf("/", slash + 1)) {
    yield key.slice(0, slash + 1);
  }
}

/** Keys that were removed here and may still be in the bucket: hides them and deletes them there. */
export class Removals {
  readonly #store: ObjectStore;
  readonly #features: StoreFeatures;
  readonly #journal: Journal;
  readonly #logger: Logger | undefined;
  readonly #tombstones = new Map<string, Tombstone>();
  readonly #debts = new Debts();
  readonly #tree = new KeyTree();
  /** Prefixes of directories that were removed. */
  readonly #gone = new Set<string>();
  readonly #backoff = new Backoff();
  /** Keys to delete, in the order of their removal. */
  readonly #queue = new Set<Tombstone>();
  #timer: NodeJS.Timeout | undefined;
  readonly #batches = new Set<Promise<void>>();
  #closed = false;

  constructor(store: ObjectStore, features: StoreFeatures, journal: Journal, logger: Logger | undefined) {
    this.#store = store;
    this.#features = features;
    this.#journal = journal;
    this.#logger = logger;
  }

  /** Keys that the bucket may still have. */
  get pending(): number {
    return this.#queue.size + this.#batches.size;
  }

  has(key: string): boolean {
    return this.#tombstones.has(key) || this.#debts.has(key);
  }

  /** The directory `prefix` was removed, and there is something to hide below it. */
  isGone(prefix: string): boolean {
    return this.#gone.has(prefix);
  }

  addDirectory(prefix: string): void {
    if (this.#tree.hasBelow(prefix)) {
      this.#gone.add(prefix);
    }
  }

  /** Something is in the directory again, and in those above it. */
  reviveDirectories(key: string): void {
    for (const prefix of this.#gone.size > 0 ? prefixesOf(key) : []) {
      this.#gone.delete(prefix);
    }
  }

  /** Hides a key and deletes its object, after `until` and when no renamed file needs it. The journal knows it already. */
  add(key: string, etag: string | undefined, until?: Promise<unknown>): void {
    const paid = this.#debts.paid(key);
    const waitsFor = paid === undefined ? until : Promise.all([until, paid]);
    const tombstone = this.#put(key, etag, waitsFor);
    if (waitsFor === undefined) {
      this.#enqueue(tombstone);
    } else {
      void waitsFor.then(() => {
        if (this.#tombstones.get(key) === tombstone) {
          this.#enqueue(tombstone);
        }
      });
    }
  }

  /** Hides a key that a renamed file has left, and deletes when it does not need it any more: {@link removeLeftover}. */
  leave(key: string, debtor: LocalFile): void {
    if (!this.#debts.has(key)) {
      this.#debts.add(key, debtor);
      this.#tree.add(key);
    }
  }

  /**
   * A file takes the key. What it has to expect in the bucket: a removal that has not begun needs none any more, and
   * `forgets` is true when the journal has to be told. Where a renamed file has its object still, that goes first.
   */
  claim(key: string): { readonly expect: Expectation; readonly forgets: boolean } | undefined {
    const tombstone = this.#tombstones.get(key);
    const isOwed = this.#debts.has(key);
    if (tombstone === undefined) {
      return isOwed ? { expect: NOTHING, forgets: false } : undefined;
    }
    if (!tombstone.settled && tombstone.deleting !== undefined) {
      return { expect: NOTHING, forgets: false };
    }
    this.#queue.delete(tombstone);
    this.#drop(tombstone);
    const isFree = tombstone.settled || isOwed;
    return { expect: isFree ? NOTHING : (tombstone.etag ?? ANYTHING), forgets: !tombstone.settled };
  }

  /** The renamed file that has its object still under the key. */
  debtorOf(key: string): LocalFile | undefined {
    return this.#debts.debtorOf(key);
  }

  /** Nobody has an object under the key that would have to go before another is written there. */
  isFree(key: string): boolean {
    return !this.#debts.has(key) && this.#tombstones.get(key)?.settled !== false;
  }

  /** The file that had left the key takes it back, or has found that nothing is there. */
  release(key: string): void {
    if (this.#debts.settle(key)) {
      this.#unhide(key);
    }
  }

  /** Nothing of the file is under any key that it had left, but for these. */
  releaseAll(debtor: LocalFile, except: ReadonlySet<string> = new Set()): void {
    for (const key of this.#debts.of(debtor)) {
      if (!except.has(key)) {
        this.release(key);
      }
    }
  }

  /** An object was written under the key: nothing is to be hidden there. */
  forget(key: string): void {
    const tombstone = this.#tombstones.get(key);
    if (tombstone?.settled === true) {
      this.#drop(tombstone);
    }
  }

  /**
   * Resolves when the bucket has nothing any more of what was removed under the key, or when that failed for now: see
   * {@link isFree}. `publish` has a renamed file leave its old key.
   */
  async settled(key: string, publish: (debtor: LocalFile) => Promise<unknown>): Promise<void> {
    const debtor = this.#debts.debtorOf(key);
    if (debtor !== undefined) {
      // It may leave the key long before it is where it is going.
      await Promise.race([publish(debtor), this.#debts.paid(key)]);
    }
    const tombstone = this.#tombstones.get(key);
    if (tombstone === undefined || tombstone.settled || this.#debts.has(key)) {
      return;
    }
    await tombstone.until;
    for (this.#flush(); this.#queue.has(tombstone) && !this.#closed; this.#flush()) {
      await Promise.race(this.#batches);
    }
    await tombstone.deleting;
  }

  /** Whether the deletion of what a renamed file left under the key is on its way. */
  isBeingRemoved(key: string): boolean {
    return this.#debts.isBeingPaid(key);
  }

  /** Deletes where a renamed file was, unless somebody has written there since. */
  async removeLeftover({ key, etag }: Leftover, debtor: LocalFile): Promise<void> {
    const condition: Condition | undefined =
      etag !== undefined && this.#features.conditionalDelete ? { ifMatch: etag } : undefined;
    const paid = this.#debts.debtorOf(key) === debtor ? this.#debts.beginPaying(key) : undefined;
    try {
      await this.#store.remove(key, condition);
    } catch (err) {
      if (!isStoreError(err, "precondition", "not-found")) {
        throw err;
      }
    } finally {
      paid?.();
    }
    if (this.#debts.debtorOf(key) === debtor && this.#debts.settle(key)) {
      if (!this.#tombstones.has(key)) {
        this.#settle(this.#put(key, etag, undefined));
      }
      this.#unhide(key);
    }
  }

  /** Deletes all that may be deleted. */
  async drain(prefix: string): Promise<void> {
    const started = new Set<Promise<void>>();
    for (;;) {
      this.#flush();
      const running = [...this.#tombstones.values()]
        .filter(({ key, deleting }) => deleting !== undefined && key.startsWith(prefix))
        .map(({ deleting }) => deleting as Promise<void>)
        .filter((deleting) => !started.has(deleting));
      if (running.length === 0) {
        return;
      }
      for (const deleting of running) {
        started.add(deleting);
      }
      await Promise.all(running);
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #put(key: string, etag: string | undefined, until: Promise<unknown> | undefined): Tombstone {
    const before = this.#tombstones.get(key);
    if (before === undefined) {
      this.#tree.add(key);
    } else {
      this.#queue.delete(before);
    }
    const tombstone: Tombstone = { key, etag, until, deleting: before?.deleting, settled: false };
    this.#tombstones.set(key, tombstone);
    return tombstone;
  }

  #enqueue(tombstone: Tombstone): void {
    this.#queue.add(tombstone);
    if (this.#queue.size >= MAX_BATCH) {
      this.#flush();
    } else {
      this.#later(GATHER_MS);
    }
  }

  #later(delayMs: number): void {
    if (!this.#closed) {
      this.#timer ??= setTimeout(() => this.#flush(), delayMs);
    }
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#queue.size > 0 && this.#batches.size < BATCHES_AT_A_TIME && !this.#closed) {
      const batch: Tombstone[] = [];
      for (const tombstone of this.#queue) {
        this.#queue.delete(tombstone);
        batch.push(tombstone);
        if (batch.length === MAX_BATCH) {
          break;
        }
      }
      const deleting = this.#delete(batch).finally(() => this.#batches.delete(deleting));
      this.#batches.add(deleting);
      for (const tombstone of batch) {
        tombstone.deleting = deleting;
      }
    }
  }

  async #delete(batch: readonly Tombstone[]): Promise<void> {
    const failed = new Map<string, unknown>();
    try {
      for (const { key, error } of await this.#store.removeMany(batch.map(({ key }) => key))) {
        failed.set(key, error);
      }
    } catch (err) {
      for (const { key } of batch) {
        failed.set(key, err);
      }
    }
    const again: Tombstone[] = [];
    for (const tombstone of batch) {
      tombstone.deleting = undefined;
      const error = failed.get(tombstone.key);
      if (error !== undefined && isStoreError(error, "io")) {
        again.push(tombstone);
        continue;
      }
      if (error !== undefined) {
        this.#logger?.warn({ err: error }, `${tombstone.key} cannot be removed from the bucket`);
      }
      this.#finish(tombstone);
    }
    if (again.length > 0) {
      this.#retry(again);
    } else {
      this.#backoff.reset();
      this.#later(0);
    }
  }

  #retry(batch: readonly Tombstone[]): void {
    const delayMs = this.#backoff.next();
    setTimeout(() => {
      for (const tombstone of batch) {
        if (this.#tombstones.get(tombstone.key) === tombstone) {
          this.#queue.add(tombstone);
        }
      }
      this.#later(0);
    }, delayMs).unref();
  }

  #finish(tombstone: Tombstone): void {
    if (this.#tombstones.get(tombstone.key) === tombstone) {
      this.#journal.append({ removed: tombstone.key });
      this.#settle(tombstone);
    }
  }

  #settle(tombstone: Tombstone): void {
    tombstone.settled = true;
    setTimeout(() => {
      if (this.#tombstones.get(tombstone.key) === tombstone) {
        this.#drop(tombstone);
      }
    }, LINGER_MS).unref();
  }

  #drop({ key }: Tombstone): void {
    this.#tombstones.delete(key);
    this.#unhide(key);
  }

  #unhide(key: string): void {
    this.#tree.delete(key);
    for (const prefix of this.#gone.size > 0 ? prefixesOf(key) : []) {
      if (!this.#tree.hasBelow(prefix)) {
        this.#gone.delete(prefix);
      }
    }
  }
}
