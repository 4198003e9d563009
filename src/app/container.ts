import { Container } from "inversify";
import { cachePolicy } from "../config/cache-policy.js";
import type { ShareConfig } from "../config/share-config.js";
import type { Logger } from "../vfs/logger.js";
import { createBackend } from "./create-backend.js";
import { Share } from "./share.js";
import { Tokens } from "./tokens.js";

/** Wires one share: configuration → backend → share. Ask it with `getAsync(Tokens.share)`. */
export function createShareContainer(config: ShareConfig, logger: Logger): Container {
  const container = new Container({ defaultScope: "Singleton" });
  container.bind(Tokens.config).toConstantValue(config);
  container.bind(Tokens.logger).toConstantValue(logger);
  container
    .bind(Tokens.cachePolicy)
    .toResolvedValue(
      (shareConfig: ShareConfig, backend) =>
        cachePolicy(shareConfig.cache, shareConfig, backend.capabilities.changesOutside),
      [Tokens.config, Tokens.backend],
    );
  container.bind(Tokens.backend).toResolvedValue(createBackend, [Tokens.config, Tokens.logger]);
  container
    .bind(Tokens.share)
    .toResolvedValue(
      (shareConfig, policy, backend, shareLogger) => new Share(shareConfig, policy, backend, shareLogger),
      [Tokens.config, Tokens.cachePolicy, Tokens.backend, Tokens.logger],
    );
  return container;
}
