import { posix } from "../../src/native/posix.js";
import { S_IFDIR, S_IFLNK, S_IFREG } from "../../src/vfs/attributes.js";
import { VfsHandle, VfsNode } from "../../src/vfs/node.js";
import type { HostFlags } from "./open-flags.js";
import type { ReusableMap } from "./reusable-map.js";

/** An inode number: exact as a number below 2^53, else as text. */
export type InodeKey = number | string;

/** What tells a file from every other on the host, as far as numbers can. */
export interface Identity {
  dev: number;
  /** Id of the mount: what is mounted twice is two trees, which differ by what is mounted below and by ro. */
  mount: number;
  key: InodeKey;
  /** S_IFMT bits. */
  type: number;
  /** Birth time: low word of the seconds, and nanoseconds; both 0 where the file system has none. */
  birth: number;
  birthNsec: number;
}

/**
 * A file of the host. While `path` is open (or `creator` is, see there) the file cannot go away and
 * its inode number cannot be given to another. Without, the node is a *lazy* one: `parent` and `name`
 * say where the file was last seen, and what is found there counts only if its identity is the same,
 * birth time included. A node that once had a descriptor may have given it up for a file `handle`, which
 * names the file wherever it is. A node with none of these is stale: the file is gone or was moved by the host.
 */
export class PassthroughNode extends VfsNode implements Identity {
  readonly dev: number;
  readonly mount: number;
  readonly key: InodeKey;
  readonly type: number;
  readonly birth: number;
  readonly birthNsec: number;
  /** An O_PATH descriptor, or -1. Opened and closed by the node table only. */
  path = -1;
  /** Its place among the nodes with a descriptor, and when it was last used there. */
  pinIndex = -1;
  usedAt = 0;
  /** The file handle of a node that gave up its descriptor, else empty. */
  handle = "";
  /** Where a lazy node was seen. The parent is kept as long as it has such entries. */
  parent: PassthroughNode | undefined;
  name = "";
  /** Lazy nodes in this directory by name. */
  entries: ReusableMap<string, PassthroughNode> | undefined;
  /** The file handle of a file that was opened before, else empty: opening by it is faster. */
  openHandle = "";
  /** Target of a symbolic link that was read: it never changes. */
  target: string | undefined;
  /** The handle that created the file, while it is open: its descriptor is as good as `path`. */
  creator: FileHandle | undefined;
  /** The file's handle that was opened last, while it is open. */
  latest: FileHandle | undefined;
  /** Open handles. */
  handles = 0;
  /** The guest may name the node. */
  known = false;
  /** It may do so by its id alone: it has forgotten the node, which has nothing open and a `handle`. */
  retained = false;

  constructor(identity: Identity) {
    super();
    this.dev = identity.dev;
    this.mount = identity.mount;
    this.key = identity.key;
    this.type = identity.type;
    this.birth = identity.birth;
    this.birthNsec = identity.birthNsec;
  }

  /** Whether something open keeps the file from being replaced by another of the same number. */
  get isHeld(): boolean {
    return this.path >= 0 || this.creator !== undefined;
  }

  get isDirectory(): boolean {
    return this.type === S_IFDIR;
  }

  get isRegular(): boolean {
    return this.type === S_IFREG;
  }

  get isSymlink(): boolean {
    return this.type === S_IFLNK;
  }
}

/** An open regular file. Native code owns the descriptor from open on (see {@link VfsHandle.boundFile}). */
export class FileHandle extends VfsHandle {
  declare readonly node: PassthroughNode;
  readonly fd: number;
  #medium: number | undefined;
  readonly isWritable: boolean;
  /** Every write waits for the disk (O_SYNC, O_DSYNC, O_DIRECT). */
  readonly isSynchronous: boolean;

  constructor(node: PassthroughNode, fd: number, how: HostFlags) {
    super(node);
    this.fd = fd;
    this.isWritable = how.isWritable;
    this.isSynchronous = how.isSynchronous;
    this.boundFile = { kind: "descriptor", fd };
  }

  /** {@link Medium} of the file. */
  get medium(): number {
    this.#medium ??= posix.medium(this.fd);
    return this.#medium;
  }
}

/** An open directory; the backend owns the descriptor. */
export class DirectoryHandle extends VfsHandle {
  declare readonly node: PassthroughNode;
  readonly fd: number;

  constructor(node: PassthroughNode, fd: number) {
    super(node);
    this.fd = fd;
  }
}
