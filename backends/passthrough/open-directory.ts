import { constants } from "node:fs";
import { getSystemErrorName } from "node:util";
import { posix } from "../../src/native/posix.js";
import { GatewayError } from "../../src/vfs/gateway-error.js";

/** A directory of the host that is open. */
export interface OpenDirectory {
  /** Its descriptor, a path only. */
  readonly path: number;
  /** The descriptor that holds the lock on it, or -1. */
  readonly lock: number;
}

/**
 * Opens a directory by its path, following links; its attributes are in `posix.attr`.
 * @param option how messages name the path
 * @param exclusive lock it, so that no other process of this server uses it
 * @throws GatewayError when it cannot be opened, or is in use
 */
export function openDirectory(directory: string, option: string, exclusive: boolean): OpenDirectory {
  const path = posix.openRoot(Buffer.from(directory).toString("latin1"));
  const readable = path < 0 ? path : posix.reopen(path, constants.O_DIRECTORY);
  const value = JSON.stringify(directory);
  if (path < 0 || readable < 0) {
    if (path >= 0) {
      posix.close(path);
    }
    const reason = getSystemErrorName(path < 0 ? path : readable);
    throw new GatewayError(
      "environment",
      `${option}: ${value} is not a directory that can be opened: ${reason}`,
    );
  }
  if (!exclusive) {
    posix.close(readable);
    return { path, lock: -1 };
  }
  if (posix.lock(readable) < 0) {
    posix.close(readable);
    posix.close(path);
    throw new GatewayError("environment", `${option}: ${value} is in use by another gateway`);
  }
  return { path, lock: readable };
}
