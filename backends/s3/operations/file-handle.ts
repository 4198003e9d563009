import { VfsHandle } from "../../../src/vfs/node.js";
import type { CachedObject, ObjectVersion } from "../cache/cached-object.js";
import { ReadAhead } from "../cache/read-ahead.js";
import type { S3File } from "../namespace/node.js";
import type { StagedFile } from "../staging/staging.js";
import type { S3Volume } from "../volume.js";

/** What a handle was opened for. */
export interface Access {
  readonly writes: boolean;
  readonly appends: boolean;
}

export const READING: Access = { writes: false, appends: false };

/** An open file. Until its file is changed by this share it reads the version that it found when it was opened. */
export class S3FileHandle extends VfsHandle {
  declare readonly node: S3File;
  /** It may write, always at the end with `appends`. */
  readonly writes: boolean;
  readonly appends: boolean;
  /** A reference of the handle's own to what was staged when it was opened. */
  readonly staged: StagedFile | undefined;
  readonly #volume: S3Volume;
  #object: CachedObject | undefined;
  #readAhead: ReadAhead | undefined;
  /** Something of this version was read: another one must not be mixed in. */
  hasRead = false;

  constructor(node: S3File, volume: S3Volume, staged: StagedFile | undefined, access: Access) {
    super(node);
    this.#volume = volume;
    this.staged = staged;
    this.writes = access.writes;
    this.appends = access.appends;
  }

  /** The version that is read, in the cache. */
  get object(): CachedObject | undefined {
    return this.#object;
  }

  /** Reads another version from now on. */
  pin(version: ObjectVersion): CachedObject {
    const old = this.#object;
    if (old !== undefined && old.version.key === version.key && old.version.etag === version.etag) {
      return old;
    }
    const { cache } = this.#volume;
    const object = cache.open(version);
    this.unbind();
    this.#readAhead?.unmark();
    this.#object = object;
    this.#readAhead = new ReadAhead(object, cache.budget.limitBytes);
    this.hasRead = false;
    if (old !== undefined) {
      cache.release(old);
    }
    return object;
  }

  /** Begins to fetch a range that is wanted now, and what may be wanted next. */
  advance(offset: number, length: number): void {
    this.#readAhead?.advance(offset, length, this.#volume.cache.budget.left);
  }

  /**
   * Native code reads by itself what is there of the version. Until the file is changed by this share, and before the
   * handle is opened.
   */
  bind(): void {
    if (this.#object !== undefined) {
      this.boundFile = { kind: "partial", file: this.#object.map.file.native };
      this.node.boundReaders.add(this);
    }
  }

  /** All reads come to the backend from now on. */
  unbind(): void {
    if (this.boundFile !== undefined) {
      this.node.boundReaders.delete(this);
      this.boundFile = undefined;
      this.rebind?.(undefined);
    }
  }

  /** Lets go of everything. */
  close(): void {
    this.node.boundReaders.delete(this);
    this.#readAhead?.unmark();
    if (this.#object !== undefined) {
      this.#volume.cache.release(this.#object);
      this.#object = undefined;
    }
    this.staged?.release();
  }
}
