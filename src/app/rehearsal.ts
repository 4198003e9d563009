import { existsSync, lstatSync, mkdtempSync, readdirSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { OverlayBackend } from "../../backends/overlay/overlay-backend.js";
import type { CachePolicy } from "../config/cache-policy.js";
import type { OverlayShareConfig } from "../config/share-config.js";
import type { SessionFeatures } from "../fuse/features.js";
import { FuseSession } from "../fuse/session.js";
import { Lane } from "../native/lane.js";
import type { Logger } from "../vfs/logger.js";
import { hasHostUpper, lowerSources, upperSource, xattrNamespace } from "./overlay-layers.js";
import { type Rehearsal, warmUp } from "./warm-up.js";

const SCRATCH = "/dev/shm";
const PREFIX = /^virtiofs-gateway-warm-up-(\d+)-/;
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
  const config: OverlayShareConfig = {
    ...real,
    ...{ lower: [...lowers], upper, work: `${upper}.work` },
    ...{ region: undefined, endpoint: undefined, cacheDir: undefined, cacheSize: undefined },
  };
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

/** What processes left that did not end by themselves. */
function removeLeftovers(): void {
  for (const name of readdirSync(SCRATCH)) {
    const path = join(SCRATCH, name);
    const pid = Number(PREFIX.exec(name)?.[1]);
    if (pid > 0 && !existsSync(`/proc/${pid}`) && lstatSync(path).uid === process.getuid?.()) {
      rmSync(path, { recursive: true, force: true });
    }
  }
}

/**
 * See {@link warmUp}: of an overlay with an upper layer on the host. It takes place in memory: thousands of files that are made
 * and removed on a disk would slow down what the guest makes next, as ext4 walks over what was removed lately.
 */
export async function rehearse(served: Served): Promise<void> {
  if (!hasHostUpper(served.config) || statfsSync(SCRATCH).type !== TMPFS_MAGIC) {
    return;
  }
  removeLeftovers();
  const directory = mkdtempSync(join(SCRATCH, `virtiofs-gateway-warm-up-${process.pid}-`));
  const { batches, isServed } = served;
  await warmUp(directory, (lowers, upper) => start(served, lowers, upper), batches, isServed);
}
