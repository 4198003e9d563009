import type { CachePolicy } from "../config/cache-policy.js";
import type { ShareConfig } from "../config/share-config.js";
import type { SessionFeatures } from "../fuse/features.js";
import { FuseSession } from "../fuse/session.js";
import { Lane } from "../native/lane.js";
import type { Backend } from "../vfs/backend.js";
import type { Logger } from "../vfs/logger.js";
import type { VfsNode } from "../vfs/node.js";
import { VhostServer } from "../vhost-user/server.js";
import { MemoryRelease } from "./memory-release.js";
import { EXIT_STOPPED, StopSignals } from "./stop-signals.js";

/** What the configuration space names, as virtiofsd does; front-ends configure how many they want. */
const REQUEST_QUEUES = 1;

const EXIT_DISCONNECTED = 0;

/**
 * Without a page cache, guests clear setuid and setgid at writes only by way of the server. What belongs to its guest alone,
 * an overlay, is spared the requests that it would send to do that, and to close files that may be locked elsewhere; so is
 * a bucket, whose writes all pass by the backend in any case, the former.
 */
function sessionFeatures(config: ShareConfig, { directIo }: CachePolicy): SessionFeatures {
  const { writeback, readdirplus, allowMmap, announceSubmounts, killprivV2, posixAcl } = config;
  const isOverlay = config.backend === "overlay";
  const killPrivileges = killprivV2 ?? (directIo || isOverlay || config.backend === "s3");
  const fileLocks = config.fileLocks ?? !isOverlay;
  // What forbids writing is to be said by open(2) unless somebody prefers speed.
  const openRequests = config.openRequests ?? true;
  const opendirRequests = config.openRequests ?? !isOverlay;
  return {
    ...{ writeback, readdirplus, allowMmap, announceSubmounts },
    ...{ killPrivileges, fileLocks, openRequests, opendirRequests, posixAcl },
  };
}

/** One share: a socket, one front-end, one backend. It runs once. */
export class Share {
  readonly #config: ShareConfig;
  readonly #cachePolicy: CachePolicy;
  readonly #backend: Backend;
  readonly #logger: Logger;

  constructor(config: ShareConfig, cachePolicy: CachePolicy, backend: Backend, logger: Logger) {
    this.#config = config;
    this.#cachePolicy = cachePolicy;
    this.#backend = backend;
    this.#logger = logger;
  }

  /**
   * Serves one front-end from its connection to its disconnect, with the log lines that launchers
   * of virtiofsd wait for.
   * @returns 0 after a disconnect; 1 after SIGTERM, SIGHUP or SIGINT, the socket removed
   * @throws GatewayError when the backend or the socket refuses, or the front-end broke the protocol
   */
  async run(): Promise<number> {
    const signals = new StopSignals();
    try {
      const root = await this.#backend.start();
      try {
        return await this.#serve(root, signals);
      } finally {
        await this.#backend.stop();
      }
    } finally {
      signals.dispose();
    }
  }

  async #serve(root: VfsNode, signals: StopSignals): Promise<number> {
    const { socketPath, tag, spinUs, threadPoolSize } = this.#config;
    const logger = this.#logger;
    const memory = new MemoryRelease();
    const lane = new Lane({ spinUs, ioThreads: threadPoolSize });
    const session = new FuseSession({
      lane,
      backend: this.#backend,
      root,
      cachePolicy: this.#cachePolicy,
      features: sessionFeatures(this.#config, this.#cachePolicy),
      logger,
      onForget: (count, active) => memory.forgotten(count, active),
    });
    const server = new VhostServer({ socketPath, tag, requestQueues: REQUEST_QUEUES, lane, logger });
    let isServed = true;
    let rehearsal: Promise<void> | undefined;
    try {
      server.listen();
      logger.info("Waiting for vhost-user socket connection...");
      rehearsal = this.#rehearse(session, () => isServed);
      const served = server.serve(session, () => logger.info("Client connected, servicing requests"));
      const signal = await Promise.race([served, signals.received]);
      if (signal !== undefined) {
        logger.info(`${signal} received, shutting down`);
        return EXIT_STOPPED;
      }
      logger.info("Client disconnected, shutting down");
      return EXIT_DISCONNECTED;
    } finally {
      isServed = false;
      server.close();
      await rehearsal;
      session.reset();
      memory.close();
      lane.close();
    }
  }

  /** Uses the time until a guest has booted. */
  async #rehearse(session: FuseSession, isServed: () => boolean): Promise<void> {
    const config = this.#config;
    if (config.backend !== "overlay" || config.warmUp === "off" || config.readonly) {
      return;
    }
    try {
      const { rehearse } = await import("./rehearsal.js");
      const { cachePolicy, features } = session;
      await rehearse({ config, cachePolicy, features, batches: () => session.batches, isServed });
    } catch (err) {
      this.#logger.debug({ err }, "the warm-up failed");
    }
  }
}
