import {
  type Awaitable,
  EFBIG,
  EINVAL,
  ENXIO,
  EOPNOTSUPP,
  ESTALE,
  type Result,
  type Status,
} from "../../../src/vfs/errno.js";
import { isStoreError, storeStatus } from "../errors.js";
import type { ObjectAttributes } from "../store/object-store.js";
import { type Extent, ExtentSet } from "./extent-set.js";
import type { FileState, Intent } from "./file-state.js";
import type { Journal } from "./journal.js";
import type { LocalData } from "./local-data.js";
import { SnapshotGuard } from "./snapshot-guard.js";
import type { FileTaker, FsyncMode, SourceObject, SourceReader, StagedFile } from "./staging.js";

/** The largest object there can be: 5 TiB. */
const MAX_OBJECT_BYTES = 5 * 2 ** 40;
const FALLOC_KEEP_SIZE = 0x01;
const FALLOC_PUNCH_HOLE = 0x02;
const FALLOC_ZERO_RANGE = 0x10;
const SEEK_DATA = 3;

/** What a file needs of the staging area. */
export interface FileHost {
  readonly journal: Journal;
  readonly fsync: FsyncMode;
  readonly readSource: SourceReader;
  /** So many more bytes are on the local disk. */
  account(bytes: number): void;
  /** Whether so many more bytes are too many. */
  isFull(bytes: number): boolean;
  /** Waits until there is room. Errors: ENOSPC when nothing can be published. */
  makeRoom(file: LocalFile, bytes: number): Promise<Status>;
  publish(file: LocalFile): Promise<Status>;
  /** Data was added: a part of it may go up already. */
  grown(file: LocalFile): void;
  /** The last reference is gone. */
  released(file: LocalFile): void;
}

/** What a publication takes: the file as it was at one moment. */
export interface Snapshot {
  readonly key: string;
  readonly size: number;
  readonly source: SourceObject | undefined;
  readonly sourceLimit: number;
  readonly changed: ExtentSet;
  readonly attributes: ObjectAttributes | undefined;
  readonly dataChanged: boolean;
}

/**
 * A staged file: data that is on the local disk, and what is known of it. While it is being published, bytes that were
 * not sent yet do not change (writers to them wait), so that the object is the file as it was at one moment.
 */
export class LocalFile implements StagedFile {
  readonly state: FileState;
  readonly data: LocalData;
  /** Of the publication under way. */
  readonly guard = new SnapshotGuard();
  readonly #host: FileHost;
  /** Bytes that the local file has, be it data of its own or what the source has as well. */
  readonly #local = new ExtentSet();
  /** Bytes that were never written or were punched out since the file was opened: zeros, be they published or not. */
  readonly #holes = new ExtentSet();
  #references = 0;
  #error: Status = 0;
  #modifiedMs: number;
  /** Writes under way in the I/O pool. */
  #writing = 0;
  #idle: (() => void)[] = [];
  #reading = 0;

  /** `state` is the journal's; the data of a file that a gateway before has left is measured here. */
  constructor(host: FileHost, state: FileState, data: LocalData) {
    this.#host = host;
    this.state = state;
    this.data = data;
    const found = data.stat();
    this.#modifiedMs = found?.modifiedMs ?? Date.now();
    if (state.source === undefined) {
      state.size = found?.size ?? 0;
      state.changed.add(0, state.size);
    }
    for (const [start, end] of state.changed) {
      this.#local.add(start, end);
    }
    host.account(this.#local.bytes);
  }

  get key(): string {
    return this.state.key;
  }

  get size(): number {
    return this.state.size;
  }

  get localBytes(): number {
    return this.#local.bytes;
  }

  get modifiedMs(): number {
    return this.#modifiedMs;
  }

  get attributes(): ObjectAttributes | undefined {
    return this.state.attributes;
  }

  get source(): SourceObject | undefined {
    return this.state.source;
  }

  get sourceLimit(): number {
    return this.state.sourceLimit;
  }

  get removed(): boolean {
    return this.state.removed;
  }

  get references(): number {
    return this.#references;
  }

  get dataChanged(): boolean {
    const { source, changed, size, sourceLimit } = this.state;
    return (
      source === undefined ||
      changed.bytes > 0 ||
      size !== source.size ||
      sourceLimit < Math.min(size, source.size)
    );
  }

  get isComplete(): boolean {
    const missing = [...this.#local.gaps(0, this.state.size)];
    return missing.every(([start, end]) => this.#holes.covers(start, end));
  }

  /** What was sent, and may have arrived, under keys that the file has left. */
  get strays(): readonly Intent[] {
    const { key, intents } = this.state;
    return intents.filter((intent) => intent.key !== key);
  }

  /** The file is removed, and the bucket may still have something of it. */
  get isLeaving(): boolean {
    return this.state.removed && this.strays.length > 0;
  }

  get dirty(): boolean {
    const { source, key, attributesChanged, leftovers } = this.state;
    return (
      !this.state.removed &&
      (this.dataChanged || source?.key !== key || attributesChanged || leftovers.length > 0)
    );
  }

  retain(): this {
    this.#references++;
    return this;
  }

  release(): void {
    this.#references--;
    if (this.#references === 0) {
      this.#host.released(this);
    }
  }

  async read(offset: number, into: Uint8Array): Promise<Status> {
    const length = Math.min(into.length, this.state.size - offset);
    if (length <= 0) {
      return 0;
    }
    this.#reading++;
    const status = await this.#readAll(offset, offset + length, into);
    this.#reading--;
    return status < 0 ? status : length;
  }

  async #readAll(offset: number, end: number, into: Uint8Array): Promise<Status> {
    const piece = ([from, to]: Extent) => into.subarray(from - offset, to - offset);
    for (const extent of [...this.#local.within(offset, end)]) {
      const status = await this.data.read(extent[0], piece(extent));
      if (status < 0) {
        return status;
      }
    }
    for (const [start, stop] of [...this.#local.gaps(offset, end)]) {
      for (const hole of this.#holes.within(start, stop)) {
        piece(hole).fill(0);
      }
      for (const extent of [...this.#holes.gaps(start, stop)]) {
        const status = await this.#readGap(extent, piece);
        if (status < 0) {
          return status;
        }
      }
    }
    return 0;
  }

  write(offset: number, from: Uint8Array): Awaitable<Status> {
    const end = offset + from.length;
    const refused = this.#refusal(end);
    if (refused < 0) {
      return refused;
    }
    if (this.guard.isUnread(offset, end) || this.#host.isFull(from.length)) {
      return this.#whenPossible(offset, end, () => this.#writeNow(offset, from));
    }
    return this.#writeNow(offset, from);
  }

  append(from: Uint8Array): Awaitable<Status> {
    const refused = this.#refusal(this.state.size + from.length);
    if (refused < 0) {
      return refused;
    }
    return this.#host.isFull(from.length)
      ? this.#whenPossible(0, from.length, () => this.#writeNow(this.state.size, from), false)
      : this.#writeNow(this.state.size, from);
  }

  async truncate(size: number): Promise<Status> {
    const refused = this.#refusal(size);
    if (refused < 0) {
      return refused;
    }
    await this.guard.untilRead(size, Number.POSITIVE_INFINITY);
    const { journal } = this.#host;
    const sizeBefore = this.state.size;
    const status = journal.append({ file: this.state.id, cut: size });
    if (status < 0) {
      return status;
    }
    this.#host.account(-this.#local.remove(size, Number.POSITIVE_INFINITY));
    this.#changed(size, Number.POSITIVE_INFINITY);
    this.guard.cut(size);
    this.#holes.remove(size, Number.POSITIVE_INFINITY);
    this.#holes.add(Math.min(sizeBefore, size), size);
    return this.data.truncate(size);
  }

  allocate(mode: number, offset: number, length: number): Awaitable<Status> {
    const end = offset + length;
    const keepsSize = (mode & FALLOC_KEEP_SIZE) !== 0;
    const kind = mode & ~FALLOC_KEEP_SIZE;
    if (kind !== 0 && kind !== FALLOC_ZERO_RANGE && !(kind === FALLOC_PUNCH_HOLE && keepsSize)) {
      return -EOPNOTSUPP;
    }
    const refused = this.#refusal(keepsSize ? 0 : end);
    if (refused < 0) {
      return refused;
    }
    return this.#allocate(kind !== 0, keepsSize, offset, end);
  }

  seek(offset: number, whence: number): Result<number> {
    const { size, source } = this.state;
    if (offset < 0 || offset >= size) {
      return -ENXIO;
    }
    if (source !== undefined) {
      // What is a hole in the object nobody knows, except for those that were made here.
      const [extent] =
        whence === SEEK_DATA ? this.#holes.gaps(offset, size) : this.#holes.within(offset, size);
      return extent?.[0] ?? (whence === SEEK_DATA ? -ENXIO : size);
    }
    const found = this.data.seek(offset, whence);
    if (found === undefined || found >= size) {
      return whence === SEEK_DATA ? -ENXIO : size;
    }
    return found;
  }

  setAttributes(attributes: ObjectAttributes): void {
    const { id, attributes: before } = this.state;
    if (JSON.stringify(before) !== JSON.stringify(attributes)) {
      this.#host.journal.append({ file: id, set: { attributes, attributesChanged: true } });
    }
  }

  sync(): Awaitable<Status> {
    switch (this.#host.fsync) {
      case "remote":
        return this.publish();
      case "local":
        return this.#syncLocally();
      case "off":
        return this.takeError();
    }
  }

  async publish(): Promise<Status> {
    const status = await this.#host.publish(this);
    // Whoever asked has seen the error of this attempt.
    const before = this.takeError();
    if (this.state.conflicted) {
      return -ESTALE;
    }
    return status < 0 ? status : before;
  }

  takeError(): Status {
    const error = this.#error;
    this.#error = 0;
    return error;
  }

  /** A publication in the background failed; somebody will ask. */
  keepError(error: Status): void {
    this.#error = error;
  }

  /** Takes the file as it is now, until {@link SnapshotGuard.end}. */
  async beginSnapshot(): Promise<Snapshot> {
    while (this.#writing > 0) {
      await new Promise<void>((resolve) => this.#idle.push(resolve));
    }
    const { key, size, source, sourceLimit, changed, attributes } = this.state;
    this.guard.begin(size);
    return {
      key,
      size,
      source,
      sourceLimit,
      changed: new ExtentSet(changed),
      attributes,
      dataChanged: this.dataChanged,
    };
  }

  /** Whether all of the bytes are the file's own. */
  hasOwn(start: number, end: number): boolean {
    return this.state.changed.covers(start, end);
  }

  /** Gives up local copies of what the bucket has. */
  async dropClean(): Promise<void> {
    const isClean = this.state.source !== undefined && !this.dirty;
    if (isClean && !this.guard.isActive && this.#reading === 0) {
      this.#host.account(-this.#local.bytes);
      this.#local.clear();
      this.#holes.clear();
      await this.data.truncate(0);
    }
  }

  /** Deletes the local data, or lets `adopt` have what is all of an object. The file is of no use any more. */
  dispose(adopt: FileTaker | undefined): void {
    const { source, size } = this.state;
    const isObject = source !== undefined && size > 0 && !this.dirty && !this.removed && this.isComplete;
    this.#host.account(-this.#local.bytes);
    this.#local.clear();
    if (adopt === undefined || !isObject || !this.data.handOver((file) => adopt(file, source))) {
      this.data.remove();
    }
  }

  #refusal(end: number): Status {
    if (this.state.conflicted) {
      return -ESTALE;
    }
    if (end > MAX_OBJECT_BYTES) {
      return -EFBIG;
    }
    return end < 0 ? -EINVAL : 0;
  }

  /** A range without local data: what was punched is zeros, as is what the source does not reach; the rest is its. */
  async #readGap([start, end]: Extent, piece: (extent: Extent) => Uint8Array): Promise<Status> {
    const { changed, source, sourceLimit } = this.state;
    for (const hole of changed.within(start, end)) {
      piece(hole).fill(0);
    }
    for (const [from, to] of [...changed.gaps(start, end)]) {
      const limit = source === undefined ? from : Math.min(Math.max(sourceLimit, from), to);
      piece([limit, to]).fill(0);
      if (source !== undefined && from < limit) {
        try {
          const into = piece([from, limit]);
          const count = await this.#host.readSource(source, from, into);
          into.fill(0, count);
        } catch (err) {
          return isStoreError(err, "not-found") ? -ESTALE : storeStatus(err);
        }
      }
    }
    return 0;
  }

  /** Waits for the publication to read the range and for room, then does it. */
  async #whenPossible(
    start: number,
    end: number,
    action: () => Awaitable<Status>,
    readFirst = true,
  ): Promise<Status> {
    while (this.#host.isFull(end - start)) {
      const status = await this.#host.makeRoom(this, end - start);
      if (status < 0) {
        return status;
      }
    }
    if (readFirst) {
      await this.guard.untilRead(start, end);
    }
    const refused = this.#refusal(end);
    return refused < 0 ? refused : action();
  }

  #writeNow(offset: number, from: Uint8Array): Awaitable<Status> {
    const count = this.data.write(offset, from);
    return typeof count === "number" ? this.#wrote(offset, count) : this.#writeSlowly(offset, count);
  }

  async #writeSlowly(offset: number, writing: Promise<number>): Promise<Status> {
    this.#writing++;
    try {
      return this.#wrote(offset, await writing);
    } finally {
      this.#writing--;
      if (this.#writing === 0) {
        const idle = this.#idle;
        this.#idle = [];
        for (const wake of idle) {
          wake();
        }
      }
    }
  }

  #wrote(start: number, count: number): Status {
    if (count <= 0) {
      return count;
    }
    const end = start + count;
    this.#holes.add(Math.min(this.state.size, start), start);
    this.#holes.remove(start, end);
    this.#host.account(this.#local.add(start, end));
    const status = this.#recordChange(start, end);
    if (status < 0) {
      return status;
    }
    this.#changed(start, end);
    this.#host.grown(this);
    return count;
  }

  /** Without a source all of the file is its own, which the journal knows. */
  #recordChange(start: number, end: number): Status {
    const { state } = this;
    if (state.source !== undefined && !state.changed.covers(start, end)) {
      return this.#host.journal.append({ file: state.id, change: [start, end] });
    }
    state.changed.add(start, end);
    state.size = Math.max(state.size, end);
    return 0;
  }

  /** Parts that were sent with these bytes have to be sent again. */
  #changed(start: number, end: number): void {
    const { state } = this;
    this.#modifiedMs = Date.now();
    this.guard.change(start, end);
    const stale = (state.upload?.parts ?? [])
      .filter(({ offset, length }) => offset < end && offset + length > start)
      .map(({ partNumber }) => partNumber);
    if (stale.length > 0) {
      this.#host.journal.append({ file: state.id, stale });
    }
  }

  async #allocate(zeroes: boolean, keepsSize: boolean, offset: number, end: number): Promise<Status> {
    if (!keepsSize && end > this.state.size) {
      const status = await this.truncate(end);
      if (status < 0) {
        return status;
      }
    }
    const last = Math.min(end, this.state.size);
    if (!zeroes || offset >= last) {
      return 0;
    }
    await this.guard.untilRead(offset, last);
    const status = await this.data.punch(offset, last - offset);
    if (status < 0) {
      return status;
    }
    this.#host.account(-this.#local.remove(offset, last));
    this.#holes.add(offset, last);
    const recorded = this.#recordChange(offset, last);
    this.#changed(offset, last);
    return recorded;
  }

  async #syncLocally(): Promise<Status> {
    const before = this.takeError();
    if (before < 0) {
      return before;
    }
    const status = await this.data.sync();
    return status < 0 ? status : this.#host.journal.sync();
  }
}
