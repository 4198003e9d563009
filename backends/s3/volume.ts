import type { AttributeStore } from "./attributes/attribute-store.js";
import type { ObjectCache } from "./cache/object-cache.js";
import { InodeNumbers, ROOT_INO } from "./namespace/inode-numbers.js";
import { S3Directory } from "./namespace/node.js";
import { FRESHNESS, type Freshness, type S3BackendOptions } from "./options.js";
import type { StagingArea } from "./staging/staging.js";
import type { ObjectStore, StoreFeatures } from "./store/object-store.js";

/** What the parts of a started share have in common. */
export class S3Volume {
  readonly options: S3BackendOptions;
  readonly store: ObjectStore;
  readonly features: StoreFeatures;
  readonly area: StagingArea;
  readonly attributes: AttributeStore;
  readonly cache: ObjectCache;
  readonly freshness: Freshness;
  /** Milliseconds since 1970: the time of what has none. */
  readonly startedMs = Date.now();
  readonly numbers = new InodeNumbers();
  readonly root: S3Directory;

  constructor(
    options: S3BackendOptions,
    features: StoreFeatures,
    area: StagingArea,
    attributes: AttributeStore,
    cache: ObjectCache,
  ) {
    this.options = options;
    this.store = options.store;
    this.features = features;
    this.area = area;
    this.attributes = attributes;
    this.cache = cache;
    this.freshness = FRESHNESS[options.consistency];
    this.root = new S3Directory(undefined, "", "", ROOT_INO, options.prefix);
    this.root.checkedMs = Number.POSITIVE_INFINITY;
  }

  /** Whether something that the bucket said at `askedMs` (performance.now()) still holds. */
  isFresh(askedMs: number): boolean {
    return performance.now() - askedMs < this.freshness.presentMs;
  }
}
