import { mkdirSync, readdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ENOSPC, type Status } from "../../../src/vfs/errno.js";
import type { ObjectAttributes } from "../store/object-store.js";
import { Aborts } from "./aborts.js";
import { ConflictResolver } from "./conflicts.js";
import { lockDirectory } from "./directory-lock.js";
import {
  ANYTHING,
  type Expectation,
  type JournalRecord,
  type Leftover,
  NOTHING,
  objectUnder,
  replacing,
  type StatePatch,
} from "./file-state.js";
import { Journal } from "./journal.js";
import { LocalData } from "./local-data.js";
import { type FileHost, LocalFile } from "./local-file.js";
import { ObjectWriter } from "./object-writer.js";
import { Publisher } from "./publisher.js";
import { Removals } from "./removals.js";
import { StagedFiles } from "./staged-files.js";
import type {
  FsyncMode,
  Move,
  SourceObject,
  SourceReader,
  StagedChild,
  StagedFile,
  StagingArea,
  StagingEvents,
  StagingOptions,
  StagingStatus,
} from "./staging.js";
import { UploadSlots } from "./upload-slots.js";

const GIB = 2 ** 30;
const DEFAULT_STAGED_BYTES = 10 * GIB;
const DEFAULT_UPLOAD_MEMORY_BYTES = 128 * 2 ** 20;
const DEFAULT_UPLOADS = 32;
const DEFAULT_DELAY_MS = 100;
const PROGRESS_MS = 1000;
/** Files that are published at a time to make room. */
const RELIEF_FILES = 8;

function readFromStore({ store }: StagingOptions): SourceReader {
  return async ({ key, etag, versionId, size }, offset, into) => {
    const length = Math.min(into.length, size - offset);
    if (length <= 0) {
      return 0;
    }
    const options = { ifMatch: etag, ...(versionId !== undefined && { versionId }) };
    return (await store.read(key, offset, into.subarray(0, length), options)).length;
  };
}

/**
 * Opens a staging directory; what a gateway before has left is staged again, and goes on to the bucket.
 * @throws GatewayError when another gateway uses the directory, or it holds something else
 */
export function openStagingArea(options: StagingOptions, events: StagingEvents = {}): StagingArea {
  const { directory } = options;
  mkdirSync(join(directory, "data"), { recursive: true, mode: 0o700 });
  const unlock = lockDirectory(directory);
  try {
    return new LocalStagingArea(options, events, Journal.open(join(directory, "journal")), unlock);
  } catch (err) {
    unlock();
    throw err;
  }
}

/** What a rename does to the file and the journal, all at once. */
interface RenameStep {
  readonly file: LocalFile;
  readonly from: string;
  readonly to: string;
  readonly replaced: LocalFile | undefined;
  /** The bucket has, or may get, an object of the file where it was. */
  readonly leaves: boolean;
  readonly records: readonly JournalRecord[];
}

class LocalStagingArea implements StagingArea, FileHost {
  readonly journal: Journal;
  readonly fsync: FsyncMode;
  readonly readSource: SourceReader;
  readonly #options: StagingOptions;
  readonly #events: StagingEvents;
  readonly #unlock: () => void;
  readonly #maxBytes: number;
  readonly #delayMs: number;
  readonly #removals: Removals;
  readonly #aborts: Aborts;
  readonly #publisher: Publisher;
  readonly #files = new StagedFiles();
  /** Removed files that may still have something in the bucket. */
  readonly #leaving = new Set<LocalFile>();
  #nextId = 1;
  #bytes = 0;

  constructor(options: StagingOptions, events: StagingEvents, journal: Journal, unlock: () => void) {
    const { store, features, logger } = options;
    this.#options = options;
    this.#events = events;
    this.#unlock = unlock;
    this.journal = journal;
    this.fsync = options.fsync;
    this.readSource = options.readSource ?? readFromStore(options);
    this.#maxBytes = options.maxStagedBytes ?? DEFAULT_STAGED_BYTES;
    this.#delayMs = options.writeBackDelayMs ?? DEFAULT_DELAY_MS;
    this.#removals = new Removals(store, features, journal, logger);
    this.#aborts = new Aborts(store, journal);
    const slots = new UploadSlots(
      options.maxUploads ?? DEFAULT_UPLOADS,
      options.uploadMemoryBytes ?? DEFAULT_UPLOAD_MEMORY_BYTES,
    );
    this.#publisher = new Publisher({
      writer: new ObjectWriter({ store, features, journal, slots }),
      uploads: { store, journal, slots, aborts: this.#aborts },
      journal,
      removals: this.#removals,
      conflicts: new ConflictResolver({
        store,
        policy: options.onConflict,
        lostAndFound: options.lostAndFound,
        logger,
        change: (file, set) => this.#change(file, set),
        drop: (file) => this.#drop(file),
        onConflict: (file, key, lostKey) => events.conflict?.(file, key, lostKey),
      }),
      scratch: options.scratch,
      logger,
      onPublished: (file, object) => this.#published(file, object),
      onCleared: (file) => {
        if (this.#leaving.delete(file)) {
          this.#disposeWhenIdle(file);
        }
      },
    });
    this.#recover();
  }

  find(key: string): StagedFile | undefined {
    return this.#files.get(key);
  }

  isRemoved(key: string): boolean {
    return (this.#removals.has(key) || this.#publisher.isTarget(key)) && !this.#files.has(key);
  }

  isGone(prefix: string): boolean {
    return this.#removals.isGone(prefix) && !this.#files.hasBelow(prefix);
  }

  childrenOf(prefix: string): ReadonlyMap<string, StagedChild> {
    return this.#files.childrenOf(prefix);
  }

  hasBelow(prefix: string): boolean {
    return this.#files.hasBelow(prefix);
  }

  create(key: string, attributes: ObjectAttributes, replaces?: { readonly etag: string }): StagedFile {
    const before = this.#files.get(key);
    const claim = before === undefined ? this.#removals.claim(key) : undefined;
    const expect = before?.state.expect ?? claim?.expect ?? replaces?.etag ?? NOTHING;
    const id = this.#nextId++;
    this.journal.append(
      ...(claim?.forgets === true ? [{ removed: key }] : []),
      ...replacing(before?.state, true),
      {
        file: id,
        state: { key, expect, attributes, attributesChanged: true, intents: before?.state.intents ?? [] },
      },
    );
    this.#retire(before);
    const file = this.#open(id);
    this.#place(file);
    return file.retain();
  }

  edit(source: SourceObject): StagedFile {
    return (this.#files.get(source.key) ?? this.#edit(source)).retain();
  }

  rename(from: SourceObject | StagedFile, to: string, replaces?: { readonly etag: string }): Status {
    const file =
      from instanceof LocalFile ? from : (this.#files.get(from.key) ?? this.#edit(from as SourceObject));
    return file.key === to ? 0 : this.#renameAll([this.#prepareRename(file, to, replaces)]);
  }

  renameDirectory(from: string, to: string, moves: readonly Move[]): Status {
    const staged = this.#files.below(from).map((file) => ({ file, to: to + file.key.slice(from.length) }));
    const moved = moves
      .filter(({ object }) => !this.#files.has(object.key) && !this.#removals.has(object.key))
      .map(({ object, to: target }) => ({ file: this.#edit(object), to: target }));
    const all = [...staged, ...moved];
    const renamed = this.#renameAll(all.map((move) => this.#prepareRename(move.file, move.to)));
    this.#removals.addDirectory(from);
    return renamed;
  }

  remove(key: string, until?: Promise<void>): void {
    const file = this.#files.get(key);
    if (file === undefined) {
      this.journal.append({ remove: key });
      this.#removals.add(key, undefined, until);
      return;
    }
    const etag = objectUnder(file.state);
    const isThere = etag !== undefined || this.#publisher.isRunning(file) || file.state.intents.length > 0;
    this.journal.append(
      ...(isThere ? [{ remove: key, ...(etag?.etag !== undefined && { etag: etag.etag }) }] : []),
      ...replacing(file.state, false),
    );
    const busy = this.#publisher.isRunning(file) || file.references > 0;
    const released = busy
      ? Promise.all([until, this.#publisher.idle(file), this.#files.untilReleased(file)])
      : until;
    this.#retire(file);
    if (isThere) {
      this.#removals.add(
        key,
        etag?.etag,
        released?.then(() => undefined),
      );
    }
  }

  removeDirectory(prefix: string): void {
    this.remove(prefix);
    this.#removals.addDirectory(prefix);
  }

  async sync(prefix: string): Promise<Status> {
    if (this.fsync === "off") {
      return 0;
    }
    const files = this.#below(prefix);
    if (this.fsync === "local") {
      const statuses = await Promise.all(files.map((file) => file.sync()));
      return Math.min(0, ...statuses) || this.journal.sync();
    }
    await Promise.all([...this.#leaving].map((file) => file.publish()));
    const [statuses] = await Promise.all([
      Promise.all(files.map((file) => file.publish())),
      this.#removals.drain(prefix),
    ]);
    return statuses.find((status) => status < 0) ?? 0;
  }

  status(): StagingStatus {
    let bytes = 0;
    let files = 0;
    for (const file of this.#files.all()) {
      if (file.dirty) {
        files++;
        bytes += file.state.changed.bytes;
      }
    }
    return { bytes, files, removals: this.#removals.pending + this.#leaving.size };
  }

  async drain(onProgress: (left: StagingStatus) => void, signal: AbortSignal): Promise<StagingStatus> {
    const progress = setInterval(() => onProgress(this.status()), PROGRESS_MS);
    const aborted = new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    try {
      while (!signal.aborted) {
        const files = this.#files.all().filter((file) => file.dirty);
        const work = Promise.all([
          ...[...files, ...this.#leaving].map((file) => this.#publisher.publish(file)),
          this.#removals.drain(""),
          this.#aborts.drain(),
        ]);
        await Promise.race([work, aborted]);
        const { files: left, removals } = this.status();
        if (left === 0 && removals === 0) {
          break;
        }
        await Promise.race([delay(PROGRESS_MS), aborted]);
      }
    } finally {
      clearInterval(progress);
    }
    return this.status();
  }

  async close(): Promise<void> {
    this.#publisher.close();
    this.#removals.close();
    this.#aborts.close();
    await this.journal.close();
    for (const file of this.#files.all()) {
      file.data.close();
    }
    this.#unlock();
  }

  account(bytes: number): void {
    this.#bytes += bytes;
  }

  isFull(bytes: number): boolean {
    return this.#bytes > 0 && this.#bytes + bytes > this.#maxBytes;
  }

  async makeRoom(_file: LocalFile, bytes: number): Promise<Status> {
    await Promise.all(this.#files.all().map((file) => file.dropClean()));
    if (!this.isFull(bytes)) {
      return 0;
    }
    const largest = this.#files
      .all()
      .filter((file) => file.dirty && file.localBytes > 0)
      .sort((one, other) => other.localBytes - one.localBytes)
      .slice(0, RELIEF_FILES);
    const statuses = await Promise.all(largest.map((file) => this.#publisher.publish(file)));
    await Promise.all(largest.map((file) => file.dropClean()));
    return statuses.some((status) => status === 0) ? 0 : -ENOSPC;
  }

  publish(file: LocalFile): Promise<Status> {
    return this.#publisher.publish(file);
  }

  grown(file: LocalFile): void {
    this.#publisher.grown(file);
  }

  released(file: LocalFile): void {
    if (file.removed || !file.dirty) {
      this.#disposeWhenIdle(file);
    } else {
      this.#publisher.schedule(file, this.#delayMs);
    }
    this.#files.released(file);
  }

  #below(prefix: string): LocalFile[] {
    return this.#files
      .all()
      .filter(
        ({ key, state }) =>
          key.startsWith(prefix) || state.leftovers.some((leftover) => leftover.key.startsWith(prefix)),
      );
  }

  #open(id: number): LocalFile {
    const state = this.journal.image.files.get(id);
    if (state === undefined) {
      throw new Error(`no staged file ${id}`);
    }
    return new LocalFile(this, state, new LocalData(this.#dataPath(id), this.#known.has(id)));
  }

  #dataPath(id: number): string {
    return join(this.#options.directory, "data", String(id));
  }

  /** Ids with data that a gateway before has left. */
  readonly #known = new Set<number>();

  #edit(source: SourceObject): LocalFile {
    const id = this.#nextId++;
    const { key, etag, size } = source;
    this.journal.append({ file: id, state: { key, expect: etag, source, sourceLimit: size, size } });
    const file = this.#open(id);
    this.#place(file);
    return file;
  }

  #place(file: LocalFile): void {
    this.#files.place(file);
    this.#removals.reviveDirectories(file.key);
    this.#leaveStrays(file);
  }

  /** What may have arrived where the file has been is hidden, and in nobody's way. */
  #leaveStrays(file: LocalFile): void {
    for (const { key } of file.strays) {
      this.#removals.leave(key, file);
    }
  }

  /** The journal knows that the file is gone: the same for everything else. */
  #retire(file: LocalFile | undefined): void {
    if (file === undefined) {
      return;
    }
    this.#files.unplace(file);
    this.#publisher.abandon(file);
    this.#removals.releaseAll(file, new Set(file.strays.map(({ key }) => key)));
    for (const { key, etag } of file.state.leftovers) {
      this.#removals.add(key, etag, this.#publisher.idle(file));
    }
    if (file.references === 0) {
      this.#disposeWhenIdle(file);
    }
  }

  #disposeWhenIdle(file: LocalFile): void {
    if (this.#publisher.isRunning(file)) {
      void this.#publisher.idle(file).then(() => {
        if (file.references === 0 && (file.removed || !file.dirty)) {
          this.#dispose(file);
        }
      });
    } else {
      this.#dispose(file);
    }
  }

  #dispose(file: LocalFile): void {
    if (file.isLeaving) {
      this.#leaving.add(file);
      this.#publisher.schedule(file, 0);
      return;
    }
    this.#files.unplace(file);
    this.#removals.releaseAll(file);
    this.#publisher.forget(file);
    file.dispose(this.#options.adopt);
    this.journal.append({ file: file.state.id, gone: true });
  }

  #prepareRename(file: LocalFile, to: string, replaces?: { readonly etag: string }): RenameStep {
    const { id, key: from, leftovers, intents } = file.state;
    const replaced = this.#files.get(to);
    const own = leftovers.find(({ key }) => key === to);
    const ownExpect = own && (this.#removals.isBeingRemoved(to) ? ANYTHING : own.etag);
    const claim = replaced === undefined ? this.#removals.claim(to) : undefined;
    const expect: Expectation =
      ownExpect ?? replaced?.state.expect ?? claim?.expect ?? replaces?.etag ?? NOTHING;
    const there = objectUnder(file.state);
    const leftover: Leftover | undefined = there === undefined ? undefined : { key: from, ...there };
    const kept = leftovers.filter(({ key }) => key !== to && key !== from);
    const set: StatePatch = {
      key: to,
      expect,
      leftovers: leftover === undefined ? kept : [...kept, leftover],
      intents: [...intents, ...(replaced?.state.intents ?? [])],
    };
    const records: JournalRecord[] = [
      { file: id, set },
      ...replacing(replaced?.state, true),
      ...(claim?.forgets === true ? [{ removed: to }] : []),
    ];
    const leaves =
      leftover !== undefined || (this.#publisher.isRunning(file) && this.#publisher.isTarget(from));
    return { file, from, to, replaced, leaves, records };
  }

  #renameAll(steps: readonly RenameStep[]): Status {
    for (const { file } of steps) {
      this.#files.unplace(file);
    }
    const status = this.journal.append(...steps.flatMap(({ records }) => records));
    for (const { file, from, to, replaced, leaves } of steps) {
      this.#retire(replaced);
      if (this.#removals.debtorOf(to) === file) {
        this.#removals.release(to);
      }
      this.#place(file);
      if (leaves) {
        this.#removals.leave(from, file);
      }
      this.#publisher.schedule(file, this.#delayMs);
    }
    return status;
  }

  /** What a conflict makes of a file. */
  #change(file: LocalFile, set: StatePatch): void {
    this.#files.unplace(file);
    this.journal.append({ file: file.state.id, set });
    this.#place(file);
  }

  #drop(file: LocalFile): void {
    this.journal.append(...replacing(file.state, false));
    this.#retire(file);
  }

  #published(file: LocalFile, object: SourceObject): void {
    this.#events.published?.(file, object);
    if (file.references === 0) {
      this.#disposeWhenIdle(file);
    }
  }

  #recover(): void {
    const { image } = this.journal;
    for (const name of readdirSync(join(this.#options.directory, "data"))) {
      if (image.files.has(Number(name))) {
        this.#known.add(Number(name));
      } else {
        unlinkSync(this.#dataPath(Number(name)));
      }
    }
    const removals = [...image.removals];
    for (const state of [...image.files.values()]) {
      this.#nextId = Math.max(this.#nextId, state.id + 1);
      this.#recoverFile(state.id);
    }
    // What files that were renamed still need stays until they are published.
    for (const [key, etag] of removals) {
      this.#removals.add(key, etag);
    }
    this.#known.clear();
    this.#aborts.start();
  }

  #recoverFile(id: number): void {
    const file = this.#open(id);
    const { upload, leftovers } = file.state;
    if (!file.dirty) {
      this.#leaveStrays(file);
      this.#dispose(file);
      return;
    }
    if (upload !== undefined && upload.uploadId === undefined) {
      const { key, sinceMs } = upload;
      this.journal.append({ file: id, set: { upload: null } }, { abort: key, sinceMs });
    }
    file.data.close();
    this.#place(file);
    for (const leftover of leftovers) {
      this.#removals.leave(leftover.key, file);
    }
    this.#publisher.schedule(file, 0);
  }
}
