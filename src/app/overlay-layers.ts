import { mkdirSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { MemoryBackend } from "../../backends/memory/memory-backend.js";
import type { LayerSource, UpperSource } from "../../backends/overlay/layers.js";
import type { XattrNamespace } from "../../backends/overlay/xattr-names.js";
import { PassthroughBackend } from "../../backends/passthrough/passthrough-backend.js";
import { parseBucketPath } from "../config/s3-fields.js";
import type { OverlayShareConfig } from "../config/share-config.js";
import { parseSize } from "../config/size.js";
import { ATTR_WORDS } from "../vfs/attributes.js";
import type { Backend } from "../vfs/backend.js";
import { GatewayError } from "../vfs/gateway-error.js";
import type { Logger } from "../vfs/logger.js";
import type { Caller, VfsNode } from "../vfs/node.js";
import { readingOptions } from "./bucket-options.js";

const MEMORY = /^memory(?::(.*))?$/;
const BUCKET = /^s3:(.*)$/s;
/** What says something of buckets only, where it is given. */
const BUCKET_SETTINGS = [
  ["region", "--region"],
  ["endpoint", "--endpoint"],
  ["cacheDir", "--cache-dir"],
  ["cacheSize", "--cache-size"],
] as const;
const DEFAULT_MEMORY_BYTES = 2 ** 30;
const ROOT_MODE = 0o755;

function hostDirectory(path: string, option: string, config: OverlayShareConfig, logger: Logger) {
  return new PassthroughBackend({
    sharedDir: path,
    option,
    exclusive: option === "--upper",
    descriptorShare: 1 / (config.lower.length + 1),
    xattr: true,
    posixAcl: config.posixAcl !== "never",
    allowDirectIo: false,
    logger,
  });
}

/** The bucket that a lower layer names; undefined: it is a directory. */
function bucketOf(lower: string): string | undefined {
  return BUCKET.exec(lower)?.[1];
}

/** @throws GatewayError for settings of buckets where no layer is in one */
export function checkBucketSettings(config: OverlayShareConfig): void {
  const hasBucket = config.lower.some((lower) => bucketOf(lower) !== undefined);
  const useless = hasBucket ? undefined : BUCKET_SETTINGS.find(([setting]) => config[setting] !== undefined);
  if (useless !== undefined) {
    throw new GatewayError("usage", `${useless[1]}: expected a layer in a bucket, such as --lower s3:BUCKET`);
  }
}

/**
 * The layers that are read: host directories, or what is in buckets.
 * @throws GatewayError for what names no bucket
 */
export function lowerSources(config: OverlayShareConfig, logger: Logger): Promise<LayerSource[]> {
  return Promise.all(
    config.lower.map(async (lower) => {
      const bucket = bucketOf(lower);
      const name = `--lower ${JSON.stringify(lower)}`;
      const backend =
        bucket === undefined
          ? hostDirectory(lower, "--lower", config, logger)
          : await bucketBackend(bucket, config, logger);
      return { name, backend, open: () => backend.start() };
    }),
  );
}

async function bucketBackend(path: string, config: OverlayShareConfig, logger: Logger): Promise<Backend> {
  const place = parseBucketPath(path);
  if (place === undefined) {
    throw new GatewayError(
      "usage",
      `--lower: expected s3:BUCKET or s3:BUCKET/PREFIX, got ${JSON.stringify(`s3:${path}`)}`,
    );
  }
  const { createS3Backend } = await import("../../backends/s3/create-s3-backend.js");
  return createS3Backend({
    ...place,
    ...readingOptions(config),
    logger,
    // Lower layers are not written to, by anybody.
    ...{ readonly: true, consistency: "immutable" },
    ...{ stagingDirectory: undefined, fsync: "off", onConflict: "error" },
  });
}

/** The layer that is written: a host directory, or memory. */
export function upperSource(text: string, config: OverlayShareConfig, logger: Logger): UpperSource {
  const memory = MEMORY.exec(text);
  if (memory !== null) {
    return memoryUpper(memory[1], config, logger);
  }
  const backend = hostDirectory(text, "--upper", config, logger);
  const upper = resolve(text);
  const work =
    config.work === undefined ? join(dirname(upper), `${basename(upper)}.work`) : resolve(config.work);
  checkApart(upper, work, config.lower);
  return {
    name: `--upper ${JSON.stringify(text)}`,
    backend,
    open: () => backend.start(),
    openWork: () => {
      mkdirSync(join(work, "work"), { recursive: true, mode: 0o700 });
      return backend.attach(join(work, "work"), "--work");
    },
    openIndex: () => {
      if (config.index === "off") {
        return undefined;
      }
      mkdirSync(join(work, "index"), { recursive: true, mode: 0o700 });
      return backend.attach(join(work, "index"), "--work");
    },
  };
}

/** Whether changes go to a directory of the host. */
export function hasHostUpper({ upper }: OverlayShareConfig): boolean {
  return upper !== undefined && !MEMORY.test(upper);
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // It does not exist yet, or opening it will say what is wrong.
    return resolve(path);
  }
}

/** What is written must not be inside of what is read, nor the other way round. */
function checkApart(upper: string, work: string, lowers: readonly string[]): void {
  const isInside = (path: string, directory: string) =>
    path === directory || path.startsWith(join(directory, "/"));
  const overlap = (a: string, b: string) => isInside(a, b) || isInside(b, a);
  const [realUpper, realWork] = [realPath(upper), realPath(work)];
  if (overlap(realUpper, realWork)) {
    throw new GatewayError("usage", "--work: expected a directory outside of --upper, and not around it");
  }
  for (const lower of lowers.filter((each) => bucketOf(each) === undefined).map(realPath)) {
    if (overlap(lower, realUpper) || overlap(lower, realWork)) {
      throw new GatewayError(
        "usage",
        "--upper: expected directories outside of each --lower, and not around one",
      );
    }
  }
}

const ROOT: Caller = { uid: 0, gid: 0, pid: 0, supplementaryGroup: -1, umask: 0, clearsPrivileges: false };

function memoryUpper(size: string | undefined, config: OverlayShareConfig, logger: Logger): UpperSource {
  const sizeBytes = size === undefined ? DEFAULT_MEMORY_BYTES : parseSize(size);
  if (sizeBytes === undefined || config.work !== undefined) {
    throw config.work === undefined
      ? new GatewayError(
          "usage",
          `--upper: expected memory:SIZE such as memory:1GiB, got ${JSON.stringify(size)}`,
        )
      : new GatewayError("usage", "--work: a memory layer needs none");
  }
  const backend = new MemoryBackend({ sizeBytes, posixAcl: true, logger });
  let root: VfsNode;
  const makeDirectory = (name: string): VfsNode => {
    const made = backend.mkdir(ROOT, root, name, ROOT_MODE, new Uint32Array(ATTR_WORDS));
    if (typeof made === "number") {
      throw new GatewayError("environment", `--upper: ${JSON.stringify(size)} is too small`);
    }
    return made;
  };
  return {
    name: "--upper memory",
    backend,
    open: async () => {
      root = await backend.start();
      return makeDirectory("upper");
    },
    openWork: () => makeDirectory("work"),
    openIndex: () => (config.index === "off" ? undefined : makeDirectory("index")),
  };
}

/** Where the overlay's marks are kept: only root can have "trusted." ones. */
export function xattrNamespace(wanted: OverlayShareConfig["overlayXattr"]): XattrNamespace {
  if (wanted !== "auto") {
    return wanted;
  }
  return process.geteuid?.() === 0 ? "trusted" : "user";
}
