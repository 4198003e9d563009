import { ArenaTime } from "../../src/native/arena.js";
import { S_IFCHR } from "../../src/vfs/attributes.js";
import { RenameFlag } from "../../src/vfs/backend.js";
import {
  EEXIST,
  EINVAL,
  EISDIR,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  type Result,
  type Status,
} from "../../src/vfs/errno.js";
import type { Caller, VfsNode } from "../../src/vfs/node.js";
import { MAX_DIRECTORY_ENTRIES } from "./directory-entries.js";
import { isImmutable, mayRemove } from "./inode-flags.js";
import { DirectoryNode, type MemoryNode } from "./nodes.js";
import type { LiveEntry, MemoryTree } from "./tree.js";

const RENAME_FLAGS = RenameFlag.NOREPLACE | RenameFlag.EXCHANGE | RenameFlag.WHITEOUT;

/** One end of a rename. */
interface Place {
  readonly directory: DirectoryNode;
  readonly name: string;
}

/** Whether `directory` is `node` or lies below it. */
function isWithin(directory: DirectoryNode, node: MemoryNode): boolean {
  for (let current = directory; ; current = current.parent) {
    if (current === node) {
      return true;
    }
    if (current.parent === current) {
      return false;
    }
  }
}

/** Whether chattr's flags allow both ends to change. */
function mayMove(source: LiveEntry, from: Place, to: Place, target: LiveEntry | undefined): boolean {
  const mayArrive = target === undefined ? !isImmutable(to.directory) : mayRemove(to.directory, target.node);
  return mayRemove(from.directory, source.node) && mayArrive;
}

/** Why the rename cannot be, in Linux' order, or 0. */
function refusal(
  source: LiveEntry,
  from: Place,
  to: Place,
  target: LiveEntry | undefined,
  flags: number,
): Status {
  const exchange = (flags & RenameFlag.EXCHANGE) !== 0;
  if (target !== undefined && (flags & RenameFlag.NOREPLACE) !== 0) {
    return -EEXIST;
  }
  if (target === undefined && exchange) {
    return -ENOENT;
  }
  if (source.node instanceof DirectoryNode && isWithin(to.directory, source.node)) {
    return -EINVAL;
  }
  if (target?.node instanceof DirectoryNode && isWithin(from.directory, target.node)) {
    return exchange ? -EINVAL : -ENOTEMPTY;
  }
  if (target?.node === source.node) {
    return 0;
  }
  if (!mayMove(source, from, to, target)) {
    return -EPERM;
  }
  if (target === undefined || exchange) {
    return 0;
  }
  if (source.node instanceof DirectoryNode) {
    if (!(target.node instanceof DirectoryNode)) {
      return -ENOTDIR;
    }
    return target.node.entries.size > 0 ? -ENOTEMPTY : 0;
  }
  return target.node instanceof DirectoryNode ? -EISDIR : 0;
}

/** Moves a directory's ".." from one parent to the other. */
function reparent(node: MemoryNode, from: DirectoryNode, to: DirectoryNode): void {
  if (node instanceof DirectoryNode) {
    from.nlink--;
    to.nlink++;
    node.parent = to;
  }
}

function exchange(tree: MemoryTree, from: Place, source: LiveEntry, to: Place, target: LiveEntry): void {
  const { node } = source;
  source.node = target.node;
  target.node = node;
  reparent(target.node, from.directory, to.directory);
  reparent(source.node, to.directory, from.directory);
  touchAll(tree, from, to, [source.node, target.node]);
}

function touchAll(tree: MemoryTree, from: Place, to: Place, nodes: MemoryNode[]): void {
  tree.store.touch(from.directory, ArenaTime.MTIME | ArenaTime.CTIME);
  if (to.directory !== from.directory) {
    tree.store.touch(to.directory, ArenaTime.MTIME | ArenaTime.CTIME);
  }
  for (const node of nodes) {
    tree.store.touch(node, ArenaTime.CTIME);
  }
}

function move(
  tree: MemoryTree,
  from: Place,
  source: LiveEntry,
  to: Place,
  target: LiveEntry | undefined,
): void {
  const { node } = source;
  tree.removeEntry(from.directory, source);
  if (target === undefined) {
    tree.addEntry(to.directory, to.name, node);
  } else {
    // The name keeps its place in the directory: whoever reads it meets it once.
    const replaced = target.node;
    target.node = node;
    if (replaced instanceof DirectoryNode) {
      to.directory.nlink--;
    }
    if (node instanceof DirectoryNode) {
      to.directory.nlink++;
      node.parent = to.directory;
    }
    tree.dropName(replaced);
  }
  touchAll(tree, from, to, [node]);
}

/** What moves where, and what is there now. */
interface Move {
  readonly from: Place;
  readonly source: LiveEntry;
  readonly to: Place;
  readonly target: LiveEntry | undefined;
}

/** Finds both ends. -ENOTDIR, -ENOENT. */
function resolve(tree: MemoryTree, from: NameIn, to: NameIn): Result<Move> {
  const fromDirectory = tree.directory(from.parent);
  const toDirectory = tree.directory(to.parent);
  if (typeof fromDirectory === "number") {
    return fromDirectory;
  }
  if (typeof toDirectory === "number") {
    return toDirectory;
  }
  const source = tree.entry(fromDirectory, from.name);
  if (typeof source === "number") {
    return source;
  }
  const target = tree.entry(toDirectory, to.name);
  return {
    from: { directory: fromDirectory, name: from.name },
    source,
    to: { directory: toDirectory, name: to.name },
    target: typeof target === "number" ? undefined : target,
  };
}

/** A name in what should be a directory of the tree. */
export interface NameIn {
  readonly parent: VfsNode;
  readonly name: string;
}

/** renameat2(2). */
export function rename(tree: MemoryTree, caller: Caller, from: NameIn, to: NameIn, flags: number): Status {
  const swaps = (flags & RenameFlag.EXCHANGE) !== 0;
  const leavesWhiteout = (flags & RenameFlag.WHITEOUT) !== 0;
  if ((flags & ~RENAME_FLAGS) !== 0 || (swaps && flags !== RenameFlag.EXCHANGE)) {
    return -EINVAL;
  }
  const found = resolve(tree, from, to);
  if (typeof found === "number") {
    return found;
  }
  const { source, target } = found;
  const refused = refusal(source, found.from, found.to, target, flags);
  if (refused !== 0 || target?.node === source.node) {
    return refused;
  }
  if (swaps && target !== undefined) {
    exchange(tree, found.from, source, found.to, target);
    return 0;
  }
  if (target === undefined && found.to.directory.entries.size >= MAX_DIRECTORY_ENTRIES) {
    return -ENOSPC;
  }
  // Room for the whiteout is checked before anything changes.
  if (leavesWhiteout && tree.store.inodeLimit > 0 && tree.store.inodesFree < 1) {
    return -ENOSPC;
  }
  move(tree, found.from, source, found.to, target);
  if (leavesWhiteout) {
    tree.createSpecial({ ...caller, umask: 0 }, found.from.directory, from.name, S_IFCHR, 0);
  }
  return 0;
}
