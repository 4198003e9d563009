import { PassthroughBackend } from "../../../backends/passthrough/passthrough-backend.js";
import { ATTR_WORDS } from "../../../src/vfs/attributes.js";
import type { CloneOptions } from "../../../src/vfs/backend.js";
import type { Result } from "../../../src/vfs/errno.js";
import type { Caller } from "../../../src/vfs/node.js";

export const CALLER: Caller = {
  uid: process.geteuid?.() ?? 0,
  gid: process.getegid?.() ?? 0,
  pid: 0,
  supplementaryGroup: -1,
  umask: 0,
  clearsPrivileges: false,
};
/** All of a file, some attributes left out and one added. */
export const WHOLE: CloneOptions = {
  size: Number.MAX_SAFE_INTEGER,
  skipXattrs: "user.mine.",
  keepXattrs: "user.mine.not.",
  xattr: "user.mark",
  value: Buffer.from("made"),
  sync: true,
};
const logger = { debug() {}, info() {}, warn() {}, error() {} };
export const record = () => new Uint32Array(ATTR_WORDS);

export function must<T>(result: Result<T>): T {
  if (typeof result === "number") throw new Error(`errno ${-result}`);
  return result;
}

/** The backend of a directory. */
export function openBackend(sharedDir: string): PassthroughBackend {
  return new PassthroughBackend({ sharedDir, xattr: true, allowDirectIo: false, logger });
}
