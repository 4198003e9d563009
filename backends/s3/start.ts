import { mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GatewayError } from "../../src/vfs/gateway-error.js";
import type { Logger } from "../../src/vfs/logger.js";
import { makeTemporaryDirectory } from "../../src/vfs/temporary-directory.js";
import { AttributeFile } from "./attributes/attribute-file.js";
import { AttributeStore } from "./attributes/attribute-store.js";
import { MemoryBudget } from "./cache/memory-budget.js";
import { ObjectCache } from "./cache/object-cache.js";
import { Namespace } from "./namespace/namespace.js";
import { publicationEvents } from "./namespace/publications.js";
import type { S3BackendOptions } from "./options.js";
import type { StagingArea, StagingStatus } from "./staging/staging.js";
import { openStagingArea } from "./staging/staging-area.js";
import { StoreError, type StoreFeatures } from "./store/object-store.js";
import { S3Volume } from "./volume.js";

const ATTRIBUTE_FILE_BYTES = 64 * 2 ** 20;
const TEMPORARY = "virtiofs-gateway-s3-";
/** What the probe needs keys for; they do not stay. */
const SCRATCH = ".virtiofs-gateway/";

/** A share in service. */
export interface StartedShare {
  readonly namespace: Namespace;
  /** Publishes what is staged, and ends. */
  stop(): Promise<void>;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function probe(options: S3BackendOptions): Promise<StoreFeatures> {
  try {
    return await options.store.probe(options.readonly ? undefined : options.prefix + SCRATCH);
  } catch (cause) {
    if (!(cause instanceof StoreError)) {
      throw cause;
    }
    const message = `bucket ${options.bucket} at ${options.endpoint}: ${reasonOf(cause)}`;
    throw new GatewayError("environment", message, { cause });
  }
}

/** One line that says what the share has and what it has to do without. */
function describe(options: S3BackendOptions, features: StoreFeatures): string {
  const has = (what: string, there: boolean) => `${there ? "" : "no "}${what}`;
  const { createOnly, replaceOnly, conditionalDelete, conditionalCopy, partCopy, checksums, versioned } =
    features;
  const place = options.prefix === "" ? options.bucket : `${options.bucket}/${options.prefix}`;
  const share = `S3 share ${place} at ${options.endpoint}`;
  if (options.readonly) {
    return `${share}: read-only, ${has("versions", versioned)}`;
  }
  const details = [
    "writable",
    has("conditional writes", createOnly && replaceOnly),
    has("conditional copies", conditionalCopy),
    has("conditional deletes", conditionalDelete),
    has("part copies", partCopy),
    has("checksums", checksums),
    has("versions", versioned),
  ];
  return `${share}: ${details.join(", ")}`;
}

/** Where a share has its files, and how to leave that. */
interface Directories {
  readonly cache: string;
  readonly staging: string;
  leave(): void;
}

/** What is not configured is temporary. */
function prepareDirectories({ cacheDirectory, stagingDirectory }: S3BackendOptions): Directories {
  let temporary: string | undefined;
  const makeTemporary = (name: string) => {
    temporary ??= makeTemporaryDirectory(tmpdir(), TEMPORARY);
    return join(temporary, name);
  };
  const cache = cacheDirectory ?? makeTemporary("cache");
  mkdirSync(cache, { recursive: true });
  return {
    cache,
    staging: stagingDirectory ?? makeTemporary("staging"),
    leave: () => {
      if (temporary !== undefined) {
        rmSync(temporary, { recursive: true, force: true });
      }
    },
  };
}

function progressText({ bytes, files, removals }: StagingStatus): string {
  return `${bytes} bytes in ${files} files to upload, ${removals} objects to remove`;
}

/** Publishes what is left; a second signal leaves it in the journal for the next start. */
async function drain(area: StagingArea, logger: Logger): Promise<void> {
  const interruption = new AbortController();
  const interrupt = () => interruption.abort();
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) {
    process.on(signal, interrupt);
  }
  const left = await area.drain((status) => logger.info(progressText(status)), interruption.signal);
  for (const signal of signals) {
    process.off(signal, interrupt);
  }
  if (left.files + left.removals > 0) {
    logger.warn(`${progressText(left)} stay in the journal for the next start`);
  }
}

/** What the requests of a share were. */
function countsText(counts: Readonly<Record<string, number>>): string {
  const made = Object.entries(counts).filter(([, count]) => count > 0);
  return made.length === 0 ? "none" : made.map(([name, count]) => `${name} ${count}`).join(", ");
}

/** Opens the cache and everything that is in front of the bucket. */
async function assemble(
  options: S3BackendOptions,
  features: StoreFeatures,
  directories: Directories,
): Promise<Namespace> {
  const { store, logger, memoryBytes } = options;
  const bucket = `${options.endpoint}/${options.bucket}`;
  const attributes = new AttributeStore(
    store,
    new AttributeFile(join(directories.cache, "attributes"), ATTRIBUTE_FILE_BYTES, bucket),
  );
  const budget = new MemoryBudget(memoryBytes / 2);
  const cache = new ObjectCache(store, bucket, directories.cache, options.cacheBytes, budget, logger);
  const events = publicationEvents(() => namespace);
  const area = await openStagingArea(
    {
      store,
      features,
      directory: directories.staging,
      fsync: options.fsync,
      onConflict: options.onConflict,
      lostAndFound: `${options.prefix}lost+found/`,
      scratch: options.prefix + SCRATCH,
      uploadMemoryBytes: memoryBytes / 2,
      readSource: async (source, offset, into) => {
        const object = cache.open(source);
        try {
          return await object.read(offset, into);
        } finally {
          cache.release(object);
        }
      },
      adopt: (file, object) => cache.adopt(file, object),
      logger,
    },
    events,
  );
  const volume = new S3Volume(options, features, area, attributes, cache);
  const namespace: Namespace = new Namespace(volume);
  cache.takeStock().catch((err: unknown) => logger.warn({ err }, "the disk cache could not be read"));
  return namespace;
}

/**
 * Checks the bucket and brings a share into service.
 * @throws GatewayError in one line when bucket, credentials, region or clock are not right
 */
export async function startShare(options: S3BackendOptions): Promise<StartedShare> {
  const { store, logger } = options;
  const features = await probe(options);
  if (!features.writable && !options.readonly) {
    throw new GatewayError(
      "environment",
      `bucket ${options.bucket}: writing is not allowed; share it with --readonly`,
    );
  }
  const directories = prepareDirectories(options);
  const namespace = await assemble(options, features, directories);
  const { volume } = namespace;
  const loaded = await namespace.load(volume.root);
  if (loaded < 0) {
    throw new GatewayError("environment", `bucket ${options.bucket}: ${options.prefix}: error ${-loaded}`);
  }
  logger.info(describe(options, features));
  return {
    namespace,
    stop: async () => {
      await drain(volume.area, logger);
      await volume.area.close();
      volume.cache.close();
      volume.attributes.close();
      await store.close();
      directories.leave();
      logger.info(`S3 requests: ${countsText(store.counts)}`);
    },
  };
}
