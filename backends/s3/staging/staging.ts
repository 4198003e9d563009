import type { Awaitable, Result, Status } from "../../../src/vfs/errno.js";
import type { Logger } from "../../../src/vfs/logger.js";
import type { ObjectAttributes, ObjectStore, StoreFeatures } from "../store/object-store.js";

/**
 * The write half of the S3 backend: what was changed and is not in the bucket yet. Everything here answers the
 * namespace at once, is on the local disk and in a journal before it is acknowledged, and goes to the bucket in the
 * background. Keys are whole keys; sizes and offsets are bytes.
 */

/** When fsync(2) returns: the data is in the bucket, on the local disk with the journal, or nowhere special. */
export type FsyncMode = "remote" | "local" | "off";

/** What happens to a local version when somebody else has changed the object meanwhile. */
export type ConflictPolicy =
  /** ESTALE at fsync and close; the local version is kept below {@link StagingOptions.lostAndFound}. */
  | "error"
  /** The local version replaces the other one. */
  | "overwrite"
  /** The local version is dropped, with a warning. */
  | "s3-wins";

/** An object of the bucket that a staged file began with; ranges that were not changed are still only there. */
export interface SourceObject {
  readonly key: string;
  /** With its quotes. */
  readonly etag: string;
  readonly size: number;
  readonly versionId?: string;
}

/**
 * Reads of a source up to its end; may answer from a cache. Rejects with a StoreError: "precondition" or "not-found"
 * when the object is gone. @returns the count of bytes, short only at the end of the object
 */
export type SourceReader = (source: SourceObject, offset: number, into: Uint8Array) => Promise<number>;

/** A file on the local disk. */
export interface OpenLocalFile {
  readonly path: string;
  /** Open for reading and writing, or undefined. */
  readonly fd: number | undefined;
}

/**
 * Takes over a local file that has exactly the bytes of an object, by renaming it, and its descriptor. Returns false when
 * it does not: then the file is deleted.
 */
export type FileTaker = (file: OpenLocalFile, object: SourceObject) => boolean;

export interface StagingOptions {
  readonly store: ObjectStore;
  readonly features: StoreFeatures;
  /** A private directory of this share; made when missing. */
  readonly directory: string;
  readonly fsync: FsyncMode;
  readonly onConflict: ConflictPolicy;
  /** Prefix of the keys that conflicting local versions get, for example "share/lost+found/". */
  readonly lostAndFound: string;
  /** Prefix of keys that do not stay, for example "share/.virtiofs-gateway/". */
  readonly scratch: string;
  /** How reads of unchanged ranges are answered; by the store unless given. */
  readonly readSource?: SourceReader;
  /** Who has a use for the data of a file that was published and is needed no more. */
  readonly adopt?: FileTaker;
  /** Bytes that may wait for the bucket; writers wait beyond. Default 10 GiB. */
  readonly maxStagedBytes?: number;
  /** Memory for the bodies of uploads. Default 128 MiB; at least two parts are always possible. */
  readonly uploadMemoryBytes?: number;
  /** Requests of uploads under way at a time. Default 32. */
  readonly maxUploads?: number;
  /** How long after the last close, or the last change without one, a file is published. Default 100 ms. */
  readonly writeBackDelayMs?: number;
  readonly logger?: Logger;
}

/** What the namespace does when staged files change by themselves. */
export interface StagingEvents {
  /**
   * The file is in the bucket as `object`, and nothing is left to publish. It stays readable until its last
   * {@link StagedFile.release}.
   */
  published?(file: StagedFile, object: SourceObject): void;
  /** The local version of a file is (or will be) under `lostKey`; the object under `key` is somebody else's. */
  conflict?(file: StagedFile, key: string, lostKey: string | undefined): void;
}

/**
 * A file that differs from what the bucket has: new, changed or renamed. Every open handle (and whatever else needs it)
 * holds a reference; without references it goes away as soon as it is published. Nothing is thrown for ordinary
 * failures: results are negative errno values.
 */
export interface StagedFile {
  /** Where it will be published. Changes by renames, and by a conflict. */
  readonly key: string;
  readonly size: number;
  /** Bytes of data that are on the local disk (for st_blocks); the rest is a hole or in {@link source}. */
  readonly localBytes: number;
  /** Milliseconds since 1970 of the last change of data. */
  readonly modifiedMs: number;
  readonly attributes: ObjectAttributes | undefined;
  /** The object that unchanged ranges come from, possibly under another key. */
  readonly source: SourceObject | undefined;
  /** Bytes of {@link source} below this offset that were not changed are still the file's. */
  readonly sourceLimit: number;
  /** Something is to be published. */
  readonly dirty: boolean;
  /** Data differs from {@link source}: reads must come here. False for a file that is merely renamed or has new attributes. */
  readonly dataChanged: boolean;
  /** All of its bytes are on the local disk. */
  readonly isComplete: boolean;
  /** Unlinked; still readable and writable, never published. */
  readonly removed: boolean;

  /** One more reference. */
  retain(): this;
  /** One reference less; the last one publishes what is dirty, after the delay. */
  release(): void;

  /** The count of bytes, short only at the end of the file. Errors: EIO, ESTALE (the source is gone). */
  read(offset: number, into: Uint8Array): Awaitable<Status>;
  /** Returns the count of bytes once they are staged; waits while too much is. Errors: ENOSPC (the disk is full), EFBIG, ESTALE (after a conflict). */
  write(offset: number, from: Uint8Array): Awaitable<Status>;
  /** Writes at the end of the file. */
  append(from: Uint8Array): Awaitable<Status>;
  /** Errors as those of {@link write}. */
  truncate(size: number): Awaitable<Status>;
  /** fallocate(2) with its `mode`: reservation, KEEP_SIZE, PUNCH_HOLE and ZERO_RANGE. Errors: EOPNOTSUPP for others. */
  allocate(mode: number, offset: number, length: number): Awaitable<Status>;
  /** lseek(2) with SEEK_DATA 3 or SEEK_HOLE 4. Errors: ENXIO. */
  seek(offset: number, whence: number): Result<number>;

  /** What is stored with the object at the next publication. `undefined` keeps those of {@link source}. */
  setAttributes(attributes: ObjectAttributes): void;

  /** fsync(2) in the mode of the share. Errors: those of an earlier publication that nobody saw, EIO, EACCES, ESTALE, ENOSPC, EFBIG. */
  sync(): Awaitable<Status>;
  /** Puts everything into the bucket, whatever the mode. Errors as {@link sync}. */
  publish(): Promise<Status>;
  /** An error of publications in the background, once; otherwise 0. For close(2). */
  takeError(): Status;
}

/** An object that a directory's rename takes along. */
export interface Move {
  readonly object: SourceObject;
  readonly to: string;
}

/** A name that the staging area knows in a directory. */
export interface StagedChild {
  /** Undefined: a directory that exists because of what is staged below it. */
  readonly file: StagedFile | undefined;
}

/** How much is not in the bucket yet. */
export interface StagingStatus {
  /** Bytes of data that differ from the bucket. */
  readonly bytes: number;
  readonly files: number;
  /** Objects to delete. */
  readonly removals: number;
}

/**
 * What a share has changed and not published: the namespace asks it before it asks the bucket. One gateway uses a
 * directory at a time. Made by `openStagingArea`, which replays the journal: what a gateway before left is staged again.
 */
export interface StagingArea {
  /** The staged file under a key, for use at once: whoever waits in between has to {@link StagedFile.retain} it. */
  find(key: string): StagedFile | undefined;
  /** The key is not to be seen, whatever the bucket says: removed or renamed away. */
  isRemoved(key: string): boolean;
  /**
   * The directory `prefix` (with its "/") was removed or renamed away and nothing local is below it, but the bucket may
   * still have keys there.
   */
  isGone(prefix: string): boolean;
  /**
   * What is staged in the directory `prefix`: names without the prefix, those of directories with "/" at the end. A
   * directory's marker is the name "".
   */
  childrenOf(prefix: string): ReadonlyMap<string, StagedChild>;
  /** Something is staged below `prefix` (with its "/"), its marker counts. */
  hasBelow(prefix: string): boolean;

  /**
   * A new empty file, retained for the caller. `replaces` is the object that the caller knows under the key, if it means to
   * replace it; a publication over any other is a conflict.
   */
  create(key: string, attributes: ObjectAttributes, replaces?: { readonly etag: string }): StagedFile;
  /** A file that begins as `source`, or the staged one under its key, retained for the caller. Downloads nothing. */
  edit(source: SourceObject): StagedFile;
  /**
   * Renames what is under a key: a staged file when there is one, otherwise `source`, over `replaces` if that is in the
   * bucket. Staged files under `to` are removed. The view changes at once.
   */
  rename(from: SourceObject | StagedFile, to: string, replaces?: { readonly etag: string }): Status;
  /**
   * Renames everything of the directory `from` to the directory `to` (both with their "/"): `moves` are the objects of the
   * bucket there that are neither staged nor removed; what is staged below `from` comes along by itself.
   */
  renameDirectory(from: string, to: string, moves: readonly Move[]): Status;
  /**
   * Removes what is under a key, here and in the bucket. Deleting in the bucket waits for `until`, so that a file that
   * is still open can be read.
   */
  remove(key: string, until?: Promise<void>): void;
  /** The directory `prefix` (with its "/") is no more: its marker is removed, and {@link isGone} says so. */
  removeDirectory(prefix: string): void;

  /** Waits until everything below `prefix` is as durable as fsync makes it; "" is the whole share. Errors as {@link StagedFile.sync}. */
  sync(prefix: string): Promise<Status>;

  status(): StagingStatus;
  /**
   * Publishes all there is; `onProgress` hears of it now and then. Ends early when `signal` is aborted: what is left
   * stays in the journal. @returns what is left
   */
  drain(onProgress: (left: StagingStatus) => void, signal: AbortSignal): Promise<StagingStatus>;
  /** Ends all work and closes the journal. */
  close(): Promise<void>;
}
