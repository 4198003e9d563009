import {
  EACCES,
  EFBIG,
  EIO,
  ENAMETOOLONG,
  ENODEV,
  ENOENT,
  ENOSPC,
  EOPNOTSUPP,
  type Errno,
  ESTALE,
  type Status,
} from "../../src/vfs/errno.js";
import type { Logger } from "../../src/vfs/logger.js";
import { StoreError, type StoreErrorCode } from "./store/object-store.js";

const ERRNO: Readonly<Record<StoreErrorCode, Errno>> = {
  "not-found": -ENOENT,
  "no-bucket": -ENODEV,
  "no-upload": -EIO,
  precondition: -ESTALE,
  range: -ESTALE,
  access: -EACCES,
  archived: -EACCES,
  "too-large": -EFBIG,
  "key-too-long": -ENAMETOOLONG,
  quota: -ENOSPC,
  unsupported: -EOPNOTSUPP,
  checksum: -EIO,
  io: -EIO,
};

/** What callers expect to happen and say nothing about. */
const ORDINARY: ReadonlySet<StoreErrorCode> = new Set(["not-found", "precondition", "range"]);

/** Whether an error is one of the store with one of these codes. */
export function isStoreError(error: unknown, ...codes: readonly StoreErrorCode[]): error is StoreError {
  return error instanceof StoreError && codes.includes(error.code);
}

/** The errno that stands for a failure of the store; what is no {@link StoreError} is a bug and thrown on. */
export function errnoOf(error: unknown, logger: Logger): Errno {
  if (!(error instanceof StoreError)) {
    throw error;
  }
  if (!ORDINARY.has(error.code)) {
    logger.warn({ code: error.code }, error.message);
  }
  return ERRNO[error.code];
}

/** An errno as an exception, for the way through what rejects. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  constructor(readonly status: Status) {
    super(`errno ${-status}`);
  }
}

/** What a caller of the file system sees of any error while a file is published. */
export function storeStatus(error: unknown): Status {
  if (error instanceof StatusError) {
    return Math.min(error.status, 0) || -EIO;
  }
  return error instanceof StoreError ? ERRNO[error.code] : -EIO;
}
