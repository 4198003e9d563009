import { NOTE_WORDS, posix } from "../../src/native/posix.js";
import { ATTR_WORDS, type AttrRecord } from "../../src/vfs/attributes.js";
import { type DirectoryBuffer, ENTRY_BYTES } from "../../src/vfs/directory-buffer.js";
import type { Result, Status } from "../../src/vfs/errno.js";
import { addEntries } from "./directory-listing.js";
import type { Entries } from "./entries.js";
import type { DirectoryHandle, PassthroughNode } from "./node.js";
import type { NodeTable } from "./node-table.js";

/**
 * Calls that may take long, on the I/O pool: those on remote file systems, and looking up what a disk has to be read
 * for. While one of them waits, everything else goes on; what it brings is used in one step when it comes.
 */
export class SlowFiles {
  readonly #nodes: NodeTable;
  readonly #entries: Entries;

  constructor(nodes: NodeTable, entries: Entries) {
    this.#nodes = nodes;
    this.#entries = entries;
  }

  /** Finds an entry; `finish` gets it while its attributes are in `posix.attr`. */
  async lookup<T>(
    parent: PassthroughNode,
    name: string,
    finish: (found: Result<PassthroughNode>) => T,
  ): Promise<T> {
    const directory = this.#nodes.pin(parent);
    if (directory < 0) {
      return finish(directory);
    }
    const attr = new Uint32Array(ATTR_WORDS);
    const path = await posix.openPathSlowly(directory, name, new Uint8Array(attr.buffer));
    posix.attr.set(attr);
    return finish(this.#entries.found(parent, name, path));
  }

  async stat(fd: number, out: AttrRecord): Promise<Status> {
    const attr = new Uint32Array(ATTR_WORDS);
    const status = await posix.statSlowly(fd, new Uint8Array(attr.buffer));
    if (status >= 0) {
      out.set(attr);
    }
    return status;
  }

  /** As listDirectory. */
  async list(handle: DirectoryHandle, sink: DirectoryBuffer): Promise<Status> {
    const { offsetLow, offsetHigh, bytes, capacity, plus } = sink;
    const most = plus ? Math.ceil(capacity / ENTRY_BYTES) : 0;
    const notes = new Uint32Array(NOTE_WORDS * (2 + most));
    const used = await posix.readDirectorySlowly(
      handle.fd,
      offsetLow,
      offsetHigh,
      plus ? 1 : 0,
      bytes,
      capacity,
      new Uint8Array(notes.buffer),
    );
    return used < 0 ? used : addEntries(this.#nodes, handle, sink, used, notes);
  }
}
