// @ts-check
// What a bucket holds. Keys are bytes as latin1 strings here, so that `<` is S3's order.
import { createHash, randomBytes } from "node:crypto";
import { Data } from "./data.mjs";

/**
 * One version of an object. It does not know its key: synthetic objects share one.
 *
 * @typedef {object} Version
 * @property {Data} data
 * @property {string} etag With quotes.
 * @property {number} lastModified In milliseconds.
 * @property {Readonly<Record<string, string>>} headers System headers and x-amz-meta-*, as they were sent.
 * @property {string} storageClass
 * @property {string} tagging As x-amz-tagging has them.
 * @property {import("./body.mjs").Checksums} checksums
 * @property {"FULL_OBJECT" | "COMPOSITE"} checksumType
 * @property {string} [versionId]
 * @property {boolean} [deleteMarker]
 * @property {Version} [previous] The version before.
 */

/**
 * @typedef {object} Part
 * @property {Data} data
 * @property {string} etag
 * @property {number} lastModified
 * @property {import("./body.mjs").Checksums} checksums
 */

/**
 * @typedef {object} Upload
 * @property {string} key
 * @property {number} initiated In milliseconds.
 * @property {Omit<Version, "data" | "etag" | "lastModified">} attributes
 * @property {import("./checksums.mjs").ChecksumKind | undefined} checksumKind
 * @property {Map<number, Part>} parts
 */

/** Completed uploads answer a second completion as the first, as long as they are remembered. */
const REMEMBERED_COMPLETIONS = 1000;

const ASCII = /^[\x00-\x7f]*$/;

/** @param {string} key */
export function toBytes(key) {
  return ASCII.test(key) ? key : Buffer.from(key, "utf8").toString("latin1");
}

/** @param {string} bytes */
export function toText(bytes) {
  return Buffer.from(bytes, "latin1").toString("utf8");
}

export class Bucket {
  /** @type {"Enabled" | "Suspended" | undefined} */
  versioning;
  /** Whether requests without signature are served. */
  public = false;
  /** @type {Map<string, Upload>} */
  uploads = new Map();
  /** Upload id → what its completion answered. @type {Map<string, {key: string, version: Version}>} */
  completed = new Map();

  /** @type {Map<string, Version>} */
  #latest = new Map();
  /** Every key of #latest is in one of the two; keys that are gone may be there, too. */
  #sorted = /** @type {string[]} */ ([]);
  #added = /** @type {string[]} */ ([]);
  #removedCount = 0;

  /** @param {string} name */
  constructor(name) {
    this.name = name;
  }

  /** Keys, delete markers included. */
  get size() {
    return this.#latest.size;
  }

  /**
   * @param {string} key
   * @param {string} [versionId]
   * @returns {Version | undefined} Delete markers included.
   */
  find(key, versionId) {
    let version = this.#latest.get(key);
    if (versionId === undefined) return version;
    while (version !== undefined && (version.versionId ?? "null") !== versionId) version = version.previous;
    return version;
  }

  /**
   * @param {string} key
   * @param {Omit<Version, "versionId" | "previous">} version
   * @returns {Version}
   */
  put(key, version) {
    const before = this.#latest.get(key);
    if (before === undefined) this.#added.push(key);
    /** @type {Version} */
    const added = { ...version };
    if (this.versioning !== undefined) {
      added.versionId = this.versioning === "Enabled" ? randomBytes(16).toString("hex") : "null";
      if (before !== undefined) added.previous = before;
    }
    this.#latest.set(key, added);
    return added;
  }

  /**
   * @param {string} key
   * @param {string} [versionId]
   * @returns {Version | undefined} The delete marker that was made, or the version that was removed.
   */
  remove(key, versionId) {
    if (versionId !== undefined) return this.#removeVersion(key, versionId);
    if (this.versioning !== undefined) {
      const marker = {
        data: new Data([]),
        etag: '""',
        lastModified: Date.now(),
        headers: {},
        storageClass: "STANDARD",
        tagging: "",
        checksums: {},
        checksumType: /** @type {const} */ ("FULL_OBJECT"),
        deleteMarker: true,
      };
      return this.put(key, marker);
    }
    const version = this.#latest.get(key);
    if (this.#latest.delete(key)) this.#removedCount++;
    return version;
  }

  /** @param {string} key @param {string} versionId */
  #removeVersion(key, versionId) {
    const version = this.find(key, versionId);
    if (version === undefined) return undefined;
    let newer = this.#latest.get(key);
    if (newer !== version) {
      while (newer !== undefined && newer.previous !== version) newer = newer.previous;
      if (newer !== undefined) newer.previous = /** @type {Version} */ (version.previous);
    } else if (version.previous !== undefined) {
      this.#latest.set(key, version.previous);
    } else if (this.#latest.delete(key)) {
      this.#removedCount++;
    }
    return version;
  }

  /**
   * Adds many objects of one size at little cost: their bytes are `Data.synthetic`.
   *
   * @param {Iterable<string>} keys
   * @param {{size?: number, lastModified?: number, headers?: Record<string, string>}} [object]
   */
  addSynthetic(keys, { size = 0, lastModified = Date.now(), headers = {} } = {}) {
    const data = Data.synthetic(size);
    /** @type {Version} */
    const version = {
      data,
      etag: `"${createHash("md5").update(`synthetic ${size}`).digest("hex")}"`,
      lastModified,
      headers: { "content-type": "binary/octet-stream", ...headers },
      storageClass: "STANDARD",
      tagging: "",
      checksums: {},
      checksumType: "FULL_OBJECT",
    };
    for (const key of keys) {
      const bytes = toBytes(key);
      if (!this.#latest.has(bytes)) this.#added.push(bytes);
      this.#latest.set(bytes, version);
    }
  }

  /** @param {string} uploadId @param {string} key @param {Version} version */
  rememberCompletion(uploadId, key, version) {
    // Its bytes are not asked for, and would be kept long after the object was replaced.
    this.completed.set(uploadId, { key, version: { ...version, data: new Data([]) } });
    const [oldest] = this.completed.keys();
    if (this.completed.size > REMEMBERED_COMPLETIONS && oldest !== undefined) this.completed.delete(oldest);
  }

  /**
   * Keys in order, delete markers left out.
   *
   * @param {string} from The first key or the place where it would be.
   * @returns {Generator<[string, Version], void, string | undefined>} `next(key)` goes on at a later key.
   */
  *entries(from) {
    this.#sort();
    const keys = this.#sorted;
    let at = lowerBound(keys, from, 0);
    while (at < keys.length) {
      const key = /** @type {string} */ (keys[at]);
      const version = this.#latest.get(key);
      at++;
      if (version === undefined || version.deleteMarker === true) continue;
      const skipTo = yield [key, version];
      if (skipTo !== undefined) at = lowerBound(keys, skipTo, at);
    }
  }

  /**
   * @param {string} prefix
   * @returns {string[]} In order, those whose latest version is a delete marker included.
   */
  allKeys(prefix) {
    this.#sort();
    return this.#sorted.filter((key) => key.startsWith(prefix) && this.#latest.has(key));
  }

  #sort() {
    if (this.#added.length === 0 && this.#removedCount * 2 < this.#sorted.length) return;
    const added = this.#added.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    /** @type {string[]} */
    const merged = [];
    let next = 0;
    const push = (/** @type {string} */ key) => {
      if (this.#latest.has(key) && merged.at(-1) !== key) merged.push(key);
    };
    for (const key of this.#sorted) {
      for (; next < added.length && /** @type {string} */ (added[next]) < key; next++) {
        push(/** @type {string} */ (added[next]));
      }
      push(key);
    }
    for (; next < added.length; next++) push(/** @type {string} */ (added[next]));
    this.#sorted = merged;
    this.#added = [];
    this.#removedCount = 0;
  }
}

/**
 * @param {readonly string[]} keys
 * @param {string} key
 * @param {number} from
 */
function lowerBound(keys, key, from) {
  let low = from;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (/** @type {string} */ (keys[middle]) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
