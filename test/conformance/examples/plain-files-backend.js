// @ts-nocheck: the module that it imports exists only where the suite serves it
// An example of a backend from outside: files, directories and symbolic links in memory, and nothing else.
//
//   npm run conformance -- --backend test/conformance/examples/plain-files-backend.js \
//     --capabilities=-hardLinks,-specialFiles,-xattrs,-posixAcl,-tmpfile,-inodeFlags
//
// A backend of its own extends Backend and implements its methods; this one takes most from another.
import {
  EMLINK,
  EOPNOTSUPP,
  EPERM,
  ForwardingBackend,
  MemoryBackend,
  S_IFMT,
  S_IFREG,
} from "virtiofs-gateway";

const SIZE_BYTES = 256 * 1024 * 1024;

class PlainFilesBackend extends ForwardingBackend {
  get capabilities() {
    return { ...super.capabilities, hardLinks: false, specialFiles: false, xattrs: false, posixAcl: false };
  }

  mknod(caller, parent, name, mode, rdev, out) {
    if ((mode & S_IFMT) !== S_IFREG) return -EPERM;
    return super.mknod(caller, parent, name, mode, rdev, out);
  }

  link() {
    return -EMLINK;
  }

  setxattr() {
    return -EOPNOTSUPP;
  }

  getxattr() {
    return -EOPNOTSUPP;
  }

  listxattr() {
    return -EOPNOTSUPP;
  }

  removexattr() {
    return -EOPNOTSUPP;
  }
}

/** What the conformance suite calls; the logger is the server's. */
export default function createBackend({ logger }) {
  return new PlainFilesBackend(new MemoryBackend({ sizeBytes: SIZE_BYTES, logger }));
}
