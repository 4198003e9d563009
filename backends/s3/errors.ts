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

/** Whether `error` is a {@link StoreError} with this code. */
export function isStoreError(error: unknown, code: StoreErrorCode): boolean {
  return error instanceof StoreError && error.code === code;
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
