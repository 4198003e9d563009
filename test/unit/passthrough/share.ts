import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { DirectoryHandle, FileHandle, PassthroughNode } from "../../../backends/passthrough/node.js";
import {
  PassthroughBackend,
  type PassthroughOptions,
} from "../../../backends/passthrough/passthrough-backend.js";
import { posix } from "../../../src/native/posix.js";
import { ATTR_WORDS, Attr, type AttributeChange, getWords64 } from "../../../src/vfs/attributes.js";
import { DirectoryBuffer } from "../../../src/vfs/directory-buffer.js";
import type { Caller } from "../../../src/vfs/node.js";

export const ROOT_CALLER: Caller = {
  uid: 0,
  gid: 0,
  pid: 1,
  supplementaryGroup: -1,
  umask: 0,
  clearsPrivileges: false,
};
const BUFFER_BYTES = 1 << 20;

export interface ListedEntry {
  name: string;
  ino: number;
  type: number;
  offset: bigint;
  node: PassthroughNode | undefined;
  mode: number;
  flags: number;
}

/** A backend on a temporary directory of its own, with short forms of the operations. */
export class TestShare {
  readonly directory: string;
  readonly logged: string[] = [];
  readonly backend: PassthroughBackend;
  readonly root: PassthroughNode;
  readonly attr = new Uint32Array(ATTR_WORDS);
  readonly #referenced: PassthroughNode[] = [];

  /** @param below where the temporary directory is made */
  constructor(options: Partial<PassthroughOptions> = {}, below = tmpdir()) {
    this.directory = mkdtempSync(join(below, "passthrough-"));
    const log = (_fields: object | string, message?: string) => {
      this.logged.push(message ?? String(_fields));
    };
    const logger = { error: log, warn: log, info: log, debug: log };
    this.backend = new PassthroughBackend({
      sharedDir: this.directory,
      xattr: true,
      allowDirectIo: false,
      // A busy machine must not look like a slow disk.
      patienceMs: Number.POSITIVE_INFINITY,
      logger,
      ...options,
    });
    this.root = this.backend.start();
    onTestFinished(() => {
      this.backend.stop();
      rmSync(this.directory, { recursive: true, force: true });
    });
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  lookup(name: string, parent = this.root): PassthroughNode {
    return node(this.backend.lookup(ROOT_CALLER, parent, name, this.attr));
  }

  create(
    name: string,
    options: { flags?: number; mode?: number; caller?: Caller; parent?: PassthroughNode } = {},
  ) {
    const { flags = 2, mode = 0o644, caller = ROOT_CALLER, parent = this.root } = options;
    return file(this.backend.create(caller, parent, name, flags, mode, this.attr));
  }

  mkdir(name: string, parent = this.root, caller = ROOT_CALLER, mode = 0o755): PassthroughNode {
    return node(this.backend.mkdir(caller, parent, name, mode, this.attr));
  }

  unlink(name: string, parent = this.root): number {
    return this.backend.unlink(ROOT_CALLER, parent, name);
  }

  rename(from: string, to: string, flags = 0, parent = this.root, newParent = this.root): number {
    return this.backend.rename(ROOT_CALLER, parent, from, newParent, to, flags);
  }

  getattr(of: PassthroughNode, handle?: FileHandle): number {
    return status(this.backend.getattr(ROOT_CALLER, of, handle, this.attr));
  }

  setattr(of: PassthroughNode, change: Partial<AttributeChange>, handle?: FileHandle) {
    const full = {
      ...{ valid: 0, mode: 0, uid: 0, gid: 0, size: 0n, atime: 0, atimeNsec: 0 },
      ...{ mtime: 0, mtimeNsec: 0, ctime: 0, ctimeNsec: 0 },
      ...change,
    };
    return this.backend.setattr(ROOT_CALLER, of, handle, full, this.attr);
  }

  /** As the session does it: the lane closes the descriptor of a bound file. */
  release(handle: FileHandle): void {
    posix.close(handle.fd);
    this.backend.release(handle);
  }

  /** The whole directory, `capacity` bytes at a time. */
  list(of: PassthroughNode, plus: boolean, capacity = 4096): ListedEntry[] {
    const handle = directory(this.backend.opendir(ROOT_CALLER, of));
    const entries: ListedEntry[] = [];
    for (let offset = 0n; ; ) {
      const batch = this.listFrom(handle, plus, offset, capacity);
      if (batch.length === 0) break;
      entries.push(...batch);
      offset = batch[batch.length - 1]?.offset ?? 0n;
    }
    this.backend.releasedir(handle);
    return entries;
  }

  listFrom(
    handle: Parameters<PassthroughBackend["readdir"]>[1],
    plus: boolean,
    offset: bigint,
    capacity: number,
  ): ListedEntry[] {
    this.#referenced.length = 0;
    const sink = new DirectoryBuffer(BUFFER_BYTES, {
      referenceEntry: (referenced, words, word) => {
        words[word] = this.#referenced.push(referenced as PassthroughNode);
      },
    });
    sink.begin(plus, Number(offset & 0xffffffffn), Number(offset >> 32n), capacity);
    const result = status(this.backend.readdir(ROOT_CALLER, handle, sink));
    if (result < 0) throw new Error(`readdir: ${result}`);
    return [...this.#entries(sink)];
  }

  *#entries(sink: DirectoryBuffer): Generator<ListedEntry> {
    const { bytes, words, plus } = sink;
    const prefix = plus ? 128 : 0;
    for (let at = 0; at < sink.length; ) {
      const length = bytes.readUInt32LE(at + prefix + 16);
      yield {
        name: bytes.latin1Slice(at + prefix + 24, at + prefix + 24 + length),
        ino: getWords64(words, (at + prefix) / 4),
        type: bytes.readUInt32LE(at + prefix + 20),
        offset: bytes.readBigUInt64LE(at + prefix + 8),
        node: plus ? this.#referenced[(words[at / 4] as number) - 1] : undefined,
        mode: plus ? (words[at / 4 + 10 + Attr.MODE] as number) : 0,
        flags: plus ? (words[at / 4 + 10 + Attr.FLAGS] as number) : 0,
      };
      at += (prefix + 24 + length + 7) & ~7;
    }
  }
}

export function status(result: unknown): number {
  if (typeof result !== "number") throw new Error(`expected a number, got ${result}`);
  return result;
}

export function node(result: unknown): PassthroughNode {
  if (!(result instanceof PassthroughNode)) throw new Error(`expected a node, got ${result}`);
  return result;
}

export function directory(result: unknown): DirectoryHandle {
  if (!(result instanceof DirectoryHandle)) throw new Error(`expected a directory handle, got ${result}`);
  return result;
}

export function file(result: unknown): FileHandle {
  if (!(result instanceof FileHandle)) throw new Error(`expected a file handle, got ${result}`);
  return result;
}

/** Descriptors of this process that are open below `directory`. */
export function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}
