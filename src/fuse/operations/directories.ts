import type { Awaitable, Status } from "../../vfs/errno.js";
import { EINVAL } from "../../vfs/errno.js";
import type { Operation } from "../operations.js";
import { FSYNC_DATA_ONLY, Opcode } from "../protocol.js";
import type { Request } from "../request.js";
import type { FuseSession } from "../session.js";
import { BAD_HANDLE, replyOpened, STALE, whenReady } from "./steps.js";

function opendir(session: FuseSession, request: Request): Awaitable<Status> {
  const node = session.node(request);
  if (node === undefined) {
    return STALE;
  }
  const opened = session.backend.opendir(request.caller, node, request.word(0));
  return replyOpened(session, request, "directory", 0, opened);
}

/** READDIR and READDIRPLUS. */
function readdirWith(session: FuseSession, request: Request, plus: boolean): Awaitable<Status> {
  const handle = session.handle(request, 0, "directory");
  if (handle === undefined) {
    return BAD_HANDLE;
  }
  const buffer = session.takeDirectoryBuffer();
  buffer.begin(plus, request.word(2), request.word(3), Math.min(request.word(4), request.replyCapacity));
  return whenReady(session.backend.readdir(request.caller, handle, buffer), (status) => {
    let result = status;
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
  const handle = session.handle(request, 0, "directory");
  if (handle === undefined) {
    return BAD_HANDLE;
  }
  session.closeHandle(handle, "directory");
  return 0;
}

function fsyncdir(session: FuseSession, request: Request): Awaitable<Status> {
  const handle = session.handle(request, 0, "directory");
  if (handle === undefined) {
    return BAD_HANDLE;
  }
  return session.backend.fsyncdir(request.caller, handle, (request.word(2) & FSYNC_DATA_ONLY) !== 0);
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
