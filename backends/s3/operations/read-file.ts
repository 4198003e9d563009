import { type Awaitable, EIO, ESTALE, type Result, type Status } from "../../../src/vfs/errno.js";
import type { CachedObject, ObjectVersion } from "../cache/cached-object.js";
import { errnoOf, isStoreError } from "../errors.js";
import type { S3File } from "../namespace/node.js";
import { factsOf } from "../namespace/object-facts.js";
import type { StagedFile } from "../staging/staging.js";
import type { S3Volume } from "../volume.js";
import type { S3FileHandle } from "./file-handle.js";

/** What the unchanged bytes of a file are read from; undefined when there is no such object. */
export function versionOf(file: S3File): ObjectVersion | undefined {
  const source = file.staged?.source;
  if (source !== undefined) {
    return source;
  }
  return file.object === undefined ? undefined : { key: file.key, ...file.object };
}

/** Pins what a handle reads. */
export function pinVersion(handle: S3FileHandle): Result<CachedObject> {
  const { node, object } = handle;
  // What this share has published itself is the same file, and replaces what was found at the opening.
  const isOwn = node.published !== undefined && node.published === node.object?.etag;
  if (object !== undefined && !isOwn) {
    return object;
  }
  const version = versionOf(node);
  return version === undefined ? (object ?? -ESTALE) : handle.pin(version);
}

/** The staged file if it is the one to read: the bucket has other data, or all of them are on the local disk. */
function localVersion(staged: StagedFile | undefined): StagedFile | undefined {
  return staged !== undefined && (staged.dataChanged || staged.isComplete) ? staged : undefined;
}

/** read(2). -ESTALE when somebody else has replaced the object that the handle was opened on. */
export function readFile(
  volume: S3Volume,
  handle: S3FileHandle,
  offset: number,
  into: Uint8Array,
): Awaitable<Status> {
  const staged = handle.node.staged ?? handle.staged;
  const local = localVersion(staged);
  if (local !== undefined) {
    return local.read(offset, into);
  }
  const object = pinVersion(handle);
  if (typeof object === "number") {
    return staged === undefined ? object : staged.read(offset, into);
  }
  const length = Math.min(into.length, object.map.size - offset);
  if (length <= 0) {
    return 0;
  }
  handle.advance(offset, length);
  if (object.has(offset, length)) {
    handle.hasRead = true;
    return object.readNow(offset, into);
  }
  return readSlowly(volume, handle, object, offset, into);
}

async function readSlowly(
  volume: S3Volume,
  handle: S3FileHandle,
  object: CachedObject,
  offset: number,
  into: Uint8Array,
): Promise<Status> {
  try {
    const count = await object.read(offset, into);
    handle.hasRead = true;
    return count;
  } catch (error) {
    const isOther = isStoreError(error, "precondition") || isStoreError(error, "not-found");
    // What native code has read of the version is not known.
    const hasRead = handle.hasRead || !object.map.isEmpty;
    if (isOther && !hasRead && handle.node.staged === undefined) {
      return readReplacement(volume, handle, offset, into);
    }
    return isOther ? -ESTALE : errnoOf(error, volume.options.logger);
  }
}

/** The object was replaced between the opening and the first read: the reader gets the new one. */
async function readReplacement(
  volume: S3Volume,
  handle: S3FileHandle,
  offset: number,
  into: Uint8Array,
): Promise<Status> {
  const { node } = handle;
  try {
    const info = await volume.attributes.ask(node.key);
    if (info === undefined) {
      return -ESTALE;
    }
    node.object = factsOf(info);
    const object = handle.pin({ key: node.key, ...node.object });
    const count = await object.read(offset, into);
    handle.hasRead = true;
    return count;
  } catch (error) {
    return isStoreError(error, "precondition") ? -ESTALE : errnoOf(error, volume.options.logger);
  }
}

/** All bytes of a small object or staged file, such as a symbolic link. */
export async function readWhole(volume: S3Volume, file: S3File, limitBytes: number): Promise<Result<Buffer>> {
  const into = Buffer.alloc(limitBytes);
  const local = localVersion(file.staged);
  if (local !== undefined) {
    const count = await local.read(0, into);
    return count < 0 ? count : into.subarray(0, count);
  }
  const version = versionOf(file);
  if (version === undefined) {
    return -EIO;
  }
  const object = volume.cache.open(version);
  try {
    return into.subarray(0, await object.read(0, into.subarray(0, Math.min(limitBytes, version.size))));
  } catch (error) {
    return errnoOf(error, volume.options.logger);
  } finally {
    volume.cache.release(object);
  }
}
