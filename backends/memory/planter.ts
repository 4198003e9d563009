import { ArenaTime, ArenaWord } from "../../src/native/arena.js";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFSOCK, setWords64 } from "../../src/vfs/attributes.js";
import { ENOSPC, type Result, type Status } from "../../src/vfs/errno.js";
import { GatewayError } from "../../src/vfs/gateway-error.js";
import type { Caller } from "../../src/vfs/node.js";
import { ACCESS_ACL, DEFAULT_ACL } from "./acl.js";
import { flagsOfNames } from "./inode-flags.js";
import { type DirectoryNode, FileNode, type MemoryNode, NO_FILE } from "./nodes.js";
import type { MemoryTree } from "./tree.js";
import { highHalf, lowHalf } from "./words.js";

/** What is planted under a name. */
export type PlantType = "file" | "symlink" | "character" | "block" | "directory" | "fifo" | "socket";

/** Attributes of a file as it was where it comes from. */
export interface PlantAttributes {
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: { readonly seconds: number; readonly nanoseconds: number };
  /** As mtime when undefined. */
  readonly atime: { readonly seconds: number; readonly nanoseconds: number } | undefined;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
  /** What chattr(1) has set, as names; none unless given. */
  readonly fileFlags?: string | undefined;
}

const GARDENER: Caller = {
  uid: 0,
  gid: 0,
  pid: 0,
  supplementaryGroup: -1,
  umask: 0,
  clearsPrivileges: false,
};
const SPECIAL_MODES = { character: S_IFCHR, block: S_IFBLK, fifo: S_IFIFO, socket: S_IFSOCK } as const;
const NAME_LIMIT_BYTES = 255;
const TARGET_LIMIT_BYTES = 4095;
const VALUE_LIMIT_BYTES = 65_536;
/** Attributes that a share can keep. */
const KEPT_XATTR = /^(user|trusted|security)\.[^\0]{1,246}$/s;

/** Why something does not fit, in terms of the option that says how much there is. */
function noSpace(tree: MemoryTree): GatewayError {
  const { store } = tree;
  const isInodes = store.inodeLimit > 0 && store.inodesFree < 1;
  return new GatewayError(
    "environment",
    isInodes ? "does not fit into the share: raise --inodes" : "does not fit into the share: raise --size",
  );
}

function unless<T>(tree: MemoryTree, result: Result<T>, name: string): T {
  if (result === -ENOSPC) {
    throw noSpace(tree);
  }
  if (typeof result === "number") {
    throw new GatewayError("environment", `${JSON.stringify(name)}: error ${-result}`);
  }
  return result;
}

/** Fills a share that is not served yet, wherever the files come from. Everything is checked. */
export class Planter {
  readonly tree: MemoryTree;
  /** Times of directories change while they are filled, so they are set last. */
  readonly #directories = new Map<DirectoryNode, PlantAttributes>();
  /** Flags that keep files from being changed or linked, and directories from being filled: set last, too. */
  readonly #flags = new Map<MemoryNode, number>();

  constructor(tree: MemoryTree) {
    this.tree = tree;
  }

  /**
   * Makes a node under a name that is free; `target` and `rdev` as the type needs them.
   * @throws GatewayError when the name cannot be, or the share is full
   */
  plant(parent: DirectoryNode, name: string, type: PlantType, target: string, rdev: number): MemoryNode {
    this.checkName(name);
    const { tree } = this;
    switch (type) {
      case "file":
        return unless(tree, tree.createFile(GARDENER, parent, name, 0o600), name);
      case "directory":
        return unless(tree, tree.createDirectory(GARDENER, parent, name, 0o755), name);
      case "symlink":
        if (target === "" || target.length > TARGET_LIMIT_BYTES || target.includes("\0")) {
          throw new GatewayError("environment", `${JSON.stringify(name)}: a bad symbolic link`);
        }
        return unless(tree, tree.createSymlink(GARDENER, parent, name, target), name);
      case "character":
      case "block":
      case "fifo":
      case "socket":
        return unless(tree, tree.createSpecial(GARDENER, parent, name, SPECIAL_MODES[type], rdev), name);
    }
  }

  /** One more name for a node. */
  link(node: MemoryNode, parent: DirectoryNode, name: string): void {
    this.checkName(name);
    const status = this.tree.link(node, parent, name);
    if (status === -ENOSPC) {
      throw noSpace(this.tree);
    }
    if (status < 0) {
      throw new GatewayError("environment", `${JSON.stringify(name)}: cannot be a hard link`);
    }
  }

  checkName(name: string): void {
    if (
      name.length > NAME_LIMIT_BYTES ||
      name === "" ||
      name === "." ||
      name === ".." ||
      /[/\0]/.test(name)
    ) {
      throw new GatewayError("environment", `${JSON.stringify(name)}: not a name that a file can have`);
    }
  }

  /** Writes contents at an offset. @throws GatewayError when the share is full */
  write(node: FileNode, offset: bigint, bytes: Uint8Array): void {
    const { store } = this.tree;
    const file = store.fileOf(node);
    const count = file < 0 ? file : store.arena.write(file, lowHalf(offset), highHalf(offset), bytes);
    if (count !== bytes.length) {
      throw noSpace(this.tree);
    }
  }

  /** Sets the size of a file, holes included. */
  resize(node: FileNode, size: bigint): void {
    const { store } = this.tree;
    if (size > 0n) {
      store.arena.truncate(store.fileOf(node), lowHalf(size), highHalf(size));
    }
  }

  /** Gives a node its attributes, after its contents. */
  finish(node: MemoryNode, attributes: PlantAttributes): void {
    const { store } = this.tree;
    node.uid = attributes.uid;
    node.gid = attributes.gid;
    node.mode = (node.mode & ~0o7777) | (attributes.mode & 0o7777);
    store.notePrivileges(node);
    for (const name of [...(node.xattrs?.keys() ?? [])]) {
      store.putXattr(node, name, undefined);
    }
    for (const [name, value] of attributes.xattrs) {
      if (this.#keeps(name, value) && !store.putXattr(node, name, Uint8Array.from(value))) {
        throw noSpace(this.tree);
      }
    }
    const flags = flagsOfNames(attributes.fileFlags ?? "");
    if (flags !== 0) {
      this.#flags.set(node, flags);
    }
    if ((node.mode & ~0o7777) === S_IFDIR) {
      this.#directories.set(node as DirectoryNode, attributes);
    } else {
      this.#setTimes(node, attributes);
    }
  }

  /** Everything is planted. */
  close(): void {
    for (const [directory, attributes] of this.#directories) {
      this.#setTimes(directory, attributes);
    }
    for (const [node, flags] of this.#flags) {
      node.flags = flags;
    }
    this.#directories.clear();
    this.#flags.clear();
  }

  #keeps(name: string, value: Uint8Array): boolean {
    const isAcl = name === ACCESS_ACL || name === DEFAULT_ACL;
    return (isAcl ? this.tree.store.posixAcl : KEPT_XATTR.test(name)) && value.length <= VALUE_LIMIT_BYTES;
  }

  #setTimes(node: MemoryNode, { mtime, atime = mtime }: PlantAttributes): Status {
    const { store } = this.tree;
    if (node instanceof FileNode && node.file !== NO_FILE) {
      const { words } = store.arena;
      setWords64(words, ArenaWord.ATIME, atime.seconds);
      setWords64(words, ArenaWord.MTIME, mtime.seconds);
      words[ArenaWord.ATIME_NSEC] = atime.nanoseconds;
      words[ArenaWord.MTIME_NSEC] = mtime.nanoseconds;
      return store.arena.setTimes(node.file, ArenaTime.ATIME | ArenaTime.MTIME);
    }
    store.setNodeTimes(node, ArenaTime.ATIME, atime.seconds, atime.nanoseconds);
    store.setNodeTimes(node, ArenaTime.MTIME, mtime.seconds, mtime.nanoseconds);
    return 0;
  }
}
