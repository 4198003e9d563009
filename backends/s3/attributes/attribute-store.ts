import { LRUCache } from "lru-cache";
import { findObject } from "../store/find-object.js";
import type { ObjectAttributes, ObjectInfo, ObjectStore } from "../store/object-store.js";
import type { AttributeFile } from "./attribute-file.js";

/** Objects whose metadata are kept in memory; the file has more. */
const MAX_IN_MEMORY = 32_768;

interface Known {
  readonly etag: string;
  /** Seconds since 1970; undefined for what this share wrote and has not seen listed since. */
  readonly modifiedSec: number | undefined;
  readonly stored: ObjectAttributes;
}

/** What the bucket said of the key of a directory. */
export interface MarkerAnswer {
  /** Undefined: there is no marker. */
  readonly info: ObjectInfo | undefined;
  /** In ms of performance.now(). */
  readonly askedMs: number;
}

/** New metadata leave the ETag as it is and change the time, which HEAD gives in seconds. */
function secondOf(ms: number): number {
  return Math.floor(ms / 1000);
}

/**
 * What objects have beside their bytes, by key, ETag and time: in memory, in a file that outlives the process, and at
 * last by HEAD, of which there is one at a time for a key.
 */
export class AttributeStore {
  readonly #store: ObjectStore;
  readonly #file: AttributeFile;
  readonly #known = new LRUCache<string, Known>({ max: MAX_IN_MEMORY });
  readonly #markers = new LRUCache<string, MarkerAnswer>({ max: MAX_IN_MEMORY });
  readonly #asking = new Map<string, Promise<ObjectInfo | undefined>>();

  constructor(store: ObjectStore, file: AttributeFile) {
    this.#store = store;
    this.#file = file;
  }

  /** What is known of this version of an object without asking. */
  peek(key: string, etag: string, lastModifiedMs: number): ObjectAttributes | undefined {
    const second = secondOf(lastModifiedMs);
    const known = this.#known.get(key);
    if (known?.etag === etag && known.modifiedSec === second) {
      return known.stored;
    }
    if (known?.etag === etag && known.modifiedSec === undefined) {
      this.learn(key, etag, lastModifiedMs, known.stored);
      return known.stored;
    }
    const stored = this.#file.read(key, `${etag}${second}`);
    if (stored !== undefined) {
      this.#known.set(key, { etag, modifiedSec: second, stored });
    }
    return stored;
  }

  /** Whether some version of an object is known: it may still be the one. */
  has(key: string): boolean {
    return this.#known.has(key);
  }

  /** Asks the bucket. Undefined: there is no such object. Rejects with a StoreError. */
  ask(key: string): Promise<ObjectInfo | undefined> {
    const asking = this.#asking.get(key);
    if (asking !== undefined) {
      return asking;
    }
    const asked = this.#head(key).finally(() => this.#asking.delete(key));
    this.#asking.set(key, asked);
    return asked;
  }

  /** The latest answer about the key of a directory, if nothing was learned of it since. */
  peekMarker(key: string): MarkerAnswer | undefined {
    return this.#markers.get(key);
  }

  /** Asks the bucket for the key of a directory, and remembers the answer. Rejects with a StoreError. */
  async askMarker(key: string): Promise<MarkerAnswer> {
    const askedMs = performance.now();
    const answer = { info: await this.ask(key), askedMs };
    this.#markers.set(key, answer);
    return answer;
  }

  /** Remembers what is stored with an object; the time is undefined for what this share has just written. */
  learn(key: string, etag: string, lastModifiedMs: number | undefined, stored: ObjectAttributes): void {
    this.#markers.delete(key);
    if (lastModifiedMs === undefined) {
      this.#known.set(key, { etag, modifiedSec: undefined, stored });
      return;
    }
    const second = secondOf(lastModifiedMs);
    this.#known.set(key, { etag, modifiedSec: second, stored });
    this.#file.write(key, `${etag}${second}`, stored);
  }

  close(): void {
    this.#file.close();
  }

  async #head(key: string): Promise<ObjectInfo | undefined> {
    const info = await findObject(this.#store, key);
    if (info !== undefined) {
      this.learn(key, info.etag, info.lastModifiedMs, info.attributes);
    }
    return info;
  }
}
