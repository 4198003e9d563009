import { posix } from "../../src/native/posix.js";
import type { Caller } from "../../src/vfs/node.js";

const NOTHING = new Uint8Array(0);

/**
 * The mode of a creation with the caller's umask applied, unless the directory has a default ACL, which
 * counts instead. The process has one umask for all its threads, so it stays 0.
 */
export function maskedMode(caller: Caller, directory: number, mode: number): number {
  const { umask } = caller;
  if (umask === 0 || posix.getXattr(directory, "system.posix_acl_default", NOTHING) > 0) {
    return mode;
  }
  return mode & ~umask;
}
