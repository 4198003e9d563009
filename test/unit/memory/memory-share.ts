import { MemoryBackend } from "../../../backends/memory/memory-backend.js";
import type { MemoryBackendOptions } from "../../../backends/memory/options.js";
import { ATTR_WORDS, Attr, type AttributeChange, getWords64 } from "../../../src/vfs/attributes.js";
import { DIRENT_HEADER_BYTES, DirectoryBuffer, ENTRY_BYTES } from "../../../src/vfs/directory-buffer.js";
import type { Result } from "../../../src/vfs/errno.js";
import { HandleTable } from "../../../src/vfs/handle-table.js";
import { InodeTable } from "../../../src/vfs/inode-table.js";
import type { Caller, VfsHandle, VfsNode } from "../../../src/vfs/node.js";

export const ROOT: Caller = {
  uid: 0,
  gid: 0,
  pid: 1,
  supplementaryGroup: -1,
  umask: 0,
  clearsPrivileges: false,
};
export const USER: Caller = {
  uid: 1000,
  gid: 1000,
  pid: 2,
  supplementaryGroup: -1,
  umask: 0,
  clearsPrivileges: false,
};

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NOATIME = 0o1000000;

export interface Listed {
  name: string;
  ino: number;
  type: number;
  offset: number;
}

/** Attributes as an object. Times are seconds and nanoseconds. */
export interface Stat {
  ino: number;
  size: number;
  blocks: number;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: number;
  atime: [number, number];
  mtime: [number, number];
  ctime: [number, number];
}

/** A memory share with the tables that the session has, so that references count as they do there. */
export class MemoryShare {
  readonly backend: MemoryBackend;
  readonly root: VfsNode;
  readonly inodes: InodeTable;
  readonly handles = new HandleTable();
  readonly out = new Uint32Array(ATTR_WORDS);

  constructor(options: Partial<MemoryBackendOptions> = {}, started?: [MemoryBackend, VfsNode]) {
    this.backend = started?.[0] ?? new MemoryBackend({ sizeBytes: 1 << 20, inodeLimit: 1000, ...options });
    this.root = started?.[1] ?? (this.backend.start() as VfsNode);
    this.inodes = new InodeTable(this.root, this.backend);
  }

  /** A share that starts from a tree. */
  static async seeded(options: Partial<MemoryBackendOptions>): Promise<MemoryShare> {
    const backend = new MemoryBackend({ sizeBytes: 1 << 20, inodeLimit: 1000, ...options });
    return new MemoryShare({}, [backend, await backend.start()]);
  }

  stop(): void {
    void this.backend.stop();
  }

  /** Counts the reference that the guest gets with a node; throws for an errno. */
  #take<Node extends VfsNode>(result: Result<Node>): Node {
    if (typeof result === "number") {
      throw new Error(`errno ${-result}`);
    }
    this.inodes.reference(result);
    return result;
  }

  mkdir(name: string, parent = this.root, mode = 0o755, caller = ROOT): VfsNode {
    return this.#take(this.backend.mkdir(caller, parent, name, mode, this.out));
  }

  mknod(name: string, parent = this.root, mode = 0o100644, caller = ROOT): VfsNode {
    return this.#take(this.backend.mknod(caller, parent, name, mode, 0, this.out));
  }

  symlink(name: string, target: string, parent = this.root): VfsNode {
    return this.#take(this.backend.symlink(ROOT, parent, name, target, this.out));
  }

  lookup(name: string, parent = this.root): VfsNode {
    return this.#take(this.backend.lookup(ROOT, parent, name, this.out));
  }

  /** The errno of a lookup, or 0. */
  missing(name: string, parent = this.root): number {
    const result = this.backend.lookup(ROOT, parent, name, this.out);
    return typeof result === "number" ? result : 0;
  }

  create(name: string, flags = O_RDWR, parent = this.root, mode = 0o644, caller = ROOT): VfsHandle {
    const handle = this.backend.create(caller, parent, name, flags, mode, this.out);
    if (typeof handle !== "number") {
      this.inodes.reference(handle.node);
    }
    return this.#opened(handle);
  }

  open(node: VfsNode, flags = O_RDWR): VfsHandle {
    return this.#opened(this.backend.open(ROOT, node, flags));
  }

  #opened(handle: Result<VfsHandle>): VfsHandle {
    if (typeof handle === "number") {
      throw new Error(`errno ${-handle}`);
    }
    this.inodes.pin(handle.node);
    this.handles.add(handle, "file");
    return handle;
  }

  release(handle: VfsHandle): void {
    this.handles.remove(handle);
    this.backend.release(handle);
    this.inodes.unpin(handle.node);
  }

  forget(node: VfsNode): void {
    this.inodes.forget(node.tableIndex, this.inodes.generationOf(node), 1_000_000);
  }

  write(handle: VfsHandle, offset: number, text: string | Uint8Array): number {
    return this.backend.write(ROOT, handle, offset, typeof text === "string" ? Buffer.from(text) : text);
  }

  read(handle: VfsHandle, offset = 0, length = 100): string {
    const into = Buffer.alloc(length);
    return into.toString("latin1", 0, this.backend.read(ROOT, handle, offset, into));
  }

  stat(node: VfsNode): Stat {
    const { out } = this;
    out.fill(0xffff_ffff);
    this.backend.getattr(ROOT, node, undefined, out);
    const word = (index: number) => out[index] as number;
    return {
      ino: getWords64(out, Attr.INO),
      size: getWords64(out, Attr.SIZE),
      blocks: getWords64(out, Attr.BLOCKS),
      mode: word(Attr.MODE),
      nlink: word(Attr.NLINK),
      uid: word(Attr.UID),
      gid: word(Attr.GID),
      rdev: word(Attr.RDEV),
      atime: [(word(Attr.ATIME + 1) | 0) * 2 ** 32 + word(Attr.ATIME), word(Attr.ATIME_NSEC)],
      mtime: [(word(Attr.MTIME + 1) | 0) * 2 ** 32 + word(Attr.MTIME), word(Attr.MTIME_NSEC)],
      ctime: [(word(Attr.CTIME + 1) | 0) * 2 ** 32 + word(Attr.CTIME), word(Attr.CTIME_NSEC)],
    };
  }

  setattr(node: VfsNode, change: Partial<AttributeChange>, caller = ROOT): number {
    const none = { valid: 0, mode: 0, uid: 0, gid: 0, size: 0n, atime: 0, atimeNsec: 0, mtime: 0 };
    const rest = { mtimeNsec: 0, ctime: 0, ctimeNsec: 0 };
    return this.backend.setattr(caller, node, undefined, { ...none, ...rest, ...change }, this.out);
  }

  rename(from: string, to: string, flags = 0, fromParent = this.root, toParent = this.root): number {
    return this.backend.rename(ROOT, fromParent, from, toParent, to, flags);
  }

  /** The entries of a directory in replies of `capacity` bytes, from `offset` on. */
  list(
    directory: VfsNode,
    capacity = 4096,
    plus = false,
    offset = 0,
    replies = Number.POSITIVE_INFINITY,
  ): Listed[] {
    const handle = this.backend.opendir(ROOT, directory);
    if (typeof handle === "number") {
      throw new Error(`errno ${-handle}`);
    }
    const sink = new DirectoryBuffer(capacity, {
      referenceEntry: (node, words, word) => {
        words[word] = this.inodes.reference(node);
      },
    });
    const listed: Listed[] = [];
    let next = offset;
    for (let reply = 0; reply < replies; reply++) {
      sink.begin(plus, next % 2 ** 32, Math.floor(next / 2 ** 32), capacity);
      const status = this.backend.readdir(ROOT, handle, sink);
      if (status !== 0) {
        throw new Error(`errno ${-status}`);
      }
      if (sink.length === 0) {
        break;
      }
      listed.push(...parseEntries(sink, plus));
      next = listed.at(-1)?.offset ?? next;
    }
    this.backend.releasedir(handle);
    return listed;
  }

  names(directory: VfsNode): string[] {
    return this.list(directory).map(({ name }) => name);
  }
}

function parseEntries(sink: DirectoryBuffer, plus: boolean): Listed[] {
  const listed: Listed[] = [];
  for (let position = 0; position < sink.length; ) {
    const start = position + (plus ? ENTRY_BYTES : 0);
    const word = start / 4;
    const length = sink.words[word + 4] as number;
    listed.push({
      ino: getWords64(sink.words, word),
      offset: getWords64(sink.words, word + 2),
      type: sink.words[word + 5] as number,
      name: sink.bytes.toString("latin1", start + DIRENT_HEADER_BYTES, start + DIRENT_HEADER_BYTES + length),
    });
    position = (start + DIRENT_HEADER_BYTES + length + 7) & ~7;
  }
  return listed;
}
