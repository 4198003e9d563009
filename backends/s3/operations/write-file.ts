import {
  type Awaitable,
  EBADF,
  EFBIG,
  EINVAL,
  ENXIO,
  EOPNOTSUPP,
  type Result,
  type Status,
} from "../../../src/vfs/errno.js";
import type { Caller } from "../../../src/vfs/node.js";
import { timeNow } from "../attributes/file-attributes.js";
import { sizeOf } from "../attributes/fill-attributes.js";
import type { S3Volume } from "../volume.js";
import { withoutSetid } from "./change-attributes.js";
import type { S3FileHandle } from "./file-handle.js";
import { readFile } from "./read-file.js";
import { commitAttributes, stampWrite } from "./store-attributes.js";

const SEEK_DATA = 3;
/** KEEP_SIZE, PUNCH_HOLE and ZERO_RANGE. */
const ALLOCATE_MODES = 1 | 2 | 16;
const COPY_BYTES = 2 ** 20;
/** A copy answers after this much and is asked again for the rest. */
const COPY_AT_ONCE_BYTES = 16 * 2 ** 20;
const MAX_OBJECT_BYTES = (5n * 1n) << 40n;

/** Contents have changed: times, and what unprivileged writers take away. */
function changed(caller: Caller, handle: S3FileHandle): void {
  const file = handle.node;
  stampWrite(file, timeNow());
  if (caller.clearsPrivileges && file.attributes !== undefined) {
    file.attributes = { ...file.attributes, mode: withoutSetid(file.attributes.mode, false) };
  }
}

/** Applies `changed` when the operation succeeds. */
function whenChanged(caller: Caller, handle: S3FileHandle, operation: Awaitable<Status>): Awaitable<Status> {
  const finish = (status: Status): Status => {
    if (status >= 0) {
      changed(caller, handle);
    }
    return status;
  };
  return operation instanceof Promise ? operation.then(finish) : finish(operation);
}

/** write(2). */
export function writeFile(
  caller: Caller,
  handle: S3FileHandle,
  offset: number,
  from: Uint8Array,
): Awaitable<Status> {
  const { staged, writes } = handle;
  if (staged === undefined || !writes) {
    return -EBADF;
  }
  if (from.length === 0) {
    return 0;
  }
  return whenChanged(caller, handle, handle.appends ? staged.append(from) : staged.write(offset, from));
}

/** fallocate(2). */
export function allocate(
  caller: Caller,
  handle: S3FileHandle,
  mode: number,
  offset: bigint,
  length: bigint,
): Awaitable<Status> {
  const { staged, writes } = handle;
  if (staged === undefined || !writes) {
    return -EBADF;
  }
  if ((mode & ~ALLOCATE_MODES) !== 0) {
    return -EOPNOTSUPP;
  }
  if (offset < 0n || length <= 0n) {
    return -EINVAL;
  }
  if (offset + length > MAX_OBJECT_BYTES) {
    return -EFBIG;
  }
  return whenChanged(caller, handle, staged.allocate(mode, Number(offset), Number(length)));
}

/** lseek(2) with SEEK_DATA or SEEK_HOLE. An object has no holes. */
export function seekFile(handle: S3FileHandle, offset: bigint, whence: number): Result<bigint> {
  const staged = handle.staged ?? handle.node.staged;
  const size = sizeOf(handle.node);
  if (offset < 0n || offset >= size) {
    return -ENXIO;
  }
  if (staged !== undefined) {
    const found = staged.seek(Number(offset), whence);
    return found < 0 ? found : BigInt(found);
  }
  return whence === SEEK_DATA ? offset : BigInt(size);
}

/** copy_file_range(2): the count that was copied, which may be less than asked for. */
export async function copyRange(
  volume: S3Volume,
  caller: Caller,
  from: S3FileHandle,
  fromOffset: bigint,
  to: S3FileHandle,
  toOffset: bigint,
  length: bigint,
): Promise<Result<bigint>> {
  const wanted = Number(length > BigInt(COPY_AT_ONCE_BYTES) ? BigInt(COPY_AT_ONCE_BYTES) : length);
  const buffer = Buffer.allocUnsafe(Math.min(COPY_BYTES, wanted));
  const [source, target] = [Number(fromOffset), Number(toOffset)];
  if (from.node === to.node && Math.abs(source - target) < wanted) {
    return -EINVAL;
  }
  let copied = 0;
  while (copied < wanted) {
    const piece = buffer.subarray(0, Math.min(buffer.length, wanted - copied));
    const count = await readFile(volume, from, source + copied, piece);
    const written =
      count <= 0 ? count : await writeFile(caller, to, target + copied, piece.subarray(0, count));
    if (written <= 0) {
      return copied > 0 || written === 0 ? BigInt(copied) : written;
    }
    copied += written;
  }
  return BigInt(copied);
}

/** fsync(2), as durable as the share makes it. */
export function syncFile(volume: S3Volume, handle: S3FileHandle): Awaitable<Status> {
  const { node } = handle;
  const staged = handle.staged ?? node.staged;
  if (staged === undefined) {
    return 0;
  }
  commitIfChanged(volume, handle);
  return staged.sync();
}

/** close(2): tells of what went wrong since. */
export function flushFile(volume: S3Volume, handle: S3FileHandle): Status {
  commitIfChanged(volume, handle);
  return handle.staged?.takeError() ?? 0;
}

/** Passes times and mode on that writing has changed. */
export function commitIfChanged(volume: S3Volume, { node, staged, writes }: S3FileHandle): void {
  if (staged !== undefined && writes && node.attributesChanged) {
    commitAttributes(volume, node, staged);
  }
}
