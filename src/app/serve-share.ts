import type { ShareConfig } from "../config/share-config.js";
import type { LoggingConfig } from "../observability/log-levels.js";
import { createLogger } from "../observability/logger.js";
import { createShareContainer } from "./container.js";
import { Tokens } from "./tokens.js";

/**
 * Serves one share on this thread until its front-end disconnects or a signal ends it.
 * @returns the exit code of the process
 * @throws GatewayError when the share cannot be served or the front-end broke the protocol
 */
export async function serveShare(config: ShareConfig, logging: LoggingConfig): Promise<number> {
  const logger = createLogger(logging);
  process.on("uncaughtException", (err) => {
    logger.error({ err }, "internal error");
    process.exit(1);
  });
  try {
    const share = await createShareContainer(config, logger).getAsync(Tokens.share);
    return await share.run();
  } catch (err) {
    logger.debug({ err }, "the share ended with an error");
    throw err;
  }
}
