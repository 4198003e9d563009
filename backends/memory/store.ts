import { ARENA_STAT_WORDS, type Arena, ArenaTime, ArenaWord } from "../../src/native/arena.js";
import {
  Attr,
  type AttributeChange,
  type AttrRecord,
  type FileSystemStatistics,
  S_ISGID,
  S_ISUID,
  setWords64,
} from "../../src/vfs/attributes.js";
import { DirectoryNode, FileNode, type MemoryNode, NO_FILE, SpecialNode, SymlinkNode } from "./nodes.js";

/** What one inode, or one more name of it, takes of the inode space (as tmpfs has it). */
const INODE_SPACE_BYTES = 1024;
const PAGE_BYTES = 4096;
const NAME_LIMIT_BYTES = 255;
const DIRECTORY_ENTRY_BYTES = 20;
/** Symbolic links from this length on take a page of the share. */
export const LONG_SYMLINK_BYTES = 128;
/** File capabilities: whoever changes contents or owner loses them. */
export const CAPABILITY = "security.capability";
const DAY_SECONDS = 86400;
const TWO_POW_32 = 0x1_0000_0000;

/** Signed 64-bit seconds from two words. */
function seconds(words: Uint32Array, index: number): number {
  return ((words[index + 1] as number) | 0) * TWO_POW_32 + (words[index] as number);
}

/** Times of a file: seconds since the epoch and nanoseconds. */
export type FileTimes = Pick<
  AttributeChange,
  "atime" | "atimeNsec" | "mtime" | "mtimeNsec" | "ctime" | "ctimeNsec"
>;

/** What the nodes of a share have in common: memory, limits, the clock, and attributes. */
export class MemoryStore {
  readonly arena: Arena;
  /** Inodes that may exist, or 0 for no limit. */
  readonly inodeLimit: number;
  /** ACLs are kept and inherited. */
  readonly posixAcl: boolean;
  #nextIno = 1;
  #inodeSpace = 0;
  #xattrBytes = 0;
  #xattrPages = 0;

  constructor(arena: Arena, inodeLimit: number, posixAcl: boolean) {
    this.arena = arena;
    this.inodeLimit = inodeLimit;
    this.posixAcl = posixAcl;
  }

  nextIno(): number {
    return this.#nextIno++;
  }

  /** Inodes that there are, the space of names and extended attributes counted as if it were theirs. */
  get inodes(): number {
    return Math.ceil(this.#inodeSpace / INODE_SPACE_BYTES);
  }

  /** Inodes that can still be made. */
  get inodesFree(): number {
    return Math.max(0, this.inodeLimit - this.inodes);
  }

  /** statfs(2) of a share that may have `limitPages` pages. */
  statistics(limitPages: number): FileSystemStatistics {
    const free = limitPages - this.arena.usedPages();
    return {
      blocks: limitPages,
      blocksFree: free,
      blocksAvailable: free,
      files: this.inodeLimit,
      filesFree: this.inodesFree,
      blockSize: PAGE_BYTES,
      fragmentSize: PAGE_BYTES,
      nameLength: NAME_LIMIT_BYTES,
    };
  }

  /** Counts one more inode, or one more name of one. False when there is no room. */
  takeInode(): boolean {
    return this.#takeInodeSpace(INODE_SPACE_BYTES);
  }

  returnInode(): void {
    this.#inodeSpace -= INODE_SPACE_BYTES;
  }

  /**
   * Counts `bytes` (negative: gives back) of extended attributes, against the inodes as tmpfs does
   * and against the size, because inodes may be without limit. False when there is no room.
   */
  takeXattrBytes(bytes: number): boolean {
    if (!this.#takeInodeSpace(bytes)) {
      return false;
    }
    const pages = Math.ceil((this.#xattrBytes + bytes) / PAGE_BYTES);
    if (pages !== this.#xattrPages && this.arena.charge(pages - this.#xattrPages) < 0) {
      this.#inodeSpace -= bytes;
      return false;
    }
    this.#xattrBytes += bytes;
    this.#xattrPages = pages;
    return true;
  }

  /** Sets an extended attribute, or takes it away (undefined). False when there is no room. */
  putXattr(node: MemoryNode, name: string, value: Uint8Array | undefined): boolean {
    const old = node.xattrs?.get(name);
    const before = old === undefined ? 0 : xattrBytes(name, old);
    const after = value === undefined ? 0 : xattrBytes(name, value);
    if (after !== before && !this.takeXattrBytes(after - before)) {
      return false;
    }
    if (value !== undefined) {
      node.xattrs ??= new Map();
      node.xattrs.set(name, value);
    } else if (node.xattrs?.delete(name) && node.xattrs.size === 0) {
      node.xattrs = undefined;
    }
    if (name === CAPABILITY) {
      this.notePrivileges(node);
    }
    return true;
  }

  /** Tells native code whether the file has something that a write takes away; to be called when that changes. */
  notePrivileges(node: MemoryNode): void {
    if (node instanceof FileNode && node.file !== NO_FILE) {
      this.arena.setPrivileged(node.file, hasPrivileges(node) ? 1 : 0);
    }
  }

  #takeInodeSpace(bytes: number): boolean {
    const space = this.#inodeSpace + bytes;
    if (bytes > 0 && this.inodeLimit > 0 && space > this.inodeLimit * INODE_SPACE_BYTES) {
      return false;
    }
    this.#inodeSpace = space;
    return true;
  }

  /** Sets the times in `mask` ({@link ArenaTime} bits) to now, all to the same instant. */
  touch(node: MemoryNode, mask: number): void {
    if (node instanceof FileNode && node.file !== NO_FILE) {
      this.arena.touch(node.file, mask);
      return;
    }
    const nsec = this.arena.now();
    this.setNodeTimes(node, mask, seconds(this.arena.words, ArenaWord.RESULT), nsec);
  }

  /** Sets the node's own times in `mask` to one instant. */
  setNodeTimes(node: MemoryNode, mask: number, sec: number, nsec: number): void {
    if ((mask & ArenaTime.ATIME) !== 0) {
      node.atime = sec;
      node.atimeNsec = nsec;
    }
    if ((mask & ArenaTime.MTIME) !== 0) {
      node.mtime = sec;
      node.mtimeNsec = nsec;
    }
    if ((mask & ArenaTime.CTIME) !== 0) {
      node.ctime = sec;
      node.ctimeNsec = nsec;
    }
  }

  /** All times of a node that was just made become now. */
  stampNew(node: MemoryNode): void {
    this.touch(node, ArenaTime.ATIME | ArenaTime.MTIME | ArenaTime.CTIME);
    node.btime = node.ctime;
    node.btimeNsec = node.ctimeNsec;
  }

  /** A directory or symbolic link was read: relatime. */
  touchRead(node: MemoryNode): void {
    const isNewer = (sec: number, nsec: number) =>
      node.atime > sec || (node.atime === sec && node.atimeNsec > nsec);
    if (
      isNewer(node.mtime, node.mtimeNsec) &&
      isNewer(node.ctime, node.ctimeNsec) &&
      Date.now() / 1000 - node.atime < DAY_SECONDS
    ) {
      return;
    }
    this.touch(node, ArenaTime.ATIME);
  }

  /** Sets the times in `mask` ({@link ArenaTime}) of a file of the arena. */
  setFileTimes(file: number, times: FileTimes, mask: number): void {
    const { words } = this.arena;
    setWords64(words, ArenaWord.ATIME, times.atime);
    setWords64(words, ArenaWord.MTIME, times.mtime);
    setWords64(words, ArenaWord.CTIME, times.ctime);
    words[ArenaWord.ATIME_NSEC] = times.atimeNsec;
    words[ArenaWord.MTIME_NSEC] = times.mtimeNsec;
    words[ArenaWord.CTIME_NSEC] = times.ctimeNsec;
    this.arena.setTimes(file, mask);
  }

  /** The arena's file of a regular file, made when there is none; or a negative errno. */
  fileOf(node: FileNode): number {
    if (node.file !== NO_FILE) {
      return node.file;
    }
    const file = this.arena.createFile();
    if (file < 0) {
      return file;
    }
    this.setFileTimes(file, node, ArenaTime.ATIME | ArenaTime.MTIME | ArenaTime.CTIME);
    node.file = file;
    if (hasPrivileges(node)) {
      this.notePrivileges(node);
    }
    return file;
  }

  /** Gives up the arena's file of one that is empty, so that an empty file costs the node alone. */
  dropEmptyFile(node: FileNode): void {
    const { arena } = this;
    const { words } = arena;
    if (node.file === NO_FILE || arena.stat(node.file) < 0) {
      return;
    }
    for (let word = ArenaWord.SIZE; word < ArenaWord.ATIME; word++) {
      if (words[word] !== 0) {
        return;
      }
    }
    node.atime = seconds(words, ArenaWord.ATIME);
    node.atimeNsec = words[ArenaWord.ATIME_NSEC] as number;
    node.mtime = seconds(words, ArenaWord.MTIME);
    node.mtimeNsec = words[ArenaWord.MTIME_NSEC] as number;
    node.ctime = seconds(words, ArenaWord.CTIME);
    node.ctimeNsec = words[ArenaWord.CTIME_NSEC] as number;
    arena.dropFile(node.file);
    node.file = NO_FILE;
  }

  /** Gives back what a node holds that has no name, no handle and no reference from the guest. */
  dispose(node: MemoryNode): void {
    if (!node.alive) {
      return;
    }
    node.alive = false;
    if (node instanceof FileNode && node.file !== NO_FILE) {
      this.arena.dropFile(node.file);
      node.file = NO_FILE;
    } else if (node instanceof SymlinkNode && node.target.length >= LONG_SYMLINK_BYTES) {
      this.arena.charge(-1);
    }
    if (node.xattrs !== undefined) {
      for (const [name, value] of node.xattrs) {
        this.takeXattrBytes(-xattrBytes(name, value));
      }
      node.xattrs = undefined;
    }
    this.returnInode();
  }

  /** Fills `out` with the attributes of a node. */
  fillAttributes(node: MemoryNode, out: AttrRecord): void {
    setWords64(out, Attr.INO, node.ino);
    this.#fillSizeAndTimes(node, out);
    out[Attr.MODE] = node.mode;
    out[Attr.NLINK] = node.nlink;
    out[Attr.UID] = node.uid;
    out[Attr.GID] = node.gid;
    out[Attr.RDEV] = node instanceof SpecialNode ? node.rdev : 0;
    out[Attr.BLKSIZE] = PAGE_BYTES;
    out[Attr.FLAGS] = 0;
    out[Attr.DEV] = 0;
    out[Attr.DEV + 1] = 0;
    setWords64(out, Attr.BTIME, node.btime);
    out[Attr.BTIME_NSEC] = node.btimeNsec;
  }

  #fillSizeAndTimes(node: MemoryNode, out: AttrRecord): void {
    if (node instanceof FileNode && node.file !== NO_FILE && this.arena.stat(node.file) === 0) {
      // The arena's words and the record have these fields in the same order.
      const { words } = this.arena;
      for (let word = 0; word < ARENA_STAT_WORDS; word++) {
        out[Attr.SIZE + word] = words[word] as number;
      }
      return;
    }
    setWords64(out, Attr.SIZE, sizeOf(node));
    setWords64(out, Attr.BLOCKS, blocksOf(node));
    setWords64(out, Attr.ATIME, node.atime);
    setWords64(out, Attr.MTIME, node.mtime);
    setWords64(out, Attr.CTIME, node.ctime);
    out[Attr.ATIME_NSEC] = node.atimeNsec;
    out[Attr.MTIME_NSEC] = node.mtimeNsec;
    out[Attr.CTIME_NSEC] = node.ctimeNsec;
  }
}

function hasPrivileges(node: MemoryNode): boolean {
  return (node.mode & (S_ISUID | S_ISGID)) !== 0 || hasCapabilities(node);
}

/** Whether the file has capabilities to lose. */
export function hasCapabilities(node: MemoryNode): boolean {
  return node.xattrs?.has(CAPABILITY) === true;
}

/** What an extended attribute takes of the share. */
export function xattrBytes(name: string, value: Uint8Array): number {
  return name.length + value.length + 64;
}

function sizeOf(node: MemoryNode): number {
  if (node instanceof DirectoryNode) {
    return (2 + node.entries.size) * DIRECTORY_ENTRY_BYTES;
  }
  return node instanceof SymlinkNode ? node.target.length : 0;
}

function blocksOf(node: MemoryNode): number {
  return node instanceof SymlinkNode && node.target.length >= LONG_SYMLINK_BYTES ? PAGE_BYTES / 512 : 0;
}

/** When contents were last read and changed. */
export function nodeTimes(
  store: MemoryStore,
  node: MemoryNode,
): Record<"atime" | "mtime", { seconds: number; nanoseconds: number }> {
  const { words } = store.arena;
  if (node instanceof FileNode && node.file !== NO_FILE && store.arena.stat(node.file) === 0) {
    return {
      atime: { seconds: seconds(words, ArenaWord.ATIME), nanoseconds: words[ArenaWord.ATIME_NSEC] as number },
      mtime: { seconds: seconds(words, ArenaWord.MTIME), nanoseconds: words[ArenaWord.MTIME_NSEC] as number },
    };
  }
  return {
    atime: { seconds: node.atime, nanoseconds: node.atimeNsec },
    mtime: { seconds: node.mtime, nanoseconds: node.mtimeNsec },
  };
}
