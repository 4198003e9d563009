import { randomUUID } from "node:crypto";
import { EIO, ESTALE, type Status } from "../../../src/vfs/errno.js";
import { KeyedLocks } from "../../../src/vfs/keyed-locks.js";
import type { Logger } from "../../../src/vfs/logger.js";
import { isStoreError, StatusError, storeStatus } from "../errors.js";
import type { PutResult } from "../store/object-store.js";
import { Backoff } from "./backoff.js";
import { type ConflictResolver, Resolution } from "./conflicts.js";
import { type Expectation, NOTHING } from "./file-state.js";
import type { Journal } from "./journal.js";
import type { LocalFile, Snapshot } from "./local-file.js";
import { ArrivedError, ConflictError, type ObjectWriter, RemovedError } from "./object-writer.js";
import { PartUpload, type UploadContext } from "./part-upload.js";
import type { Removals } from "./removals.js";
import type { SourceObject } from "./staging.js";

/** Files that are published in the background at a time; requests are bounded by themselves. */
const FILES_AT_A_TIME = 64;
/** Attempts of one publication at what changes under it: conflicts resolved, lost answers found, renames meanwhile. */
const MAX_ATTEMPTS = 8;

export interface PublisherOptions {
  readonly writer: ObjectWriter;
  readonly uploads: UploadContext;
  readonly journal: Journal;
  readonly removals: Removals;
  readonly conflicts: ConflictResolver;
  /** Prefix of keys for what has to be out of the way for a moment. */
  readonly scratch: string;
  readonly logger: Logger | undefined;
  /** Nothing is left to publish; the object is under the file's key. */
  readonly onPublished: (file: LocalFile, object: SourceObject) => void;
  /** Nothing of a removed file is left in the bucket. */
  readonly onCleared: (file: LocalFile) => void;
}

/** What the publisher knows of a file. */
interface Work {
  readonly upload: PartUpload;
  readonly backoff: Backoff;
  /** Resolves when the file is removed: nobody waits any more for a place for it. */
  readonly abandoned: Promise<void>;
  readonly abandon: () => void;
  running: Promise<Status> | undefined;
  retry: NodeJS.Timeout | undefined;
}

/** Whether there is anything to do in the bucket for a file. */
function isPending(file: LocalFile): boolean {
  return file.dirty || file.isLeaving;
}

/** The key that a file is written to next: parts that went up before a rename are worth more than the copy that follows. */
function targetOf({ state: { upload, key } }: LocalFile): string {
  return upload !== undefined && upload.parts.length > 0 ? upload.key : key;
}

/** Brings staged files into the bucket: when asked, when they are due, and again when it failed. */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #work = new Map<LocalFile, Work>();
  /** Operations on one key happen one after the other. */
  readonly #keys = new KeyedLocks<string>();
  /** Keys that something is being written to. */
  readonly #targets = new Set<string>();
  /** Files to publish, with the time from when on, in its order. */
  readonly #due = new Map<LocalFile, number>();
  #timer: NodeJS.Timeout | undefined;
  #inBackground = 0;
  #closed = false;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /** Publishes a file in the background after a while. */
  schedule(file: LocalFile, delayMs: number): void {
    if (!this.#closed) {
      this.#due.delete(file);
      this.#due.set(file, Date.now() + delayMs);
      this.#arm(delayMs);
    }
  }

  /** Whether a publication is under way. */
  isRunning(file: LocalFile): boolean {
    return this.#work.get(file)?.running !== undefined;
  }

  /** Whether a file, possibly renamed or removed since it was begun, is being written to the key. */
  isTarget(key: string): boolean {
    return this.#targets.has(key);
  }

  /** Resolves when no publication of the file is under way. */
  async idle(file: LocalFile): Promise<void> {
    await this.#work.get(file)?.running;
  }

  /** Publishes the file as it is now, or a later state. Errors stay with the file as well. */
  async publish(file: LocalFile): Promise<Status> {
    const work = this.#workOf(file);
    if (work.running !== undefined) {
      // It may have begun before the last change.
      await work.running;
    }
    if (!isPending(file) || this.#closed) {
      return isPending(file) ? -EIO : 0;
    }
    this.#due.delete(file);
    clearTimeout(work.retry);
    work.running ??= this.#run(file, work).finally(() => {
      work.running = undefined;
    });
    return work.running;
  }

  /** Sends what is complete of a growing file. */
  grown(file: LocalFile): void {
    this.#workOf(file).upload.stream();
  }

  /** The file was removed. */
  abandon(file: LocalFile): void {
    this.#work.get(file)?.abandon();
  }

  /** The file is not to be published: its upload is given up. */
  forget(file: LocalFile): void {
    // Of one that a gateway before has left, there was no work yet.
    const { retry, upload } = this.#workOf(file);
    clearTimeout(retry);
    this.#due.delete(file);
    upload.drop();
    this.#work.delete(file);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const { retry } of this.#work.values()) {
      clearTimeout(retry);
    }
  }

  /** Resolves when nothing is under way any more. */
  async quiesce(): Promise<void> {
    await Promise.all([...this.#work.values()].map(({ running }) => running));
  }

  #workOf(file: LocalFile): Work {
    let work = this.#work.get(file);
    if (work === undefined) {
      const upload = new PartUpload(this.#options.uploads, file);
      let abandon = () => {};
      const abandoned = new Promise<void>((resolve) => {
        abandon = resolve;
      });
      work = { upload, backoff: new Backoff(), abandoned, abandon, running: undefined, retry: undefined };
      this.#work.set(file, work);
    }
    return work;
  }

  #arm(delayMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#startDue();
    }, delayMs);
  }

  #startDue(): void {
    const now = Date.now();
    for (const [file, due] of this.#due) {
      if (this.#inBackground >= FILES_AT_A_TIME || this.#closed) {
        return;
      }
      if (due > now) {
        this.#arm(due - now);
        return;
      }
      this.#due.delete(file);
      this.#inBackground++;
      void this.publish(file).then(() => {
        this.#inBackground--;
        this.#startDue();
      });
    }
  }

  async #run(file: LocalFile, work: Work): Promise<Status> {
    let status: Status;
    try {
      status = await this.#publishAll(file, work);
      work.backoff.reset();
    } catch (err) {
      status = storeStatus(err);
      this.#report(file, err);
    } finally {
      file.guard.end();
      work.upload.resumeStreaming();
    }
    if (status < 0) {
      file.keepError(status);
    }
    if (file.removed && !file.isLeaving) {
      this.#options.removals.releaseAll(file);
      this.#options.onCleared(file);
    }
    if (isPending(file) && status < 0 && !this.#closed) {
      work.retry = setTimeout(() => void this.publish(file), work.backoff.next());
    }
    return status;
  }

  /** Until the bucket has, under the right key and with the right attributes, what the file was at the beginning. */
  async #publishAll(file: LocalFile, work: Work): Promise<Status> {
    let status: Status = 0;
    for (let attempt = 0; attempt < MAX_ATTEMPTS && isPending(file); attempt++) {
      const target = await this.#findPlace(file, work);
      const { source } = file.state;
      const keys = source === undefined ? [target] : [target, source.key];
      const outcome = await this.#keys.run(keys, () => this.#attempt(file, work, target));
      if (outcome === Resolution.LOST) {
        status = -ESTALE;
      } else if (outcome === Resolution.DONE && !this.#hasUnfinished(file)) {
        break;
      }
    }
    return status;
  }

  /**
   * Where the file is to be written now. What is there and is needed elsewhere leaves before; files that would wait for
   * each other, as after renames in a circle, go out of the way first.
   */
  async #findPlace(file: LocalFile, work: Work): Promise<string> {
    const { removals, scratch } = this.#options;
    const target = targetOf(file);
    const debtor = removals.debtorOf(target);
    if (debtor === file || file.removed) {
      return target;
    }
    if (debtor !== undefined && this.#leadsTo(debtor, file)) {
      if (!this.#isAside(file)) {
        return `${scratch}${randomUUID()}`;
      }
      await this.#removeLeftovers(file);
    }
    const settled = removals.settled(target, (other) => this.publish(other));
    await Promise.race([settled, work.abandoned]);
    if (!removals.isFree(target) && !file.removed) {
      throw new StatusError(-EIO);
    }
    return target;
  }

  #isAside({ state: { source } }: LocalFile): boolean {
    return source?.key.startsWith(this.#options.scratch) === true;
  }

  /** Whether a file can go where it belongs only after `other` has gone. */
  #leadsTo(file: LocalFile, other: LocalFile): boolean {
    const seen = new Set<LocalFile>();
    for (let debtor: LocalFile | undefined = file; debtor !== undefined && !seen.has(debtor); ) {
      if (debtor === other) {
        return true;
      }
      seen.add(debtor);
      debtor = this.#options.removals.debtorOf(targetOf(debtor));
    }
    return false;
  }

  /** Beyond data that was written meanwhile, which nobody waits for. */
  #hasUnfinished(file: LocalFile): boolean {
    const { source, key, leftovers, attributesChanged, removed } = file.state;
    if (removed) {
      return file.isLeaving;
    }
    return source?.key !== key || leftovers.length > 0 || (attributesChanged && !file.dataChanged);
  }

  async #attempt(file: LocalFile, work: Work, target: string): Promise<Resolution> {
    if (file.removed) {
      return this.#clear(file);
    }
    const { removals } = this.#options;
    if (!removals.isFree(target) && removals.debtorOf(target) !== file) {
      // Another file has left the place since.
      return Resolution.RETRY;
    }
    const { source, key, attributesChanged } = file.state;
    const isInPlace = !file.dataChanged && !attributesChanged && source?.key === key;
    try {
      await this.#options.writer.findStrays(file, target);
      if (!isInPlace) {
        const expect = this.#expectation(file, target);
        this.#targets.add(target);
        const { snapshot, result } = await this.#options.writer.write(file, work.upload, target, expect);
        this.#written(file, snapshot, result, target);
      }
      await this.#removeLeftovers(file);
      this.#finish(file);
      return Resolution.DONE;
    } catch (err) {
      file.guard.end();
      if (err instanceof ArrivedError) {
        return Resolution.RETRY;
      }
      if (err instanceof RemovedError) {
        return Resolution.DONE;
      }
      if (isStoreError(err, "no-upload")) {
        this.#options.journal.append({ file: file.state.id, set: { upload: null } });
        return Resolution.RETRY;
      }
      // Of a source: what was there when the file was opened is gone.
      const lostSource =
        isStoreError(err, "precondition", "not-found", "range") ||
        (err instanceof StatusError && err.status === -ESTALE);
      if (lostSource && (await this.#options.writer.recognise(file, target))) {
        return Resolution.RETRY;
      }
      if (err instanceof ConflictError || lostSource) {
        work.upload.drop();
        return this.#options.conflicts.resolve(file, target);
      }
      throw err;
    } finally {
      this.#targets.delete(target);
    }
  }

  /** What may have arrived of a removed file under names that it had before goes, too. */
  async #clear(file: LocalFile): Promise<Resolution> {
    const { journal, removals, writer } = this.#options;
    const { id } = file.state;
    for (const intent of file.strays) {
      const there = await writer.findStray(intent);
      const { key } = intent;
      journal.append(
        { file: id, set: { intents: file.state.intents.filter((other) => other !== intent) } },
        ...(there === undefined ? [] : [{ remove: key, etag: there.etag }]),
      );
      if (removals.debtorOf(key) === file) {
        removals.release(key);
      }
      if (there !== undefined) {
        removals.add(key, there.etag);
      }
    }
    return Resolution.DONE;
  }

  #expectation(file: LocalFile, target: string): Expectation {
    const { key, expect, source } = file.state;
    if (target === key) {
      return expect;
    }
    return source?.key === target ? source.etag : NOTHING;
  }

  #written(file: LocalFile, snapshot: Snapshot, { etag, versionId }: PutResult, target: string): void {
    const { state } = file;
    const { changed, limit } = file.guard.changes();
    const source: SourceObject = {
      key: target,
      etag,
      size: snapshot.size,
      ...(versionId !== undefined && { versionId }),
    };
    const isMoved = state.key !== target;
    const same = JSON.stringify(state.attributes) === JSON.stringify(snapshot.attributes);
    this.#options.journal.append({
      file: state.id,
      set: {
        source,
        sourceLimit: Math.min(source.size, limit),
        size: state.size,
        changed,
        attributesChanged: state.attributesChanged && !same,
        intents: [],
        upload: null,
        leftovers: [
          ...state.leftovers.filter(({ key }) => key !== target),
          ...(isMoved ? [{ key: target, etag }] : []),
        ],
        ...(!isMoved && { expect: etag }),
      },
    });
    file.guard.end();
    this.#options.removals.forget(target);
    if (isMoved && file.removed) {
      this.#options.journal.append({ remove: target, etag });
      this.#options.removals.add(target, etag);
    } else if (isMoved) {
      this.#options.removals.leave(target, file);
    }
  }

  /** Out of the way for a moment, a file needs none of the places that it has left. */
  async #removeLeftovers(file: LocalFile): Promise<void> {
    const { id, key, source, leftovers } = file.state;
    const { journal, removals } = this.#options;
    const isInPlace = source?.key === key;
    if (!isInPlace && !this.#isAside(file)) {
      return;
    }
    const others = leftovers.filter((leftover) => leftover.key !== source?.key);
    await Promise.all(others.map((leftover) => removals.removeLeftover(leftover, file)));
    if (leftovers.length > 0) {
      const done = isInPlace ? leftovers : others;
      const rest = file.state.leftovers.filter((leftover) => !done.includes(leftover));
      journal.append({ file: id, set: { leftovers: rest } });
    }
    if (file.state.leftovers.length === 0) {
      removals.releaseAll(file);
    }
  }

  #finish(file: LocalFile): void {
    const { source } = file.state;
    if (!file.dirty && !file.removed && source !== undefined) {
      this.#options.onPublished(file, source);
    }
  }

  #report(file: LocalFile, err: unknown): void {
    const reason = err instanceof Error ? err.message : String(err);
    this.#options.logger?.warn(
      { key: file.key },
      `${file.key} cannot be written to the bucket yet: ${reason}`,
    );
  }
}
