import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { posix } from "../../../src/native/posix.js";
import { GatewayError } from "../../../src/vfs/gateway-error.js";

/**
 * Takes a directory for this process; a lock of the kernel, which ends with the process.
 * @returns gives the directory back
 * @throws GatewayError when another process has it
 */
export function lockDirectory(directory: string): () => void {
  const fd = openSync(join(directory, "lock"), "a", 0o600);
  if (posix.lock(fd) < 0) {
    closeSync(fd);
    throw new GatewayError("environment", `--staging-dir: ${directory} is in use by another gateway`);
  }
  return () => closeSync(fd);
}
