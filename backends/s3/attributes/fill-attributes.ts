import { Attr, type AttrRecord, S_IFLNK, setWords64 } from "../../../src/vfs/attributes.js";
import { S3Directory, S3File, type S3Node } from "../namespace/node.js";
import { type FileAttributes, type Time, typeOf } from "./file-attributes.js";

const BLOCK_BYTES = 512;
/** What programs should read and write at once. */
const IO_BYTES = 128 * 1024;

function setTime(out: AttrRecord, word: number, nsecWord: number, { sec, nsec }: Time): void {
  setWords64(out, word, sec);
  out[nsecWord] = nsec;
}

function later(a: Time, b: Time | undefined): Time {
  return b !== undefined && (b.sec > a.sec || (b.sec === a.sec && b.nsec > a.nsec)) ? b : a;
}

/** Size of a file now, changes that are not published included. */
export function sizeOf(file: S3File): number {
  const target = file.attributes?.target;
  return target?.length ?? file.staged?.size ?? file.object?.size ?? 0;
}

/** Fills a record with the attributes of an inode whose attributes are loaded. */
export function fillAttributes(node: S3Node, out: AttrRecord): void {
  const { mode, uid, gid, atime, mtime, ctime } = node.attributes as FileAttributes;
  const size = node instanceof S3File ? sizeOf(node) : 0;
  const touched = node instanceof S3Directory ? node.touched : undefined;
  out.fill(0);
  setWords64(out, Attr.INO, node.ino);
  setWords64(out, Attr.SIZE, size);
  setWords64(out, Attr.BLOCKS, typeOf(mode) === S_IFLNK ? 0 : Math.ceil(size / BLOCK_BYTES));
  setTime(out, Attr.ATIME, Attr.ATIME_NSEC, atime);
  setTime(out, Attr.MTIME, Attr.MTIME_NSEC, later(mtime, touched));
  setTime(out, Attr.CTIME, Attr.CTIME_NSEC, later(ctime, touched));
  out[Attr.MODE] = mode;
  // A directory's count does not tell how many directories are in it: 1 says so, as on btrfs.
  out[Attr.NLINK] = node.removed ? 0 : 1;
  out[Attr.UID] = uid;
  out[Attr.GID] = gid;
  out[Attr.BLKSIZE] = IO_BYTES;
}
