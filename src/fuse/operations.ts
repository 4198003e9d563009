import type { Awaitable } from "../vfs/errno.js";
import { ATTRIBUTE_OPERATIONS } from "./operations/attributes.js";
import { CONTROL_OPERATIONS } from "./operations/control.js";
import { DIRECTORY_OPERATIONS } from "./operations/directories.js";
import { FILE_OPERATIONS } from "./operations/files.js";
import { IOCTL_OPERATIONS } from "./operations/ioctl.js";
import { LOCK_OPERATIONS } from "./operations/locks.js";
import { NAMESPACE_OPERATIONS } from "./operations/namespace.js";
import { STATX_OPERATIONS } from "./operations/statx.js";
import { XATTR_OPERATIONS } from "./operations/xattrs.js";
import type { Request } from "./request.js";
import type { FuseSession } from "./session.js";

/** How a request is answered. */
export interface Operation {
  readonly opcode: number;
  readonly name: string;
  /** Bytes of fixed arguments: a shorter request is EINVAL before `run` sees it. */
  readonly argumentBytes: number;
  /** Returns the length of the reply's body, a negative errno or a LaneResult. */
  run(session: FuseSession, request: Request): Awaitable<number>;
}

/** The operations by opcode. What is missing is answered with ENOSYS, which the guest remembers. */
export const OPERATIONS: readonly (Operation | undefined)[] = byOpcode([
  ...CONTROL_OPERATIONS,
  ...NAMESPACE_OPERATIONS,
  ...ATTRIBUTE_OPERATIONS,
  ...FILE_OPERATIONS,
  ...LOCK_OPERATIONS,
  ...DIRECTORY_OPERATIONS,
  ...XATTR_OPERATIONS,
  ...STATX_OPERATIONS,
  ...IOCTL_OPERATIONS,
]);

function byOpcode(operations: readonly Operation[]): (Operation | undefined)[] {
  const table: (Operation | undefined)[] = new Array(64).fill(undefined);
  for (const operation of operations) {
    table[operation.opcode] = operation;
  }
  return table;
}
