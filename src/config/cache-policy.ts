export const CACHE_POLICY_NAMES = ["auto", "always", "never", "metadata"] as const;

/** How much a guest may cache; the names and meanings are virtiofsd's. */
export type CachePolicyName = (typeof CACHE_POLICY_NAMES)[number];

/** What a cache policy means in the answers to a guest. */
export interface CachePolicy {
  /** How long a guest may trust that a name leads to a node, in seconds. */
  readonly entryTimeoutSec: number;
  /** How long a guest may trust attributes, in seconds. */
  readonly attrTimeoutSec: number;
  /** How long a guest may trust that a name does not exist, in seconds; 0: answer a plain ENOENT. */
  readonly negativeTimeoutSec: number;
  /** Files are opened with FOPEN_DIRECT_IO: file data never enters the guest's page cache. */
  readonly directIo: boolean;
  /** Files are opened with FOPEN_KEEP_CACHE: cached data survives a new open. */
  readonly keepCache: boolean;
  /** Directories are opened with FOPEN_CACHE_DIR: listings are cached by the guest. */
  readonly cacheDirectory: boolean;
}

/** Timeouts in seconds that replace those of a policy. */
export interface CacheTimeouts {
  /** Names and attributes, where they have none of their own. */
  readonly timeout?: number | undefined;
  readonly entryTimeout?: number | undefined;
  readonly attrTimeout?: number | undefined;
  readonly negativeTimeout?: number | undefined;
}

const DAY_SEC = 86_400;

/**
 * No policy caches absent names where others may make files: one that appears on the host would stay
 * invisible, and virtiofsd does not do it either.
 */
const POLICIES: Readonly<Record<CachePolicyName, CachePolicy>> = {
  auto: {
    entryTimeoutSec: 1,
    attrTimeoutSec: 1,
    negativeTimeoutSec: 0,
    directIo: false,
    keepCache: false,
    cacheDirectory: false,
  },
  always: {
    entryTimeoutSec: DAY_SEC,
    attrTimeoutSec: DAY_SEC,
    negativeTimeoutSec: 0,
    directIo: false,
    keepCache: true,
    cacheDirectory: true,
  },
  never: {
    entryTimeoutSec: 0,
    attrTimeoutSec: 0,
    negativeTimeoutSec: 0,
    directIo: true,
    keepCache: false,
    cacheDirectory: false,
  },
  metadata: {
    entryTimeoutSec: DAY_SEC,
    attrTimeoutSec: DAY_SEC,
    negativeTimeoutSec: 0,
    directIo: true,
    keepCache: false,
    cacheDirectory: false,
  },
};

/** What a policy is where the guest alone changes files: nothing it caches ever gets old. */
function ofPrivateShare(name: CachePolicyName): CachePolicy {
  return name === "never"
    ? POLICIES.never
    : { ...POLICIES[name === "auto" ? "always" : name], negativeTimeoutSec: DAY_SEC };
}

/**
 * The policy behind a name, with the timeouts that were given instead of its own.
 * @param changesOutside somebody else than the guest may change the share's files
 */
export function cachePolicy(
  name: CachePolicyName,
  timeouts: CacheTimeouts = {},
  changesOutside = true,
): CachePolicy {
  const policy = changesOutside ? POLICIES[name] : ofPrivateShare(name);
  const { timeout, entryTimeout, attrTimeout, negativeTimeout } = timeouts;
  return {
    ...policy,
    entryTimeoutSec: entryTimeout ?? timeout ?? policy.entryTimeoutSec,
    attrTimeoutSec: attrTimeout ?? timeout ?? policy.attrTimeoutSec,
    negativeTimeoutSec: negativeTimeout ?? policy.negativeTimeoutSec,
  };
}
