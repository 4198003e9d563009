import type { S3ShareOptions } from "../../backends/s3/create-s3-backend.js";
import { defaultCacheSize } from "../config/s3-fields.js";
import type { OverlayShareConfig, S3ShareConfig } from "../config/share-config.js";

type ReadingOptions = Pick<
  S3ShareOptions,
  | "region"
  | "endpoint"
  | "pathStyle"
  | "anonymous"
  | "cacheDirectory"
  | "cacheBytes"
  | "memoryBytes"
  | "dialect"
>;

/** How a bucket is reached and read, as a share or as a layer. */
export function readingOptions(config: S3ShareConfig | OverlayShareConfig): ReadingOptions {
  const { region, endpoint, pathStyle, anonymous, cacheDir, cacheSize, memoryLimit, attributes } = config;
  return {
    ...{ region, endpoint, pathStyle, anonymous },
    cacheDirectory: cacheDir,
    cacheBytes: cacheSize ?? defaultCacheSize(cacheDir !== undefined),
    memoryBytes: memoryLimit,
    dialect: attributes,
  };
}
