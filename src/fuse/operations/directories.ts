import type { DirectoryBuffer } from "../../vfs/directory-buffer.js";
import type { Awaitable, Status } from "../../vfs/errno.js";
import { EINVAL, ENOSYS } from "../../vfs/errno.js";
import type { VfsHandle } from "../../vfs/node.js";
import type { DirectoryStream, DirectoryStreams } from "../directory-streams.js";
import type { Operation } from "../operations.js";
import { FSYNC_DATA_ONLY, Opcode } from "../protocol.js";
import type { Request } from "../request.js";
import type { FuseSession } from "../session.js";
import { BAD_HANDLE, replyOpened, STALE, whenReady, withDirectory } from "./steps.js";

function opendir(session: FuseSession, request: Request): Awaitable<Status> {
  if (session.directoryStreams !== undefined) {
    return -ENOSYS;
  }
  const node = session.node(request);
  if (node === undefined) {
    return STALE;
  }
  const opened = session.backend.opendir(request.caller, node, request.word(0));
  return replyOpened(session, request, "directory", 0, opened);
}

/** READDIR and READDIRPLUS. */
function readdirWith(session: FuseSession, request: Request, plus: boolean): Awaitable<Status> {
  const streams = session.directoryStreams;
  if (streams !== undefined) {
    return readStream(session, request, streams, plus);
  }
  const handle = session.handle(request, 0, "directory");
  return handle === undefined ? BAD_HANDLE : readHandle(session, request, handle, plus, () => {});
}

/** READDIR without OPENDIR. */
function readStream(
  session: FuseSession,
  request: Request,
  streams: DirectoryStreams,
  plus: boolean,
): Awaitable<Status> {
  const node = session.node(request);
  if (node === undefined) {
    return STALE;
  }
  const read = (stream: DirectoryStream): Awaitable<Status> =>
    readHandle(session, request, stream.handle, plus, (status, buffer) => {
      const goesOn = status >= 0 && buffer.length > 0;
      if (goesOn) {
        [stream.nextLow, stream.nextHigh] = buffer.lastOffset();
      }
      if (goesOn || buffer.full) {
        streams.give(stream);
      } else {
        streams.close(stream);
      }
    });
  const [low, high] = [request.word(2), request.word(3)];
  const stopped = streams.take(node, low, high);
  if (stopped !== undefined) {
    return read(stopped);
  }
  return whenReady(session.backend.opendir(request.caller, node, request.word(8)), (handle) =>
    typeof handle === "number" ? handle : read({ node, handle, nextLow: low, nextHigh: high }),
  );
}

/** @param done hears of the outcome while the buffer still has the entries */
function readHandle(
  session: FuseSession,
  request: Request,
  handle: VfsHandle,
  plus: boolean,
  done: (status: Status, buffer: DirectoryBuffer) => void,
): Awaitable<Status> {
  const buffer = session.takeDirectoryBuffer();
  buffer.begin(plus, request.word(2), request.word(3), Math.min(request.word(4), request.replyCapacity));
  return whenReady(session.backend.readdir(request.caller, handle, buffer), (status) => {
    let result = status;
    done(status, buffer);
    if (buffer.length > 0) {
      // Entries that were counted as known to the guest must reach it, whatever came after them.
      result = request.replyInPlace(buffer.bytes, buffer.length);
    } else if (status >= 0) {
      result = buffer.full ? -EINVAL : 0;
    }
    session.giveDirectoryBuffer(buffer);
    return result;
  });
}

function releasedir(session: FuseSession, request: Request): Status {
  if (session.directoryStreams !== undefined) {
    return 0;
  }
  const handle = session.handle(request, 0, "directory");
  if (handle === undefined) {
    return BAD_HANDLE;
  }
  session.closeHandle(handle, "directory");
  return 0;
}

function fsyncdir(session: FuseSession, request: Request): Awaitable<Status> {
  const dataOnly = (request.word(2) & FSYNC_DATA_ONLY) !== 0;
  return withDirectory(session, request, (handle) =>
    session.backend.fsyncdir(request.caller, handle, dataOnly),
  );
}

export const DIRECTORY_OPERATIONS: readonly Operation[] = [
  { opcode: Opcode.OPENDIR, name: "OPENDIR", argumentBytes: 8, run: opendir },
  {
    opcode: Opcode.READDIR,
    name: "READDIR",
    argumentBytes: 40,
    run: (session, request) => readdirWith(session, request, false),
  },
  {
    opcode: Opcode.READDIRPLUS,
    name: "READDIRPLUS",
    argumentBytes: 40,
    run: (session, request) => readdirWith(session, request, true),
  },
  { opcode: Opcode.RELEASEDIR, name: "RELEASEDIR", argumentBytes: 24, run: releasedir },
  { opcode: Opcode.FSYNCDIR, name: "FSYNCDIR", argumentBytes: 16, run: fsyncdir },
];
