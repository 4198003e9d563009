import { type AttributeChange, Change, S_IFMT, S_ISGID, S_ISUID } from "../../../src/vfs/attributes.js";
import { type Awaitable, EFBIG, EINVAL, EISDIR, ESTALE, type Status } from "../../../src/vfs/errno.js";
import type { Caller } from "../../../src/vfs/node.js";
import { type FileAttributes, type Time, timeNow, typeOf } from "../attributes/file-attributes.js";
import { S3Directory, S3File, type S3Node } from "../namespace/node.js";
import type { StagedFile } from "../staging/staging.js";
import type { S3Volume } from "../volume.js";
import { stageFile } from "./stage-file.js";
import { storeAttributes } from "./store-attributes.js";

const S_IXGRP = 0o010;
/** The largest object of S3: 5 TiB. */
const MAX_OBJECT_BYTES = 5 * 2 ** 40;

/** The mode without setuid, and without setgid where it is about execution or the caller is an outsider. */
export function withoutSetid(mode: number, isOutsider: boolean): number {
  const cleared = mode & ~S_ISUID;
  return (mode & S_IXGRP) !== 0 || isOutsider ? cleared & ~S_ISGID : cleared;
}

function modeAfter(caller: Caller, node: S3Node, before: FileAttributes, change: AttributeChange): number {
  const { valid } = change;
  let { mode } = before;
  if (!(node instanceof S3Directory)) {
    const clears =
      (valid & Change.KILL_SUIDGID) !== 0 || ((valid & Change.SIZE) !== 0 && caller.clearsPrivileges);
    if (clears) {
      mode = withoutSetid(mode, false);
    }
    if ((valid & (Change.UID | Change.GID)) !== 0) {
      mode = withoutSetid(mode, caller.uid !== 0 && caller.gid !== before.gid);
    }
  }
  return (valid & Change.MODE) !== 0 ? (mode & S_IFMT) | (change.mode & 0o7777) : mode;
}

function timeAfter(
  now: Time,
  before: Time,
  change: { readonly isNow: boolean; readonly isGiven: boolean; readonly sec: number; readonly nsec: number },
): Time {
  if (change.isNow) {
    return now;
  }
  return change.isGiven ? { sec: change.sec, nsec: change.nsec } : before;
}

function attributesAfter(
  caller: Caller,
  node: S3Node,
  before: FileAttributes,
  change: AttributeChange,
): FileAttributes {
  const { valid } = change;
  const now = timeNow();
  const given = (valid & Change.MTIME) !== 0;
  return {
    ...before,
    mode: modeAfter(caller, node, before, change),
    uid: (valid & Change.UID) !== 0 ? change.uid : before.uid,
    gid: (valid & Change.GID) !== 0 ? change.gid : before.gid,
    atime: timeAfter(now, before.atime, {
      isNow: (valid & Change.ATIME_NOW) !== 0,
      isGiven: (valid & Change.ATIME) !== 0,
      sec: change.atime,
      nsec: change.atimeNsec,
    }),
    mtime: timeAfter(now, before.mtime, {
      isNow: (valid & Change.MTIME_NOW) !== 0 || ((valid & Change.SIZE) !== 0 && !given),
      isGiven: given,
      sec: change.mtime,
      nsec: change.mtimeNsec,
    }),
    ctime: timeAfter(now, before.ctime, {
      isNow: (valid & Change.CTIME) === 0,
      isGiven: true,
      sec: change.ctime,
      nsec: change.ctimeNsec,
    }),
  };
}

function truncate(volume: S3Volume, node: S3Node, size: bigint): Awaitable<Status> {
  if (!(node instanceof S3File) || typeOf(node.attributes?.mode ?? 0) !== 0o100000) {
    return node instanceof S3Directory ? -EISDIR : -EINVAL;
  }
  if (size > MAX_OBJECT_BYTES) {
    return -EFBIG;
  }
  const staged = stageFile(volume, node);
  if (staged === undefined) {
    return -ESTALE;
  }
  return finished(staged.truncate(Number(size)), staged);
}

/** Gives the reference back when the operation is done. */
async function finished(operation: Awaitable<Status>, staged: StagedFile): Promise<Status> {
  try {
    return await operation;
  } finally {
    staged.release();
  }
}

/** setattr of an inode whose attributes are loaded: the size first, because it alone can fail. */
export function changeAttributes(
  volume: S3Volume,
  caller: Caller,
  node: S3Node,
  change: AttributeChange,
): Awaitable<Status> {
  const store = (): Status => {
    const before = node.attributes as FileAttributes;
    if (node instanceof S3Directory && (change.valid & (Change.MTIME | Change.MTIME_NOW)) !== 0) {
      node.touched = undefined;
    }
    return storeAttributes(volume, node, attributesAfter(caller, node, before, change));
  };
  if ((change.valid & Change.SIZE) === 0) {
    return store();
  }
  const sized = truncate(volume, node, change.size);
  const finish = (status: Status): Status => (status < 0 ? status : store());
  return sized instanceof Promise ? sized.then(finish) : finish(sized);
}
