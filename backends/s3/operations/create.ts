import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_ISGID } from "../../../src/vfs/attributes.js";
import { EEXIST, EILSEQ, ENAMETOOLONG, ENOENT, type Result } from "../../../src/vfs/errno.js";
import type { Caller } from "../../../src/vfs/node.js";
import { type FileAttributes, NO_XATTRS, timeNow, typeOf } from "../attributes/file-attributes.js";
import { writeAttributes } from "../attributes/write-metadata.js";
import { DirectoryListing } from "../namespace/directory-listing.js";
import { keyPartOf } from "../namespace/names.js";
import type { Namespace } from "../namespace/namespace.js";
import type { S3Directory, S3File, S3Node } from "../namespace/node.js";
import type { StagedFile } from "../staging/staging.js";

const S_IXGRP = 0o010;
const KEY_BYTES = 1024;

/** What is to be made. */
export interface Creation {
  readonly parent: S3Directory;
  readonly name: string;
  /** Type and permissions. */
  readonly mode: number;
}

/** Owner and mode of what `caller` makes in a directory: inode_init_owner() of Linux. */
function ownership(caller: Caller, directory: FileAttributes, wanted: number) {
  const mode = typeOf(wanted) === S_IFLNK ? wanted : wanted & ~caller.umask;
  if ((directory.mode & S_ISGID) === 0) {
    return { mode, uid: caller.uid, gid: caller.gid };
  }
  const { gid } = directory;
  if ((mode & S_IFMT) === S_IFDIR) {
    return { mode: mode | S_ISGID, uid: caller.uid, gid };
  }
  const isMember = caller.uid === 0 || caller.gid === gid || caller.supplementaryGroup === gid;
  const strips = !isMember && (mode & S_ISGID) !== 0 && (mode & S_IXGRP) !== 0;
  return { mode: strips ? mode & ~S_ISGID : mode, uid: caller.uid, gid };
}

function newAttributes(caller: Caller, { parent, mode }: Creation): FileAttributes {
  const now = timeNow();
  return {
    ...ownership(caller, parent.attributes as FileAttributes, mode),
    atime: now,
    mtime: now,
    ctime: now,
    target: undefined,
    xattrs: NO_XATTRS,
  };
}

/** The key's component for a new name. -EILSEQ, -ENAMETOOLONG. */
function newComponent(parent: S3Directory, name: string): Result<string> {
  const part = keyPartOf(name);
  if (typeof part === "number") {
    return part;
  }
  if (part.shadowed || part.digest !== undefined) {
    return -EILSEQ;
  }
  return Buffer.byteLength(parent.key + part.component) >= KEY_BYTES ? -ENAMETOOLONG : part.component;
}

/** What a name that must not exist is to be called. -EEXIST. */
async function freeComponent(namespace: Namespace, { parent, name }: Creation): Promise<Result<string>> {
  const component = newComponent(parent, name);
  if (typeof component === "number") {
    return component;
  }
  if (parent.removed) {
    return -ENOENT;
  }
  const loaded = await namespace.load(parent);
  if (loaded < 0) {
    return loaded;
  }
  const there = await namespace.child(parent, name);
  if (typeof there !== "number") {
    return -EEXIST;
  }
  return there === -ENOENT ? component : there;
}

/** Stages an object and gives it an inode. */
function make<N extends S3Node>(
  namespace: Namespace,
  caller: Caller,
  creation: Creation,
  component: string,
): Result<{ readonly node: N; readonly staged: StagedFile }> {
  const { parent, name } = creation;
  const { area, options } = namespace.volume;
  const attributes = newAttributes(caller, creation);
  const isDirectory = typeOf(creation.mode) === S_IFDIR;
  const stored = writeAttributes(attributes, options.dialect, isDirectory, undefined);
  if (typeof stored === "number") {
    return stored;
  }
  const key = `${parent.key}${component}${isDirectory ? "/" : ""}`;
  const staged = area.create(key, stored);
  const node = (
    isDirectory
      ? namespace.adopt(parent, name, component, true)
      : namespace.adoptStaged(parent, name, component, staged)
  ) as N;
  node.attributes = attributes;
  node.stored = stored;
  namespace.touch(parent);
  return { node, staged };
}

/** A new regular file with its staged file, which the caller releases. -EEXIST. */
export async function createFile(
  namespace: Namespace,
  caller: Caller,
  creation: Creation,
): Promise<Result<{ readonly node: S3File; readonly staged: StagedFile }>> {
  const component = await freeComponent(namespace, creation);
  if (typeof component === "number") {
    return component;
  }
  const made = make<S3File>(namespace, caller, creation, component);
  if (typeof made !== "number") {
    made.node.typeBefore = S_IFREG;
  }
  return made;
}

/** mkdir(2): the directory's marker. */
export async function createDirectory(
  namespace: Namespace,
  caller: Caller,
  creation: Creation,
): Promise<Result<S3Node>> {
  const component = await freeComponent(namespace, creation);
  const made =
    typeof component === "number" ? component : make<S3Directory>(namespace, caller, creation, component);
  if (typeof made === "number") {
    return made;
  }
  const { node, staged } = made;
  const now = performance.now();
  node.hasMarker = true;
  node.attributesMs = now;
  node.checkedMs = now;
  // Nothing was there a moment ago: nothing is in it.
  node.listing = new DirectoryListing();
  node.listing.append({ entries: [], after: undefined, next: undefined, askedMs: now });
  staged.release();
  return node;
}

/** symlink(2): an object whose body is the target. */
export async function createSymlink(
  namespace: Namespace,
  caller: Caller,
  parent: S3Directory,
  name: string,
  target: string,
): Promise<Result<S3Node>> {
  const creation = { parent, name, mode: S_IFLNK | 0o777 };
  const component = await freeComponent(namespace, creation);
  const made =
    typeof component === "number" ? component : make<S3File>(namespace, caller, creation, component);
  if (typeof made === "number") {
    return made;
  }
  made.node.typeBefore = S_IFLNK;
  const written = await made.staged.write(0, Buffer.from(target, "latin1"));
  made.staged.release();
  return written < 0 ? written : made.node;
}
