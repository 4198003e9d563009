import type { S3File } from "../namespace/node.js";
import type { S3Volume } from "../volume.js";

/** Larger files have readers that are followed one by one. */
const SMALL_BYTES = 256 * 1024;

/** A small file is opened for reading: who goes on like that gets the next small files of the directory fetched. */
export function fetchNextFiles({ area, cache }: S3Volume, file: S3File): void {
  const { parent, object } = file;
  if (parent === undefined || object === undefined || object.size > SMALL_BYTES) {
    return;
  }
  let left = cache.budget.left / 2;
  for (const { component, object: next } of parent.listing?.ahead(file.name, parent.readers) ?? []) {
    const key = parent.key + component;
    const isSmall = next !== undefined && next.size > 0 && next.size <= SMALL_BYTES;
    if (isSmall && next.size <= left && area.find(key) === undefined && !area.isRemoved(key)) {
      left -= next.size;
      cache.fetchWhole({ key, etag: next.etag, size: next.size });
    }
  }
}
