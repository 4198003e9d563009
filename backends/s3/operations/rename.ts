import { RenameFlag } from "../../../src/vfs/backend.js";
import {
  EEXIST,
  EILSEQ,
  EINVAL,
  EISDIR,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  ESTALE,
  EXDEV,
  type Result,
  type Status,
} from "../../../src/vfs/errno.js";
import { timeNow } from "../attributes/file-attributes.js";
import { keyPartOf, linkComponent } from "../namespace/names.js";
import type { Namespace } from "../namespace/namespace.js";
import { isWithin, S3Directory, S3File, type S3Node } from "../namespace/node.js";
import type { Move } from "../staging/staging.js";
import { isEmpty, keepDirectory } from "./remove.js";

/** Objects that one directory may take along; more are EXDEV, and mv(1) copies them. */
const MAX_MOVES = 100_000;

/** One end of a rename. */
interface Place {
  readonly parent: S3Directory;
  readonly name: string;
}

/** What is at both ends. */
interface Ends {
  readonly source: S3Node;
  readonly target: S3Node | undefined;
}

async function findEnds(namespace: Namespace, from: Place, to: Place): Promise<Result<Ends>> {
  const [source, target] = await Promise.all([
    namespace.child(from.parent, from.name),
    namespace.child(to.parent, to.name),
  ]);
  if (typeof source === "number") {
    return source;
  }
  if (typeof target === "number" && target !== -ENOENT) {
    return target;
  }
  return { source, target: typeof target === "number" ? undefined : target };
}

/** Why the rename cannot be, in Linux' order, or 0. */
async function refusal(
  namespace: Namespace,
  { source, target }: Ends,
  from: Place,
  to: Place,
): Promise<Status> {
  if (source instanceof S3Directory && isWithin(to.parent, source)) {
    return -EINVAL;
  }
  if (target === undefined) {
    return 0;
  }
  if (target instanceof S3Directory && isWithin(from.parent, target)) {
    return -ENOTEMPTY;
  }
  if (!(source instanceof S3Directory)) {
    return target instanceof S3Directory ? -EISDIR : 0;
  }
  if (!(target instanceof S3Directory)) {
    return -ENOTDIR;
  }
  return (await isEmpty(namespace, target)) ? 0 : -ENOTEMPTY;
}

/** The objects of the bucket below a directory that are still there and not staged. -EXDEV: too many. */
async function objectsBelow(
  namespace: Namespace,
  from: string,
  to: string,
): Promise<Result<readonly Move[]>> {
  const { area, store } = namespace.volume;
  const moves: Move[] = [];
  let continuationToken: string | undefined;
  do {
    const page = await store.list({
      prefix: from,
      ...(continuationToken !== undefined && { continuationToken }),
    });
    for (const { key, etag, size } of page.objects) {
      if (!area.isRemoved(key) && area.find(key) === undefined) {
        moves.push({ object: { key, etag, size }, to: to + key.slice(from.length) });
      }
    }
    if (moves.length > MAX_MOVES) {
      return -EXDEV;
    }
    ({ continuationToken } = page);
  } while (continuationToken !== undefined);
  return moves;
}

/** What was known of the bucket below a directory is about other keys now. */
function forgetBelow(directory: S3Directory): void {
  directory.listing = undefined;
  for (const child of directory.children.values()) {
    if (child instanceof S3Directory) {
      forgetBelow(child);
    }
  }
}

async function moveDirectory(namespace: Namespace, directory: S3Directory, target: string): Promise<Status> {
  const { area } = namespace.volume;
  const from = directory.key;
  const moves = await objectsBelow(namespace, from, target);
  if (typeof moves === "number") {
    return moves;
  }
  const status = area.renameDirectory(from, target, moves);
  if (status === 0) {
    forgetBelow(directory);
    if (area.find(target) === undefined) {
      area.create(target, directory.stored ?? { metadata: {} }).release();
    }
    directory.hasMarker = true;
  }
  return status;
}

function moveFile(namespace: Namespace, file: S3File, target: S3File | undefined, key: string): Status {
  const { area } = namespace.volume;
  const source = file.staged ?? (file.object && { key: file.key, ...file.object });
  if (source === undefined) {
    return -ESTALE;
  }
  const status = area.rename(source, key, target?.key === key ? target.object : undefined);
  if (status === 0) {
    file.staged = area.find(key);
    file.published = file.object?.etag;
  }
  return status;
}

/** Moves the inode to its new name. */
function relink(namespace: Namespace, node: S3Node, from: Place, to: Place, component: string): void {
  const { object, key } =
    node instanceof S3File
      ? { object: node.object, key: to.parent.key + component }
      : { object: undefined, key: "" };
  from.parent.children.delete(from.name);
  node.parent = to.parent;
  node.name = to.name;
  node.component = component;
  to.parent.children.set(to.name, node);
  namespace.entryRemoved(from.parent, from.name);
  const listed = object === undefined ? undefined : { key, ...object };
  namespace.entryChanged(to.parent, { name: to.name, component, object: listed });
  namespace.touch(from.parent);
  namespace.touch(to.parent);
  if (node.attributes !== undefined) {
    node.attributes = { ...node.attributes, ctime: timeNow() };
  }
  namespace.drop(from.parent);
}

async function move(namespace: Namespace, ends: Ends, from: Place, to: Place): Promise<Status> {
  const { source, target } = ends;
  const part = keyPartOf(to.name);
  if (typeof part === "number" || part.shadowed || part.digest !== undefined) {
    return -EILSEQ;
  }
  // What a node does not know yet of itself, it can hardly find out under another key.
  for (const status of [await namespace.load(source), await keepDirectory(namespace, from.parent)]) {
    if (status < 0) {
      return status;
    }
  }
  const isLink = source instanceof S3File && source.isRcloneLink;
  const component = isLink ? linkComponent(part.component) : part.component;
  const key = to.parent.key + component;
  if (target instanceof S3Directory) {
    namespace.volume.area.removeDirectory(target.key);
  }
  const status =
    source instanceof S3Directory
      ? await moveDirectory(namespace, source, `${key}/`)
      : moveFile(namespace, source as S3File, target as S3File | undefined, key);
  if (status < 0) {
    return status;
  }
  if (target !== undefined) {
    if (target instanceof S3File && target.key !== key) {
      // A link of rclone, or what replaces it, has another key.
      namespace.volume.area.remove(target.key);
    }
    namespace.detach(target);
  }
  relink(namespace, source, from, to, component);
  return 0;
}

/** renameat2(2). -EINVAL for exchanges, -EXDEV for a directory of too many objects. */
export async function rename(namespace: Namespace, from: Place, to: Place, flags: number): Promise<Status> {
  if ((flags & ~RenameFlag.NOREPLACE) !== 0 && flags !== RenameFlag.EXCHANGE) {
    return -EINVAL;
  }
  const ends = await findEnds(namespace, from, to);
  if (typeof ends === "number") {
    return ends;
  }
  if (flags === RenameFlag.EXCHANGE) {
    return ends.target === undefined ? -ENOENT : -EINVAL;
  }
  if (ends.target !== undefined && (flags & RenameFlag.NOREPLACE) !== 0) {
    return -EEXIST;
  }
  if (ends.target === ends.source) {
    return 0;
  }
  const refused = await refusal(namespace, ends, from, to);
  return refused < 0 ? refused : move(namespace, ends, from, to);
}
