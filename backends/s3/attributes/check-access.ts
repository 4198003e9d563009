import { EACCES, type Status } from "../../../src/vfs/errno.js";
import type { Caller } from "../../../src/vfs/node.js";
import { S3Directory, type S3Node } from "../namespace/node.js";

const X_OK = 1;

/** access(2) by the mode bits, for guests whose kernel does not decide itself. -EACCES. */
export function checkAccess(caller: Caller, node: S3Node, mask: number): Status {
  const { mode = 0, uid, gid } = node.attributes ?? {};
  if (caller.uid === 0) {
    const needsExecute = (mask & X_OK) !== 0 && !(node instanceof S3Directory);
    return needsExecute && (mode & 0o111) === 0 ? -EACCES : 0;
  }
  const shift = caller.uid === uid ? 6 : caller.gid === gid ? 3 : 0;
  return (mask & 7 & ~(mode >>> shift)) === 0 ? 0 : -EACCES;
}
