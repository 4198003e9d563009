import { EBUSY, EISDIR, ENOTDIR, ENOTEMPTY, type Result, type Status } from "../../../src/vfs/errno.js";
import { timeNow } from "../attributes/file-attributes.js";
import { DirectoryListing, FOLDER_SUFFIX } from "../namespace/directory-listing.js";
import type { Namespace } from "../namespace/namespace.js";
import { S3Directory, type S3File } from "../namespace/node.js";

/**
 * Sees to it that a directory stays when its last entry goes: it gets a marker, unless it has one or other
 * entries are known.
 */
export async function keepDirectory(namespace: Namespace, directory: S3Directory): Promise<Status> {
  const { area } = namespace.volume;
  const { key, listing } = directory;
  const others = (listing?.size ?? 0) > 1 || area.childrenOf(key).size > 1;
  if (directory.parent === undefined || directory.hasMarker === true || others) {
    return 0;
  }
  const status = await namespace.load(directory);
  const { hasMarker } = directory;
  if (status < 0 || hasMarker || area.find(key) !== undefined) {
    return status;
  }
  directory.hasMarker = true;
  area.create(key, directory.stored ?? { metadata: {} }).release();
  return 0;
}

/** Whether nothing is in a directory but its marker. Rejects with a StoreError. */
export async function isEmpty(namespace: Namespace, directory: S3Directory): Promise<boolean> {
  const { area } = namespace.volume;
  const { key } = directory;
  for (const name of area.childrenOf(key).keys()) {
    if (name !== "") {
      return false;
    }
  }
  const { listing } = directory;
  if (listing?.complete === true && namespace.volume.isFresh(listing.askedMs)) {
    return listing.size === 0;
  }
  const fresh = new DirectoryListing();
  let after: string | undefined;
  do {
    const page = await namespace.list(directory, after, fresh);
    if (page.entries.length > 0) {
      return false;
    }
    after = page.next;
  } while (after !== undefined);
  return true;
}

/** Takes the name away; what is open can still be read. */
export function removeNode(namespace: Namespace, file: S3File): void {
  const { area } = namespace.volume;
  const parent = file.parent as S3Directory;
  const { key } = file;
  if (file.openCount > 0) {
    area.remove(key, file.untilClosed());
  } else {
    area.remove(key);
  }
  file.attributes = file.attributes && { ...file.attributes, ctime: timeNow() };
  namespace.detach(file);
  namespace.entryRemoved(parent, file.name);
  namespace.touch(parent);
}

/** unlink(2). -EISDIR. */
export async function removeFile(namespace: Namespace, parent: S3Directory, name: string): Promise<Status> {
  const found = await namespace.child(parent, name);
  if (typeof found === "number") {
    return found;
  }
  if (found instanceof S3Directory) {
    return -EISDIR;
  }
  const kept = await keepDirectory(namespace, parent);
  if (kept < 0) {
    return kept;
  }
  removeNode(namespace, found as S3File);
  return 0;
}

/** The directory under a name, if it is one that can be removed. */
async function emptyDirectory(
  namespace: Namespace,
  parent: S3Directory,
  name: string,
): Promise<Result<S3Directory>> {
  const found = await namespace.child(parent, name);
  if (typeof found === "number") {
    return found;
  }
  if (!(found instanceof S3Directory)) {
    return -ENOTDIR;
  }
  return (await isEmpty(namespace, found)) ? found : -ENOTEMPTY;
}

/** Takes an empty directory away. */
export function removeEmptyDirectory(namespace: Namespace, directory: S3Directory): void {
  const { area } = namespace.volume;
  const parent = directory.parent as S3Directory;
  const { key, name } = directory;
  area.removeDirectory(key);
  if (directory.hasMarker === false) {
    // It was there by a marker of another kind, or by keys that somebody else has removed since.
    area.remove(key.slice(0, -1) + FOLDER_SUFFIX);
  }
  namespace.detach(directory);
  namespace.entryRemoved(parent, name);
  namespace.touch(parent);
}

/** rmdir(2). -ENOTDIR, -ENOTEMPTY. */
export async function removeDirectory(
  namespace: Namespace,
  parent: S3Directory,
  name: string,
): Promise<Status> {
  const directory = await emptyDirectory(namespace, parent, name);
  if (typeof directory === "number") {
    return directory;
  }
  if (directory.parent === undefined) {
    return -EBUSY;
  }
  const kept = await keepDirectory(namespace, parent);
  if (kept < 0) {
    return kept;
  }
  removeEmptyDirectory(namespace, directory);
  return 0;
}
