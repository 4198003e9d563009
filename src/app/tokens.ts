import type { ServiceIdentifier } from "inversify";
import type { CachePolicy } from "../config/cache-policy.js";
import type { ShareConfig } from "../config/share-config.js";
import type { Backend } from "../vfs/backend.js";
import type { Logger } from "../vfs/logger.js";
import type { Share } from "./share.js";

function token<T>(name: string): ServiceIdentifier<T> {
  return Symbol(name);
}

/** Everything the container of a share knows. */
export const Tokens = {
  config: token<ShareConfig>("ShareConfig"),
  logger: token<Logger>("Logger"),
  cachePolicy: token<CachePolicy>("CachePolicy"),
  /** The backend with its wrappers around it, not yet started. */
  backend: token<Backend>("Backend"),
  share: token<Share>("Share"),
} as const;
