import { type Awaitable, ESTALE, type Result, type Status } from "../../../src/vfs/errno.js";
import type { Caller } from "../../../src/vfs/node.js";
import { timeNow } from "../attributes/file-attributes.js";
import { errnoOf } from "../errors.js";
import type { Namespace } from "../namespace/namespace.js";
import type { S3File } from "../namespace/node.js";
import { factsOf } from "../namespace/object-facts.js";
import type { S3Volume } from "../volume.js";
import { withoutSetid } from "./change-attributes.js";
import { READING, S3FileHandle } from "./file-handle.js";
import { fetchNextFiles } from "./next-files.js";
import { pinVersion } from "./read-file.js";
import { stageFile } from "./stage-file.js";
import { stampWrite } from "./store-attributes.js";
import { commitIfChanged } from "./write-file.js";

const O_ACCMODE = 3;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;

/** Opens a regular file whose attributes are loaded. -ESTALE when its object is gone. */
export function openFile(
  volume: S3Volume,
  caller: Caller,
  file: S3File,
  flags: number,
): Awaitable<Result<S3FileHandle>> {
  const writes = (flags & O_ACCMODE) !== 0 || (flags & O_TRUNC) !== 0;
  if (writes) {
    return openForWriting(volume, caller, file, flags);
  }
  const needsVersion =
    volume.features.versioned && file.staged === undefined && file.object?.versionId === undefined;
  return needsVersion ? openVersion(volume, file) : openForReading(volume, file);
}

function openForReading(volume: S3Volume, file: S3File): S3FileHandle {
  // What is staged stays readable although its name may go, or somebody else's object come.
  const handle = new S3FileHandle(file, volume, file.staged?.retain(), READING);
  if (file.staged?.dataChanged !== true) {
    pinVersion(handle);
  }
  if (file.staged === undefined) {
    handle.bind();
    fetchNextFiles(volume, file);
  }
  file.openCount++;
  return handle;
}

/** On a bucket with versions the reader keeps the version that it opened, whatever becomes of the name. */
async function openVersion(volume: S3Volume, file: S3File): Promise<Result<S3FileHandle>> {
  try {
    const info = await volume.attributes.ask(file.key);
    if (info === undefined) {
      return -ESTALE;
    }
    file.object = factsOf(info);
    return openForReading(volume, file);
  } catch (error) {
    return errnoOf(error, volume.options.logger);
  }
}

function openForWriting(
  volume: S3Volume,
  caller: Caller,
  file: S3File,
  flags: number,
): Awaitable<Result<S3FileHandle>> {
  const staged = stageFile(volume, file);
  if (staged === undefined) {
    return -ESTALE;
  }
  const handle = new S3FileHandle(file, volume, staged, { writes: true, appends: (flags & O_APPEND) !== 0 });
  file.openCount++;
  file.writers++;
  if ((flags & O_TRUNC) === 0) {
    return handle;
  }
  const finish = (status: Status): Result<S3FileHandle> => {
    if (status < 0) {
      file.openCount--;
      file.writers--;
      handle.close();
      return status;
    }
    stampWrite(file, timeNow());
    if (caller.clearsPrivileges && file.attributes !== undefined) {
      file.attributes = { ...file.attributes, mode: withoutSetid(file.attributes.mode, false) };
    }
    return handle;
  };
  const truncated = staged.truncate(0);
  return truncated instanceof Promise ? truncated.then(finish) : finish(truncated);
}

/** The last reference to a handle is gone. */
export function closeFile(namespace: Namespace, handle: S3FileHandle): void {
  const { node } = handle;
  commitIfChanged(namespace.volume, handle);
  handle.close();
  if (handle.writes) {
    node.writers--;
    node.dropPublished();
  }
  if (--node.openCount === 0) {
    node.nowClosed();
    namespace.drop(node);
  }
}
