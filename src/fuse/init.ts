import { EPROTO, type Status } from "../vfs/errno.js";
import {
  FUSE_MAJOR,
  FUSE_MINOR,
  FUSE_OLDEST_MINOR,
  InitFlag,
  InitFlag2,
  InitOut,
  MAX_PAGES,
  MAX_TRANSFER_BYTES,
} from "./protocol.js";
import type { Request } from "./request.js";
import type { FuseSession } from "./session.js";

/** struct fuse_init_in, words; the second flag word is there when the guest is 7.36 or newer. */
const InitIn = {
  MAJOR: 0,
  MINOR: 1,
  MAX_READAHEAD: 2,
  FLAGS: 3,
  FLAGS2: 4,
  OLD_BYTES: 16,
  BYTES: 20,
} as const;

/** struct fuse_init_out, words. */
const Out = {
  MAJOR: 0,
  MINOR: 1,
  MAX_READAHEAD: 2,
  FLAGS: 3,
  BACKGROUND: 4,
  MAX_WRITE: 5,
  TIME_GRANULARITY: 6,
  MAX_PAGES: 7,
  FLAGS2: 8,
} as const;

/** Requests the guest may have in flight in the background, and when it calls that congested. */
const MAX_BACKGROUND = 0xffff;
const CONGESTION_THRESHOLD = Math.floor((MAX_BACKGROUND * 3) / 4);

const ALWAYS =
  InitFlag.ASYNC_READ |
  InitFlag.ATOMIC_O_TRUNC |
  InitFlag.BIG_WRITES |
  InitFlag.ASYNC_DIO |
  InitFlag.PARALLEL_DIROPS |
  InitFlag.MAX_PAGES |
  InitFlag.INIT_EXT;

/** The backend applies the umask, because only it knows whether there is a default ACL instead. */
const ACL_FLAGS = InitFlag.POSIX_ACL | InitFlag.DONT_MASK | InitFlag.SETXATTR_EXT;

/** What makes OPEN and OPENDIR needless: what the guest has of a file or a listing is never old. */
function needlessOpens({ cachePolicy, features, backend }: FuseSession): number {
  const { keepCache, directIo, cacheDirectory } = cachePolicy;
  const isPrivate = keepCache && !directIo && !backend.capabilities.changesOutside;
  const files = isPrivate && !features.openRequests && !features.fileLocks;
  const directories = isPrivate && cacheDirectory && !features.opendirRequests;
  return (files ? InitFlag.NO_OPEN_SUPPORT : 0) | (directories ? InitFlag.NO_OPENDIR_SUPPORT : 0);
}

/** What we offer; the guest uses what both have. */
function offeredFlags(session: FuseSession): number {
  const { cachePolicy, features } = session;
  const { changesOutside, choosesAttributes, parents, posixAcl } = session.backend.capabilities;
  const when = (condition: boolean, flags: number): number => (condition ? flags : 0);
  return (
    ALWAYS |
    needlessOpens(session) |
    when(features.fileLocks, InitFlag.POSIX_LOCKS | InitFlag.FLOCK_LOCKS) |
    when(features.readdirplus, InitFlag.DO_READDIRPLUS) |
    when(features.readdirplus && !choosesAttributes, InitFlag.READDIRPLUS_AUTO) |
    when(changesOutside, InitFlag.AUTO_INVAL_DATA) |
    // Targets of symbolic links are cached without a limit in time.
    when(cachePolicy.keepCache, InitFlag.CACHE_SYMLINKS) |
    when(parents, InitFlag.EXPORT_SUPPORT) |
    when(features.writeback && !cachePolicy.directIo, InitFlag.WRITEBACK_CACHE) |
    when(features.announceSubmounts, InitFlag.SUBMOUNTS) |
    when(features.killPrivileges, InitFlag.HANDLE_KILLPRIV_V2) |
    when(posixAcl && features.posixAcl !== "never", ACL_FLAGS)
  );
}

/** The second word of {@link offeredFlags}. */
function offeredFlags2(session: FuseSession): number {
  const maps = session.features.allowMmap && session.cachePolicy.directIo;
  return InitFlag2.CREATE_SUPP_GROUP | (maps ? InitFlag2.DIRECT_IO_ALLOW_MMAP : 0);
}

/** Answers INIT: versions, flags and limits. Errors: EPROTO when the guest's protocol is too old. */
export function negotiate(session: FuseSession, request: Request): Status {
  const major = request.word(InitIn.MAJOR);
  const minor = request.word(InitIn.MINOR);
  request.clearReply(InitOut.WORDS);
  const { words } = session.lane;
  const reply = request.replyWord;
  words[reply + Out.MAJOR] = FUSE_MAJOR;
  words[reply + Out.MINOR] = FUSE_MINOR;
  if (major > FUSE_MAJOR) {
    // The guest repeats INIT with a version of ours.
    return InitOut.BYTES;
  }
  if (major < FUSE_MAJOR || minor < FUSE_OLDEST_MINOR || request.argumentBytes < InitIn.OLD_BYTES) {
    session.logger.error(`the guest speaks FUSE ${major}.${minor}: expected 7.${FUSE_OLDEST_MINOR} or newer`);
    return -EPROTO;
  }
  const wanted = request.word(InitIn.FLAGS);
  let agreed = wanted & offeredFlags(session);
  if ((agreed & InitFlag.NO_OPEN_SUPPORT) !== 0) {
    // Nothing would tell of an O_TRUNC: the guest is to send SETATTR.
    agreed &= ~InitFlag.ATOMIC_O_TRUNC;
    session.backend.opensUnasked();
  }
  if (session.features.posixAcl === "always" && (agreed & InitFlag.POSIX_ACL) === 0) {
    session.logger.error("the guest does not support POSIX ACLs, which this share requires");
    return -EPROTO;
  }
  const extended = (wanted & InitFlag.INIT_EXT) !== 0 && request.argumentBytes >= InitIn.BYTES;
  words[reply + Out.MAX_READAHEAD] = request.word(InitIn.MAX_READAHEAD);
  words[reply + Out.FLAGS] = agreed;
  words[reply + Out.BACKGROUND] = MAX_BACKGROUND | (CONGESTION_THRESHOLD << 16);
  words[reply + Out.MAX_WRITE] = MAX_TRANSFER_BYTES;
  words[reply + Out.TIME_GRANULARITY] = 1;
  words[reply + Out.MAX_PAGES] = MAX_PAGES;
  words[reply + Out.FLAGS2] = extended ? request.word(InitIn.FLAGS2) & offeredFlags2(session) : 0;
  session.agreedFlags = agreed;
  session.initialised = true;
  return InitOut.BYTES;
}
