import { readFileSync, unlinkSync } from "node:fs";
import { resolve } from "node:path";
import { getSystemErrorName as errnoName } from "node:util";
import type { Lane } from "../native/lane.js";
import { accept, closeDescriptor, listenUnix, lockFile, watch } from "../native/socket.js";
import { EAGAIN, EEXIST, EINTR, ENAMETOOLONG } from "../vfs/errno.js";
import { GatewayError } from "../vfs/gateway-error.js";
import type { Logger } from "../vfs/logger.js";
import { VhostDevice } from "./device.js";

/** What answers the requests of the queues. */
export interface RequestHandler {
  /** Answers the requests of the lane's batch. */
  readonly runBatch: (count: number) => void;
  /** The device was reset: the guest starts over. */
  reset(): void;
  /** How many requests of a queue are held, maybe for ever: its stop does not wait for them. */
  heldRequests(queue: number): number;
}

export interface VhostServerOptions {
  readonly socketPath: string;
  /** Tag in the device's configuration space; undefined: the front-end has its own. */
  readonly tag: string | undefined;
  /** Request queues named in the configuration space. */
  readonly requestQueues: number;
  readonly lane: Lane;
  readonly logger: Logger;
}

/** Bytes of a socket address's path, without the NUL. */
const SOCKET_PATH_BYTES = 107;
/** SO_ACCEPTCON in /proc/net/unix: a socket that listens. */
const LISTENING = "00010000";

/** Listens on a unix socket for one front-end and serves it. */
export class VhostServer {
  readonly #options: VhostServerOptions;
  #listener = -1;
  #lock = -1;
  #stopWaiting: (() => void) | undefined;

  constructor(options: VhostServerOptions) {
    this.#options = options;
  }

  /**
   * Makes the socket. A socket that nobody listens on is replaced; `<socket>.pid` is locked, so that two
   * servers do not share one path.
   * @throws GatewayError "environment": the path is too long, in use, or not to be written
   */
  listen(): void {
    const path = this.#options.socketPath;
    if (Buffer.byteLength(path) > SOCKET_PATH_BYTES) {
      throw socketError(path, `expected at most ${SOCKET_PATH_BYTES} bytes, got ${Buffer.byteLength(path)}`);
    }
    this.#lock = lockFile(`${path}.pid`);
    if (this.#lock === -EAGAIN || isListening(path)) {
      throw socketError(path, "a live server listens on it");
    }
    if (this.#lock < 0) {
      throw socketError(path, `cannot lock ${path}.pid: ${errnoName(this.#lock)}`);
    }
    this.#listener = listenUnix(path);
    if (this.#listener === -EEXIST) {
      throw socketError(path, "something that is no socket lies there");
    }
    if (this.#listener < 0) {
      const reason = this.#listener === -ENAMETOOLONG ? "the path is too long" : errnoName(this.#listener);
      throw socketError(path, `cannot listen: ${reason}`);
    }
  }

  /**
   * Waits for a front-end and serves it until it disconnects.
   * @throws GatewayError "protocol" when it breaks the protocol
   */
  async serve(handler: RequestHandler, onConnected: () => void): Promise<void> {
    const socket = await this.#accept();
    onConnected();
    const { lane, tag, requestQueues, logger } = this.#options;
    const device = new VhostDevice({
      lane,
      tag,
      requestQueues,
      logger,
      onReset: () => handler.reset(),
      heldRequests: (queue) => handler.heldRequests(queue),
    });
    lane.setHandlers(handler.runBatch, device.onLaneEvent);
    await device.serve(socket);
    this.#logStatistics();
  }

  /** Removes the socket. */
  close(): void {
    this.#stopWaiting?.();
    if (this.#listener >= 0) {
      closeDescriptor(this.#listener);
      this.#listener = -1;
      removeFile(this.#options.socketPath);
    }
    if (this.#lock >= 0) {
      removeFile(`${this.#options.socketPath}.pid`);
      closeDescriptor(this.#lock);
      this.#lock = -1;
    }
  }

  #accept(): Promise<number> {
    return new Promise((settle, reject) => {
      const stop = watch(this.#listener, () => {
        const socket = accept(this.#listener);
        if (socket === -EAGAIN || socket === -EINTR) {
          return;
        }
        this.#stopWaiting?.();
        if (socket >= 0) {
          settle(socket);
        } else {
          reject(socketError(this.#options.socketPath, `cannot accept a connection: ${errnoName(socket)}`));
        }
      });
      if (typeof stop === "number") {
        reject(socketError(this.#options.socketPath, `cannot wait for a connection: ${errnoName(-stop)}`));
      } else {
        this.#stopWaiting = stop;
      }
    });
  }

  #logStatistics(): void {
    const { lane, logger } = this.#options;
    for (let queue = 0; queue <= lane.lastQueue; queue++) {
      const { requests, malformed, kicks, signals, transfers } = lane.statistics(queue);
      logger.debug(
        `queue ${queue}: ${requests} requests (${transfers} transfers by native code), ${malformed} malformed, ` +
          `${kicks} kicks, ${signals} signals`,
      );
    }
  }
}

function socketError(path: string, reason: string): GatewayError {
  return new GatewayError("environment", `--socket-path: ${JSON.stringify(path)}: ${reason}`);
}

/** Whether some process listens there, found out without connecting: that would disturb it. */
function isListening(path: string): boolean {
  let table: string;
  try {
    table = readFileSync("/proc/net/unix", "latin1");
  } catch {
    return false;
  }
  const names = new Set([path, resolve(path)]);
  return table.split("\n").some((line) => {
    // Num RefCount Protocol Flags Type St Inode Path
    const [, , , flags, , , , ...rest] = line.trim().split(/ +/);
    return flags === LISTENING && names.has(rest.join(" "));
  });
}

function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Somebody else removed it: what we wanted.
  }
}
