import { VfsHandle, VfsNode } from "../../src/vfs/node.js";
import { DirectoryEntries } from "./directory-entries.js";

/** Owner and mode of a new node. */
export interface Ownership {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** No file in the arena. */
export const NO_FILE = -1;

/** An inode of a memory share. Times are seconds and nanoseconds since the epoch. */
export abstract class MemoryNode extends VfsNode {
  readonly ino: number;
  mode: number;
  uid: number;
  gid: number;
  nlink = 1;
  /** What chattr(1) sets: FS_IMMUTABLE_FL and the like (inode-flags.ts). */
  flags = 0;
  /** Open handles. */
  openCount = 0;
  /** False once the node holds nothing of the share any more. */
  alive = true;
  atime = 0;
  atimeNsec = 0;
  mtime = 0;
  mtimeNsec = 0;
  ctime = 0;
  ctimeNsec = 0;
  btime = 0;
  btimeNsec = 0;
  xattrs: Map<string, Uint8Array> | undefined = undefined;

  constructor(ino: number, ownership: Ownership) {
    super();
    this.ino = ino;
    this.mode = ownership.mode;
    this.uid = ownership.uid;
    this.gid = ownership.gid;
  }
}

/** A regular file. */
export class FileNode extends MemoryNode {
  /**
   * The file of the arena with the contents, or {@link NO_FILE} while the file is empty and nobody
   * writes. With one, size and times are the arena's and the node's own fields are stale.
   */
  file = NO_FILE;
  /** It was made without a name and link(2) may give it its first. */
  linkable = false;
}

export class DirectoryNode extends MemoryNode {
  readonly entries = new DirectoryEntries<MemoryNode>();
  /** The root's is itself. */
  parent: DirectoryNode;
  /** rmdir took it; it may still be open, and nothing can be found or made in it. */
  removed = false;

  constructor(ino: number, ownership: Ownership, parent: DirectoryNode | undefined) {
    super(ino, ownership);
    this.parent = parent ?? this;
    this.nlink = 2;
  }
}

export class SymlinkNode extends MemoryNode {
  /** Latin1, or bytes outside of the JavaScript heap when it is long. */
  readonly target: string | Buffer;

  constructor(ino: number, ownership: Ownership, target: string | Buffer) {
    super(ino, ownership);
    this.target = target;
  }
}

/** A fifo, socket or device: recorded, never opened here. */
export class SpecialNode extends MemoryNode {
  readonly rdev: number;

  constructor(ino: number, ownership: Ownership, rdev: number) {
    super(ino, ownership);
    this.rdev = rdev;
  }
}

/** An open regular file. */
export class MemoryFileHandle extends VfsHandle {
  override readonly node: FileNode;
  /** open(2) flags. */
  readonly flags: number;

  constructor(node: FileNode, flags: number) {
    super(node);
    this.node = node;
    this.flags = flags;
  }
}

/** An open directory: reading goes by offsets, so it has no state of its own. */
export class MemoryDirectoryHandle extends VfsHandle {
  override readonly node: DirectoryNode;
  /** O_NOATIME */
  readonly keepsAtime: boolean;

  constructor(node: DirectoryNode, keepsAtime: boolean) {
    super(node);
    this.node = node;
    this.keepsAtime = keepsAtime;
  }
}
