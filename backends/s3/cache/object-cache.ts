import { hash } from "node:crypto";
import {
  constants,
  futimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  statfsSync,
  unlinkSync,
} from "node:fs";
import { opendir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Logger } from "../../../src/vfs/logger.js";
import type { ObjectStore } from "../store/object-store.js";
import { BlockMap } from "./block-map.js";
import { CachedObject, type ObjectVersion } from "./cached-object.js";
import type { MemoryBudget } from "./memory-budget.js";
import { Residents } from "./residents.js";

/** This part of the file system stays free, whatever the cache may have. */
const FREE_PART = 0.05;
/** The file system is asked again after so much has arrived. */
const CHECK_BYTES = 64 * 2 ** 20;
/** Objects nobody reads keep their descriptors, up to this many. */
const IDLE_DESCRIPTORS = 256;
/** Larger objects than this part of the cache are not fetched as a whole for who reads here and there. */
const SWEPT_PART = 0.25;
/** Files are spread over so many directories, by the first digits of their names. */
const DIRECTORIES = 256;
/** What a file takes besides its data: header and block table. */
const OVERHEAD_BYTES = 8192;

/** Does something that needs the directory of a path, which is mostly there. */
function inDirectory<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== "ENOENT") {
      throw err;
    }
    mkdirSync(dirname(path), { recursive: true });
    return action();
  }
}

/**
 * Contents of objects on the local disk: a sparse file for each version, by a digest of what it is. Bounded in
 * bytes and by what is free on the disk. It survives restarts where its directory does.
 */
export class ObjectCache {
  readonly budget: MemoryBudget;
  readonly #store: ObjectStore;
  /** Endpoint and bucket: what tells objects of different buckets apart. */
  readonly #bucket: string;
  readonly #directory: string;
  readonly #logger: Logger;
  readonly #residents: Residents;
  readonly #open = new Map<string, CachedObject>();
  /** Open objects without users, the longest idle first. */
  readonly #idle = new Set<string>();
  #arrivedBytes = 0;
  /** Sequence of what came last. */
  #lastArrival = 0;
  #closed = false;

  constructor(
    store: ObjectStore,
    bucket: string,
    directory: string,
    limitBytes: number,
    budget: MemoryBudget,
    logger: Logger,
  ) {
    this.#store = store;
    this.#bucket = bucket;
    this.#directory = join(directory, "objects");
    this.#logger = logger;
    this.#residents = new Residents(limitBytes);
    this.budget = budget;
    mkdirSync(this.#directory, { recursive: true });
  }

  /** Makes directories and takes stock of what processes before have left. Reading does not wait for it. */
  async takeStock(): Promise<void> {
    this.#makeDirectories();
    const found: { path: string; bytes: number; usedMs: number }[] = [];
    for await (const folder of await opendir(this.#directory)) {
      for await (const file of await opendir(join(this.#directory, folder.name))) {
        const path = join(this.#directory, folder.name, file.name);
        const info = await stat(path).catch(() => undefined);
        if (info !== undefined) {
          found.push({ path, bytes: info.blocks * 512, usedMs: info.mtimeMs });
        }
      }
    }
    found.sort((a, b) => a.usedMs - b.usedMs);
    for (const { path, bytes } of found) {
      this.#residents.addOld(path, bytes);
    }
    this.#makeRoom();
  }

  /** All at once: one by one, as files come, they would hold up who waits for those. */
  #makeDirectories(): void {
    const there = new Set(readdirSync(this.#directory));
    for (let i = 0; i < DIRECTORIES; i++) {
      const name = i.toString(16).padStart(2, "0");
      if (!there.has(name)) {
        mkdirSync(join(this.#directory, name), { recursive: true });
      }
    }
  }

  /** The version of an object, for reading; call {@link release} when it is done. */
  open(version: ObjectVersion): CachedObject {
    const path = this.#pathOf(version);
    this.#residents.use(path);
    return this.#acquire(version, path);
  }

  /** Fetches all of an object that will be opened soon. */
  fetchWhole(version: ObjectVersion): void {
    const path = this.#pathOf(version);
    this.#residents.expect(path);
    const object = this.#acquire(version, path);
    const fetched = object.wait(0, version.size).catch((err: unknown) => {
      this.#logger.debug({ err }, `${version.key} could not be fetched ahead`);
    });
    void fetched.finally(() => this.release(object));
  }

  /**
   * Takes over a file with all bytes of an object, and its descriptor if it is open, if it can be renamed.
   * @returns whether it is the cache's now
   */
  adopt(file: { path: string; fd: number | undefined }, version: ObjectVersion): boolean {
    const place = this.#pathOf(version);
    if (this.#closed || this.#open.has(place)) {
      return false;
    }
    try {
      inDirectory(place, () => renameSync(file.path, place));
    } catch (err) {
      this.#logger.debug({ err }, "what was published cannot become a cache file");
      return false;
    }
    this.#residents.expect(place);
    const fd = file.fd ?? openSync(place, constants.O_RDWR);
    const object = this.#use(version, place, this.#newObject(version, place, fd, true));
    const added = object.addAll();
    if (added === undefined) {
      this.release(object);
      return true;
    }
    const settled = added.catch((err: unknown) => {
      this.#logger.debug({ err }, `${version.key} lasts as a cache file until the next start only`);
    });
    void settled.finally(() => this.release(object));
    return true;
  }

  #acquire(version: ObjectVersion, path: string): CachedObject {
    return this.#use(version, path, this.#open.get(path) ?? this.#openFile(version, path));
  }

  #use(version: ObjectVersion, path: string, object: CachedObject): CachedObject {
    this.#open.set(path, object);
    this.#idle.delete(path);
    object.users++;
    object.keepTo(version);
    return object;
  }

  release(object: CachedObject): void {
    object.users--;
    if (object.users > 0) {
      return;
    }
    this.#idle.add(object.path);
    this.#closeIdle(IDLE_DESCRIPTORS);
  }

  close(): void {
    this.#closed = true;
    for (const object of this.#open.values()) {
      object.close();
    }
    this.#open.clear();
  }

  /** Versions with the same ETag have the same bytes, and of a listed object only that is known. */
  #pathOf({ key, etag }: ObjectVersion): string {
    const digest = hash("sha256", `${this.#bucket}\0${key}\0${etag}`, "hex");
    return join(this.#directory, digest.slice(0, 2), digest.slice(2, 48));
  }

  #openFile(version: ObjectVersion, path: string): CachedObject {
    const fd = inDirectory(path, () => openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600));
    const now = Date.now() / 1000;
    futimesSync(fd, now, now);
    return this.#newObject(version, path, fd, false);
  }

  #newObject(version: ObjectVersion, path: string, fd: number, isNew: boolean): CachedObject {
    const map = new BlockMap(fd, `${this.#bucket} ${version.key} ${version.etag}`, version.size, isNew);
    const object = new CachedObject(version, map, { path, fd }, this.#store, this.budget, this.#arrived);
    object.mayBeSwept = version.size <= this.#residents.limitBytes * SWEPT_PART;
    return object;
  }

  /** Bytes have come into a file. */
  readonly #arrived = (object: CachedObject, bytes: number): void => {
    this.#residents.grow(object.path, bytes, OVERHEAD_BYTES);
    this.#lastArrival = object.newest?.sequence ?? this.#lastArrival;
    this.#arrivedBytes += bytes;
    if (this.#arrivedBytes >= CHECK_BYTES) {
      this.#arrivedBytes = 0;
      this.#residents.limitTo(this.#allowedBytes());
    }
    this.#makeRoom();
  };

  /** What the cache may have so that the disk does not fill up. */
  #allowedBytes(): number {
    const { bavail, blocks, bsize } = statfsSync(this.#directory);
    return this.#residents.bytes + (bavail - blocks * FREE_PART) * bsize;
  }

  #makeRoom(): void {
    while (this.#residents.isOver) {
      const path = this.#residents.takeVictim((candidate) => this.#isFree(candidate));
      if (path === undefined) {
        this.#thinOut();
        return;
      }
      this.#drop(path);
    }
  }

  #isFree(path: string): boolean {
    const object = this.#open.get(path);
    return object === undefined || (object.users === 0 && !object.busy);
  }

  #drop(path: string): void {
    const object = this.#open.get(path);
    if (object !== undefined) {
      object.close();
      this.#open.delete(path);
      this.#idle.delete(path);
    }
    try {
      unlinkSync(path);
    } catch (err) {
      this.#logger.debug({ err }, "a cache file was gone already");
    }
  }

  /** Everything is in use: takes away the oldest blocks of what is open, in the order in which they came. */
  #thinOut(): void {
    while (this.#residents.isOver) {
      const object = this.#firstToThin();
      const range = object?.takeOldest();
      if (object === undefined || range === undefined) {
        return;
      }
      object.giveUp(range);
      this.#residents.grow(object.path, -range.count * object.map.blockBytes, 0);
    }
  }

  /** The open object with what came first. What came last stays: somebody waits for it. */
  #firstToThin(): CachedObject | undefined {
    let found: CachedObject | undefined;
    for (const object of this.#open.values()) {
      const { sequence = Number.POSITIVE_INFINITY } = object.oldest ?? {};
      if (sequence < (found?.oldest?.sequence ?? this.#lastArrival)) {
        found = object;
      }
    }
    return found;
  }

  #closeIdle(keep: number): void {
    for (const path of this.#idle) {
      if (this.#idle.size <= keep || this.#closed) {
        return;
      }
      const object = this.#open.get(path);
      if (object !== undefined && !object.busy) {
        object.close();
        this.#open.delete(path);
        this.#idle.delete(path);
      } else if (object === undefined) {
        this.#idle.delete(path);
      }
    }
  }
}
