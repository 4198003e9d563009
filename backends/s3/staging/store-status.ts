import {
  EACCES,
  EFBIG,
  EIO,
  ENAMETOOLONG,
  ENODEV,
  ENOENT,
  ENOSPC,
  EOPNOTSUPP,
  ESTALE,
  type Status,
} from "../../../src/vfs/errno.js";
import { StoreError, type StoreErrorCode } from "../store/object-store.js";

const STATUS: Readonly<Record<StoreErrorCode, Status>> = {
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

/** Whether an error is one of the store with one of these codes. */
export function isStoreError(err: unknown, ...codes: readonly StoreErrorCode[]): err is StoreError {
  return err instanceof StoreError && codes.includes(err.code);
}

/** What a caller of the file system sees of it. */
export function storeStatus(err: unknown): Status {
  if (err instanceof StatusError) {
    return Math.min(err.status, 0) || -EIO;
  }
  return err instanceof StoreError ? STATUS[err.code] : -EIO;
}

/** An errno as an exception, for the way through what rejects. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  constructor(readonly status: Status) {
    super(`errno ${-status}`);
  }
}
