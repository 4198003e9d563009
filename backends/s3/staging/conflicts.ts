import type { Logger } from "../../../src/vfs/logger.js";
import { findObject } from "../store/find-object.js";
import type { ObjectInfo, ObjectStore } from "../store/object-store.js";
import { ANYTHING, NOTHING, type StatePatch } from "./file-state.js";
import type { LocalFile } from "./local-file.js";
import type { ConflictPolicy } from "./staging.js";

/** How an attempt to publish ended. */
export const Resolution = {
  /** The object is in the bucket. */
  DONE: 0,
  /** Something else has to be tried. */
  RETRY: 1,
  /** The file lost against another writer; its data goes on to another key, if it is kept. */
  LOST: 2,
} as const;
export type Resolution = (typeof Resolution)[keyof typeof Resolution];

export interface ConflictOptions {
  readonly store: ObjectStore;
  readonly policy: ConflictPolicy;
  readonly lostAndFound: string;
  readonly logger: Logger | undefined;
  /** Changes what is known of a file, its key included. */
  readonly change: (file: LocalFile, set: StatePatch) => void;
  /** The local version is not wanted any more. */
  readonly drop: (file: LocalFile) => void;
  readonly onConflict: (file: LocalFile, key: string, lostKey: string | undefined) => void;
}

/** Decides what becomes of a file when somebody else has changed what it was based on or was to replace. */
export class ConflictResolver {
  readonly #options: ConflictOptions;

  constructor(options: ConflictOptions) {
    this.#options = options;
  }

  /** `target` is where the file could not be written. */
  async resolve(file: LocalFile, target: string): Promise<Resolution> {
    const { source } = file.state;
    const there = source === undefined ? undefined : await findObject(this.#options.store, source.key);
    const isSourceLost = source !== undefined && there?.etag !== source.etag;
    if (source !== undefined && !file.dataChanged && isSourceLost) {
      return this.#resolveUnchanged(file, target, there);
    }
    const { policy, logger } = this.#options;
    if (policy === "s3-wins") {
      logger?.warn({ key: target }, `${target} was changed by another writer: the local version is dropped`);
      this.#options.drop(file);
      this.#options.onConflict(file, target, undefined);
      return Resolution.LOST;
    }
    if (policy === "overwrite" && !isSourceLost) {
      this.#options.change(file, { expect: ANYTHING });
      return Resolution.RETRY;
    }
    return this.#keepAside(file, target, isSourceLost && source.versionId === undefined);
  }

  /** Only the name or the attributes are ours: they apply to whatever the other writer left, if anything. */
  #resolveUnchanged(file: LocalFile, target: string, there: ObjectInfo | undefined): Resolution {
    const { source, attributes } = file.state;
    if (there === undefined) {
      this.#options.logger?.warn({ key: target }, `${source?.key} was removed by another writer`);
      this.#options.drop(file);
      this.#options.onConflict(file, target, undefined);
      return Resolution.LOST;
    }
    const { key, etag, size } = there;
    const isInPlace = key === file.key;
    this.#options.change(file, {
      source: { key, etag, size },
      sourceLimit: size,
      size,
      ...(isInPlace && { expect: etag }),
      // Times and the like that were made for the other contents do not belong to these.
      ...(isInPlace && attributes !== undefined && { attributes: null, attributesChanged: false }),
    });
    return isInPlace ? Resolution.LOST : Resolution.RETRY;
  }

  /** The local version goes to lost+found; what it has not changed itself is gone with its source. */
  async #keepAside(file: LocalFile, target: string, isIncomplete: boolean): Promise<Resolution> {
    const { lostAndFound, logger } = this.#options;
    const name = target.slice(target.lastIndexOf("/") + 1);
    const time = new Date().toISOString().replaceAll(":", "-");
    const lostKey = `${lostAndFound}${name}.${time}`;
    const missing = isIncomplete ? file.size - file.localBytes : 0;
    if (isIncomplete) {
      // Without a source the local file alone has the size.
      await file.data.truncate(file.size);
    }
    this.#options.change(file, {
      key: lostKey,
      expect: NOTHING,
      conflicted: true,
      ...(isIncomplete && { source: null, sourceLimit: 0 }),
    });
    const gap = missing > 0 ? `, with zeros for ${missing} bytes that it had not changed` : "";
    logger?.warn(
      { key: target, lostKey },
      `${target} was changed by another writer: the local version is kept as ${lostKey}${gap}`,
    );
    this.#options.onConflict(file, target, lostKey);
    return Resolution.LOST;
  }
}
