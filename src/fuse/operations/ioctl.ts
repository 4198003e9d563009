import { Slot } from "../../native/lane.js";
import { type Awaitable, EINVAL, ENOSYS, ENOTTY, type Status } from "../../vfs/errno.js";
import type { VfsHandle } from "../../vfs/node.js";
import type { Operation } from "../operations.js";
import { Opcode } from "../protocol.js";
import type { Request } from "../request.js";
import type { FuseSession } from "../session.js";
import { whenReady, withDirectory, withFile } from "./steps.js";

/** struct fuse_ioctl_in, words. */
const IoctlIn = { BYTES: 32, FLAGS: 2, COMMAND: 3, IN_SIZE: 6, OUT_SIZE: 7 } as const;
/** struct fuse_ioctl_out. Its result stays 0: a failure is the errno of the reply. */
const IOCTL_OUT_BYTES = 16;
/** FUSE_IOCTL_UNRESTRICTED: the server may ask for more memory of the caller. Linux keeps it to CUSE. */
const UNRESTRICTED = 1 << 1;
/** FUSE_IOCTL_DIR: the handle is a directory's. */
const DIRECTORY = 1 << 4;

/** What a command moves. FS_IOC_GETFLAGS and SETFLAGS say 8 bytes in their numbers and mean 4. */
interface Command {
  readonly inputBytes: number;
  readonly outputBytes: number;
}

const FLAGS_BYTES = 4;
/** struct fsxattr. */
const FSXATTR_BYTES = 28;

/**
 * The commands that Linux itself sends for files (lsattr, chattr, project quotas). No other one goes to the
 * host: what it does with a pointer, or to the host's file system, nobody knows.
 */
const COMMANDS: ReadonlyMap<number, Command> = new Map([
  [0x8008_6601, { inputBytes: 0, outputBytes: FLAGS_BYTES }],
  [0x4008_6602, { inputBytes: FLAGS_BYTES, outputBytes: 0 }],
  [0x801c_581f, { inputBytes: 0, outputBytes: FSXATTR_BYTES }],
  [0x401c_5820, { inputBytes: FSXATTR_BYTES, outputBytes: 0 }],
]);

function ioctl(session: FuseSession, request: Request): Awaitable<Status> {
  const flags = request.word(IoctlIn.FLAGS);
  const operation = (handle: VfsHandle): Awaitable<Status> => ioctlOf(session, request, handle);
  return (flags & DIRECTORY) !== 0
    ? withDirectory(session, request, operation)
    : withFile(session, request, 0, false, operation);
}

function ioctlOf(session: FuseSession, request: Request, handle: VfsHandle): Awaitable<Status> {
  const flags = request.word(IoctlIn.FLAGS);
  const number = request.word(IoctlIn.COMMAND);
  const command = COMMANDS.get(number);
  if (command === undefined || (flags & UNRESTRICTED) !== 0) {
    return -ENOTTY;
  }
  const input = request.payload().subarray(IoctlIn.BYTES, IoctlIn.BYTES + request.word(IoctlIn.IN_SIZE));
  const outSize = request.word(IoctlIn.OUT_SIZE);
  if (input.length < command.inputBytes || outSize < command.outputBytes) {
    return -EINVAL;
  }
  const replyBytes = IOCTL_OUT_BYTES + outSize;
  if (replyBytes > Slot.REPLY_BYTES) {
    return -EINVAL;
  }
  const reply = request.replyBytes(replyBytes).fill(0);
  const into = reply.subarray(IOCTL_OUT_BYTES, IOCTL_OUT_BYTES + command.outputBytes);
  const done = session.backend.ioctl(
    request.caller,
    handle,
    number,
    input.subarray(0, command.inputBytes),
    into,
  );
  // ENOSYS would turn ioctl off for the whole mount.
  return whenReady(done, (status) => {
    if (command.outputBytes === 0) {
      // What a file may be opened for is another question now.
      session.nodeFiles?.forget(handle.node);
    }
    return status < 0 ? (status === -ENOSYS ? -ENOTTY : status) : replyBytes;
  });
}

export const IOCTL_OPERATIONS: readonly Operation[] = [
  { opcode: Opcode.IOCTL, name: "IOCTL", argumentBytes: IoctlIn.BYTES, run: ioctl },
];
