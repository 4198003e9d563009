import { statfsSync } from "node:fs";
import { OverlayBackend } from "../../backends/overlay/overlay-backend.js";
import type { CachePolicy } from "../config/cache-policy.js";
import type { OverlayShareConfig } from "../config/share-config.js";
import type { SessionFeatures } from "../fuse/features.js";
import { FuseSession } from "../fuse/session.js";
import { Lane } from "../native/lane.js";
import type { Logger } from "../vfs/logger.js";
import { makeTemporaryDirectory } from "../vfs/temporary-directory.js";
import { hasHostUpper, lowerSources, upperSource, xattrNamespace } from "./overlay-layers.js";
import { type Rehearsal, warmUp } from "./warm-up.js";

const SCRATCH = "/dev/shm";
const PREFIX = "virtiofs-gateway-warm-up-";
const TMPFS_MAGIC = 0x01021994;
const SILENT: Logger = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {} };

/** What serves a share, and when to let it. */
export interface Served {
  readonly config: OverlayShareConfig;
  readonly cachePolicy: CachePolicy;
  readonly features: SessionFeatures;
  /** How often the guest was answered. */
  readonly batches: () => number;
  /** The share is still served. */
  readonly isServed: () => boolean;
}

async function start(
  { config: real, cachePolicy, features }: Served,
  lowers: readonly string[],
  upper: string,
): Promise<Rehearsal> {
  const config: OverlayShareConfig = { ...real, lower: [...lowers], upper, work: `${upper}.work` };
  const layers = {
    lowers: await lowerSources(config, SILENT),
    upper: upperSource(upper, config, SILENT),
  };
  const backend = new OverlayBackend({
    ...layers,
    xattrNamespace: xattrNamespace(config.overlayXattr),
    redirectDir: config.redirectDir === "on",
    metacopy: config.metacopy === "on",
    // Nothing of it is worth waiting for a disk.
    isVolatile: true,
  });
  const root = await backend.start();
  const lane = new Lane({ spinUs: 0, ioThreads: config.threadPoolSize });
  const session = new FuseSession({ lane, backend, root, cachePolicy, features, logger: SILENT });
  return {
    lane,
    session,
    async end() {
      session.reset();
      lane.close();
      // The overlay's own stop would synchronise the disk.
      for (const { backend: layer } of [layers.upper, ...layers.lowers]) {
        await layer.stop();
      }
    },
  };
}

/**
 * See {@link warmUp}: of an overlay with an upper layer on the host. It takes place in memory: thousands of files that are made
 * and removed on a disk would slow down what the guest makes next, as ext4 walks over what was removed lately.
 */
export async function rehearse(served: Served): Promise<void> {
  if (!hasHostUpper(served.config) || statfsSync(SCRATCH).type !== TMPFS_MAGIC) {
    return;
  }
  const directory = makeTemporaryDirectory(SCRATCH, PREFIX);
  const { batches, isServed } = served;
  await warmUp(directory, (lowers, upper) => start(served, lowers, upper), batches, isServed);
}
