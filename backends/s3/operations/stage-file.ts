import type { S3File } from "../namespace/node.js";
import type { StagedFile } from "../staging/staging.js";
import type { S3Volume } from "../volume.js";

/** The staged file of a file that is to be changed; the caller releases it. Undefined: the object is gone. */
export function stageFile(volume: S3Volume, file: S3File): StagedFile | undefined {
  file.unbindReaders();
  if (file.staged !== undefined) {
    return file.staged.retain();
  }
  const { object } = file;
  if (object === undefined || file.removed) {
    return undefined;
  }
  file.staged = volume.area.edit({ key: file.key, ...object });
  return file.staged;
}
