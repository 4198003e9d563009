import type {
  MemoryShareConfig,
  OverlayShareConfig,
  PassthroughShareConfig,
  S3ShareConfig,
  ShareConfig,
} from "../config/share-config.js";
import type { Backend } from "../vfs/backend.js";
import { GatewayError } from "../vfs/gateway-error.js";
import type { Logger } from "../vfs/logger.js";
import { ReadOnlyBackend } from "../vfs/read-only-backend.js";
import { XattrMapBackend } from "../vfs/xattr-map-backend.js";
import { readingOptions } from "./bucket-options.js";

async function createPassthrough(config: PassthroughShareConfig, logger: Logger): Promise<Backend> {
  const { PassthroughBackend } = await import("../../backends/passthrough/passthrough-backend.js");
  return new PassthroughBackend({
    sharedDir: config.sharedDir,
    xattr: config.xattr || config.xattrmap !== undefined || config.posixAcl !== "never",
    allowDirectIo: config.allowDirectIo,
    inodeFileHandles: config.inodeFileHandles,
    posixAcl: config.posixAcl !== "never",
    logger,
  });
}

async function createMemory(config: MemoryShareConfig, logger: Logger): Promise<Backend> {
  const { MemoryBackend } = await import("../../backends/memory/memory-backend.js");
  return new MemoryBackend({
    sizeBytes: config.size,
    ...(config.inodes !== undefined && { inodeLimit: config.inodes }),
    posixAcl: config.posixAcl !== "never",
    ...(config.seed !== undefined && { seed: config.seed }),
    ...(config.save !== undefined && { save: config.save }),
    logger,
  });
}

async function createOverlay(config: OverlayShareConfig, logger: Logger): Promise<Backend> {
  const { OverlayBackend } = await import("../../backends/overlay/overlay-backend.js");
  const { checkBucketSettings, lowerSources, upperSource, xattrNamespace } = await import(
    "./overlay-layers.js"
  );
  checkBucketSettings(config);
  return new OverlayBackend({
    lowers: await lowerSources(config, logger),
    upper: config.upper === undefined ? undefined : upperSource(config.upper, config, logger),
    xattrNamespace: xattrNamespace(config.overlayXattr),
    redirectDir: config.redirectDir === "on",
    metacopy: config.metacopy === "on",
    isVolatile: config.volatile,
  });
}

async function createS3(config: S3ShareConfig, logger: Logger): Promise<Backend> {
  const { createS3Backend } = await import("../../backends/s3/create-s3-backend.js");
  return createS3Backend({
    bucket: config.bucket,
    prefix: config.prefix,
    ...readingOptions(config),
    readonly: config.readonly,
    stagingDirectory: config.stagingDir,
    fsync: config.fsync,
    consistency: config.consistency,
    onConflict: config.onConflict,
    logger,
  });
}

function createBare(config: ShareConfig, logger: Logger): Promise<Backend> {
  switch (config.backend) {
    case "passthrough":
      return createPassthrough(config, logger);
    case "memory":
      return createMemory(config, logger);
    case "overlay":
      return createOverlay(config, logger);
    case "s3":
      return createS3(config, logger);
  }
}

/**
 * Makes the backend that a configuration names, with the wrappers it asks for around it. The module
 * of a backend is loaded only here, so that a share pays for its own backend alone.
 * @throws GatewayError when the backend cannot have what the configuration requires
 */
export async function createBackend(config: ShareConfig, logger: Logger): Promise<Backend> {
  const bare = await createBare(config, logger);
  const backend = config.xattrmap === undefined ? bare : new XattrMapBackend(bare, config.xattrmap);
  if (config.posixAcl === "always" && !backend.capabilities.posixAcl) {
    const why = config.xattrmap === undefined ? "this backend keeps none" : "--xattrmap renames them";
    throw new GatewayError("environment", `--posix-acl=always: POSIX ACLs are not possible, ${why}`);
  }
  return config.readonly ? new ReadOnlyBackend(backend) : backend;
}
