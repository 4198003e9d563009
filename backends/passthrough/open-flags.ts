import { constants } from "node:fs";
import { EINVAL, ENOTDIR, type Result } from "../../src/vfs/errno.js";

const { O_APPEND, O_DIRECT, O_DIRECTORY, O_DSYNC, O_NOATIME, O_RDONLY, O_RDWR, O_SYNC, O_TRUNC, O_WRONLY } =
  constants;
const O_ACCMODE = O_RDONLY | O_WRONLY | O_RDWR;
/** The mode that Linux reserves for device control without reading or writing. */
const RESERVED_MODE = 3;

/** What a guest may ask of a host file; everything else is between the guest's kernel and its programs. */
const PASSED_ON = O_ACCMODE | O_APPEND | O_DSYNC | O_NOATIME | O_SYNC | O_TRUNC;

/** The flags to open a regular host file with for a guest's open(2) flags. Errors: EINVAL, ENOTDIR. */
export function hostFlags(flags: number, allowDirectIo: boolean): Result<HostFlags> {
  if ((flags & O_ACCMODE) === RESERVED_MODE) {
    return -EINVAL;
  }
  if ((flags & O_DIRECTORY) !== 0) {
    return -ENOTDIR;
  }
  const bits = flags & (allowDirectIo ? PASSED_ON | O_DIRECT : PASSED_ON);
  return {
    bits,
    isWritable: (bits & O_ACCMODE) !== O_RDONLY,
    isSynchronous: (bits & (O_DIRECT | O_DSYNC | O_SYNC)) !== 0,
  };
}

export interface HostFlags {
  readonly bits: number;
  readonly isWritable: boolean;
  readonly isSynchronous: boolean;
}
