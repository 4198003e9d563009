import type { Logger } from "../../src/vfs/logger.js";
import type { DefaultAttributes } from "./attributes/file-attributes.js";
import type { AttributeDialect } from "./attributes/write-metadata.js";
import type { ConflictPolicy, FsyncMode } from "./staging/staging.js";
import type { ObjectStore } from "./store/object-store.js";

/** How long what the bucket said is believed. */
export type Consistency =
  /** Not at all: every operation asks. */
  | "strict"
  /** A second; what another client wrote and closed is seen by who opens after that. */
  | "close-to-open"
  /** A minute. */
  | "cached"
  /** For ever: nobody else writes. */
  | "immutable";

/** Milliseconds that an answer of the bucket holds: that something is there, and that nothing is. */
export interface Freshness {
  readonly presentMs: number;
  readonly absentMs: number;
}

export const FRESHNESS: Readonly<Record<Consistency, Freshness>> = {
  strict: { presentMs: 0, absentMs: 0 },
  "close-to-open": { presentMs: 1000, absentMs: 1000 },
  cached: { presentMs: 60_000, absentMs: 5000 },
  immutable: { presentMs: Number.POSITIVE_INFINITY, absentMs: 60_000 },
};

/** What an S3 share needs. Sizes are bytes. */
export interface S3BackendOptions {
  readonly store: ObjectStore;
  /** For log lines and the disk cache: which bucket where. */
  readonly bucket: string;
  readonly endpoint: string;
  /** Of all keys of the share: empty or with "/" at its end. */
  readonly prefix: string;
  readonly readonly: boolean;
  /** Where blocks and attributes of objects are kept; a private temporary directory unless given. */
  readonly cacheDirectory: string | undefined;
  readonly cacheBytes: number;
  /** Where changes wait for the bucket; a private temporary directory unless given. */
  readonly stagingDirectory: string | undefined;
  readonly fsync: FsyncMode;
  readonly onConflict: ConflictPolicy;
  readonly consistency: Consistency;
  /** For what is being fetched and uploaded. */
  readonly memoryBytes: number;
  readonly dialect: AttributeDialect;
  readonly defaults: DefaultAttributes;
  readonly logger: Logger;
}
