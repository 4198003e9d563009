import { totalmem } from "node:os";
import { getHeapStatistics } from "node:v8";
import { ARENA_PAGE_BYTES } from "../../src/native/arena.js";
import type { Logger } from "../../src/vfs/logger.js";

/** Largest heap that an inode with a long name takes: what bounds inodes when nobody else does. */
const HEAP_BYTES_PER_INODE = 1024;
export const DEFAULT_ROOT_MODE = 0o1777;

/** What a memory share is made of. */
export interface MemoryBackendOptions {
  /** Bytes that contents, long symbolic links and extended attributes may have together. */
  readonly sizeBytes: number;
  /**
   * Inodes that may exist, each further name of one counted again; 0 for no limit. By default as many
   * as half the host's memory has pages (tmpfs), and not more than the JavaScript heap can hold.
   */
  readonly inodeLimit?: number;
  /** Permission bits of the root directory, which root owns: 01777 by default. */
  readonly rootMode?: number;
  /** Keep POSIX ACLs as extended attributes, in step with modes, and inherit default ACLs. */
  readonly posixAcl?: boolean;
  /** A directory or a tar archive that the share starts as a copy of; its root's attributes are the root's. */
  readonly seed?: string;
  /** A tar archive that the share is saved as when it stops. */
  readonly save?: string;
  readonly logger?: Logger;
}

/** As many inodes as there may be unless configured. */
export function defaultInodeLimit(): number {
  const heapBytes = getHeapStatistics().heap_size_limit;
  return Math.floor(Math.min(totalmem() / 2 / ARENA_PAGE_BYTES, heapBytes / 2 / HEAP_BYTES_PER_INODE));
}
