import { Attr, type AttrRecord } from "../../vfs/attributes.js";
import { type Awaitable, ENOSYS, type Status } from "../../vfs/errno.js";
import type { Operation } from "../operations.js";
import { GETATTR_FH, Opcode } from "../protocol.js";
import type { Request } from "../request.js";
import type { FuseSession } from "../session.js";
import { STALE, whenReady } from "./steps.js";

/** struct fuse_statx_in: getattr_flags, reserved, handle u64, sx_flags, sx_mask. */
const STATX_IN_BYTES = 24;

/** struct fuse_statx_out, words: attr_valid 0-1, attr_valid_nsec 2, flags 3, spare 4-7, struct fuse_statx. */
const StatxOut = { BYTES: 288, WORDS: 72, STATX: 8 } as const;

/** struct fuse_statx, words. Every time is seconds (two words), nanoseconds and a reserved word. */
const Statx = {
  MASK: 0,
  BLKSIZE: 1,
  NLINK: 4,
  UID: 5,
  GID: 6,
  MODE: 7,
  INO: 8,
  SIZE: 10,
  BLOCKS: 12,
  ATIME: 16,
  BTIME: 20,
  CTIME: 24,
  MTIME: 28,
  RDEV_MAJOR: 32,
  RDEV_MINOR: 33,
} as const;

const STATX_BASIC_STATS = 0x7ff;
const STATX_BTIME = 0x800;

function copyTime(words: Uint32Array, to: number, attr: AttrRecord, seconds: number, nsec: number): void {
  words[to] = attr[seconds] as number;
  words[to + 1] = attr[seconds + 1] as number;
  words[to + 2] = attr[nsec] as number;
}

/** Writes struct fuse_statx at `at`, which is zero; a birth time of zero is an unknown one. */
function writeStatx(attr: AttrRecord, words: Uint32Array, at: number): void {
  const born = attr[Attr.BTIME] !== 0 || attr[Attr.BTIME + 1] !== 0 || attr[Attr.BTIME_NSEC] !== 0;
  const device = attr[Attr.RDEV] as number;
  words[at + Statx.MASK] = born ? STATX_BASIC_STATS | STATX_BTIME : STATX_BASIC_STATS;
  words[at + Statx.BLKSIZE] = attr[Attr.BLKSIZE] as number;
  words[at + Statx.NLINK] = attr[Attr.NLINK] as number;
  words[at + Statx.UID] = attr[Attr.UID] as number;
  words[at + Statx.GID] = attr[Attr.GID] as number;
  words[at + Statx.MODE] = (attr[Attr.MODE] as number) & 0xffff;
  for (const [to, from] of [
    [Statx.INO, Attr.INO],
    [Statx.SIZE, Attr.SIZE],
    [Statx.BLOCKS, Attr.BLOCKS],
  ] as const) {
    words[at + to] = attr[from] as number;
    words[at + to + 1] = attr[from + 1] as number;
  }
  copyTime(words, at + Statx.ATIME, attr, Attr.ATIME, Attr.ATIME_NSEC);
  copyTime(words, at + Statx.BTIME, attr, Attr.BTIME, Attr.BTIME_NSEC);
  copyTime(words, at + Statx.CTIME, attr, Attr.CTIME, Attr.CTIME_NSEC);
  copyTime(words, at + Statx.MTIME, attr, Attr.MTIME, Attr.MTIME_NSEC);
  // The inverse of the kernel's new_encode_dev().
  words[at + Statx.RDEV_MAJOR] = (device >>> 8) & 0xfff;
  words[at + Statx.RDEV_MINOR] = (device & 0xff) | ((device >>> 12) & 0xf_ff00);
}

/** GETATTR with the birth time; all fields whatever the mask asks for. */
function statx(session: FuseSession, request: Request): Awaitable<Status> {
  if (!session.backend.capabilities.birthTimes) {
    // The guest asks no more, and is content with the attributes that it has.
    return -ENOSYS;
  }
  const node = session.node(request);
  if (node === undefined) {
    return STALE;
  }
  const handle = (request.word(0) & GETATTR_FH) !== 0 ? session.handle(request, 2, "file") : undefined;
  return whenReady(session.backend.getattr(request.caller, node, handle, request.attr), (status) => {
    if (status < 0) {
      return status;
    }
    const { words } = session.lane;
    const { attr } = session.timeouts;
    const reply = request.beginReplyBehindAttributes();
    words.fill(0, reply, reply + StatxOut.WORDS);
    words[reply] = attr.seconds;
    words[reply + 2] = attr.nanoseconds;
    writeStatx(request.attr, words, reply + StatxOut.STATX);
    return StatxOut.BYTES;
  });
}

export const STATX_OPERATIONS: readonly Operation[] = [
  { opcode: Opcode.STATX, name: "STATX", argumentBytes: STATX_IN_BYTES, run: statx },
];
