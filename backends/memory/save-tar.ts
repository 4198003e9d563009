import { setImmediate } from "node:timers/promises";
import { ArenaWord } from "../../src/native/arena.js";
import { writeArchive } from "../../src/tar/archive-file.js";
import type { TarEntry, TarEntryType, TarExtent } from "../../src/tar/entry.js";
import { type TarSink, TarWriter } from "../../src/tar/writer.js";
import { S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFSOCK } from "../../src/vfs/attributes.js";
import { namesOfFlags } from "./inode-flags.js";
import { DirectoryNode, FileNode, type MemoryNode, NO_FILE, SpecialNode, SymlinkNode } from "./nodes.js";
import type { Progress } from "./progress.js";
import { type MemoryStore, nodeTimes } from "./store.js";
import { highHalf, lowHalf } from "./words.js";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const CHUNK_BYTES = 1 << 20;
/** Entries after which signals get their turn. */
const ENTRIES_PER_TURN = 1024;
const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

const SPECIAL_TYPES: ReadonlyMap<number, TarEntryType> = new Map([
  [S_IFCHR, "character"],
  [S_IFBLK, "block"],
  [S_IFIFO, "fifo"],
  [S_IFSOCK, "socket"],
]);

/** A 64-bit number that the arena left in its words. */
function word64(store: MemoryStore, index: number): bigint {
  const { words } = store.arena;
  return (BigInt(words[index + 1] as number) << 32n) | BigInt(words[index] as number);
}

function sizeOf(store: MemoryStore, node: FileNode): bigint {
  return node.file !== NO_FILE && store.arena.stat(node.file) === 0 ? word64(store, ArenaWord.SIZE) : 0n;
}

/** The parts of a file that have data, and undefined when that is all of it. */
function extentsOf(store: MemoryStore, node: FileNode, size: bigint): TarExtent[] | undefined {
  const extents: TarExtent[] = [];
  const seek = (offset: bigint, whence: number) =>
    store.arena.seek(node.file, whence, lowHalf(offset), highHalf(offset)) < 0
      ? undefined
      : word64(store, ArenaWord.RESULT);
  for (let end = 0n; end < size; ) {
    const start = seek(end, SEEK_DATA);
    if (start === undefined) {
      break;
    }
    end = seek(start, SEEK_HOLE) ?? size;
    extents.push({ offset: start, length: end - start });
  }
  return size === 0n || extents[0]?.length === size ? undefined : extents;
}

function typeOf(node: MemoryNode): TarEntryType {
  if (node instanceof DirectoryNode) {
    return "directory";
  }
  if (node instanceof SymlinkNode) {
    return "symlink";
  }
  return SPECIAL_TYPES.get(node.mode & S_IFMT) ?? "file";
}

/** A directory whose entries are being written. */
interface OpenDirectory {
  readonly path: string;
  readonly children: readonly { readonly name: string; readonly node: MemoryNode }[];
  next: number;
}

function openDirectory(directory: DirectoryNode, path: string): OpenDirectory {
  const children: { name: string; node: MemoryNode }[] = [];
  directory.entries.visitAfter(0, ({ name }, node) => children.push({ name, node }) > 0);
  return { path, children, next: 0 };
}

/** Walks a share and writes an entry for each name, directories in front of what they hold. */
class TreeWriter {
  readonly #store: MemoryStore;
  readonly #writer: TarWriter;
  readonly #progress: Progress;
  /** First path of files with more than one name. */
  readonly #linked = new Map<MemoryNode, string>();
  readonly #buffer = Buffer.alloc(CHUNK_BYTES);
  #entries = 0;

  constructor(store: MemoryStore, sink: TarSink, progress: Progress) {
    this.#store = store;
    this.#writer = new TarWriter(sink);
    this.#progress = progress;
  }

  /** Depth first: tar sets a directory's times when it meets something outside of it. */
  async writeAll(root: DirectoryNode): Promise<void> {
    await this.#writeEntry(root, "./");
    const open: OpenDirectory[] = [openDirectory(root, "./")];
    for (let current = open.at(-1); current !== undefined; current = open.at(-1)) {
      const { path, children } = current;
      const child = children[current.next++];
      if (child === undefined) {
        open.pop();
        continue;
      }
      const isDirectory = child.node instanceof DirectoryNode;
      const childPath = `${path}${child.name}${isDirectory ? "/" : ""}`;
      await this.#writeEntry(child.node, childPath);
      if (isDirectory) {
        open.push(openDirectory(child.node as DirectoryNode, childPath));
      }
    }
    await this.#writer.finish();
  }

  async #writeEntry(node: MemoryNode, path: string): Promise<void> {
    const first = this.#linked.get(node);
    const type = first === undefined ? typeOf(node) : "link";
    if (first === undefined && node.nlink > 1 && !(node instanceof DirectoryNode)) {
      this.#linked.set(node, path);
    }
    if (++this.#entries % ENTRIES_PER_TURN === 0) {
      await setImmediate();
    }
    this.#progress.entry();
    const entry = this.#describe(node, path, type, first);
    await this.#writer.begin(entry);
    if (type === "file" && node instanceof FileNode) {
      await this.#writeContents(node, entry);
    }
    this.#writer.end();
  }

  #describe(node: MemoryNode, path: string, type: TarEntryType, first: string | undefined): TarEntry {
    const isFile = node instanceof FileNode && type === "file";
    const rdev = node instanceof SpecialNode ? node.rdev : 0;
    const target = node instanceof SymlinkNode ? node.target : "";
    const size = isFile ? sizeOf(this.#store, node) : 0n;
    return {
      path,
      type,
      mode: node.mode & 0o7777,
      uid: node.uid,
      gid: node.gid,
      ...nodeTimes(this.#store, node),
      linkPath: first ?? (typeof target === "string" ? target : target.toString("latin1")),
      major: (rdev >>> 8) & 0xfff,
      minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00),
      xattrs: type === "link" ? NO_XATTRS : (node.xattrs ?? NO_XATTRS),
      fileFlags: type === "link" ? "" : namesOfFlags(node.flags),
      size,
      extents: isFile ? extentsOf(this.#store, node, size) : undefined,
    };
  }

  async #writeContents(node: FileNode, entry: TarEntry): Promise<void> {
    for (const { offset, length } of entry.extents ?? [{ offset: 0n, length: entry.size }]) {
      for (let done = 0n; done < length; ) {
        const left = length - done;
        const wanted = left < BigInt(CHUNK_BYTES) ? Number(left) : CHUNK_BYTES;
        const piece = this.#buffer.subarray(0, wanted);
        const at = offset + done;
        const count = this.#store.arena.read(node.file, lowHalf(at), highHalf(at), piece, 1);
        if (count !== wanted) {
          throw new Error(`the memory of a file cannot be read: ${count}`);
        }
        await this.#writer.write(piece);
        this.#progress.data(count);
        done += BigInt(count);
      }
    }
  }
}

/**
 * Saves a share as a tar archive, compressed when the name ends in .gz or .tgz. The archive appears under
 * its name complete, and readable by its owner alone, or not at all.
 * @throws a system error
 */
export async function saveToTar(
  store: MemoryStore,
  root: DirectoryNode,
  path: string,
  progress: Progress,
): Promise<void> {
  await writeArchive(path, (sink) => new TreeWriter(store, sink, progress).writeAll(root));
}
