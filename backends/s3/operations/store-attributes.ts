import type { Status } from "../../../src/vfs/errno.js";
import type { FileAttributes, Time } from "../attributes/file-attributes.js";
import { writeAttributes } from "../attributes/write-metadata.js";
import { S3Directory, S3File, type S3Node } from "../namespace/node.js";
import type { StagedFile } from "../staging/staging.js";
import type { S3Volume } from "../volume.js";

/** Has the next publication of a staged file store the attributes of its inode. */
export function commitAttributes(volume: S3Volume, node: S3Node, staged: StagedFile): Status {
  const attributes = node.attributes;
  if (attributes === undefined || staged.removed) {
    return 0;
  }
  const { dialect } = volume.options;
  const stored = writeAttributes(attributes, dialect, node instanceof S3Directory, node.stored);
  if (typeof stored === "number") {
    return stored;
  }
  node.stored = stored;
  node.attributesChanged = false;
  staged.setAttributes(stored);
  return 0;
}

/** The staged file of an inode, made if there is none; the caller releases it. Undefined: nothing to keep it in. */
function stagedOf(volume: S3Volume, node: S3Node): StagedFile | undefined {
  const { area } = volume;
  const { key } = node;
  if (node instanceof S3File) {
    if (node.staged !== undefined) {
      return node.staged.retain();
    }
    node.staged = node.object === undefined ? undefined : area.edit({ key, ...node.object });
    return node.staged;
  }
  if (key === "" || !(node instanceof S3Directory)) {
    return undefined;
  }
  const staged = area.find(key);
  if (staged !== undefined) {
    return staged.retain();
  }
  if (node.hasMarker === true && node.markerEtag !== undefined) {
    return area.edit({ key, etag: node.markerEtag, size: 0 });
  }
  node.hasMarker = true;
  return area.create(key, node.stored ?? { metadata: {} });
}

/**
 * Gives an inode other attributes, now here and before long in the bucket. -ENOSPC when they are more than an
 * object can have; they are as they were then.
 */
export function storeAttributes(volume: S3Volume, node: S3Node, attributes: FileAttributes): Status {
  const before = node.attributes;
  node.attributes = attributes;
  if (volume.options.dialect === "none" || node.removed) {
    return 0;
  }
  const fits = writeAttributes(attributes, volume.options.dialect, false, node.stored);
  if (typeof fits === "number") {
    node.attributes = before;
    return fits;
  }
  const staged = stagedOf(volume, node);
  if (staged === undefined) {
    return 0;
  }
  const status = commitAttributes(volume, node, staged);
  staged.release();
  return status;
}

/** The contents of a file have changed at `time`. */
export function stampWrite(file: S3File, time: Time): void {
  if (file.attributes !== undefined) {
    file.attributes = { ...file.attributes, mtime: time, ctime: time };
    file.attributesChanged = true;
  }
}
