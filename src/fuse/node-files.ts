import type { Lane } from "../native/lane.js";
import type { Backend } from "../vfs/backend.js";
import { type Awaitable, EIO, type Result, type Status } from "../vfs/errno.js";
import type { HandleTable } from "../vfs/handle-table.js";
import type { Caller, VfsHandle, VfsNode } from "../vfs/node.js";

const O_RDONLY = 0;
const O_RDWR = 2;
/** Files that are open at most; a few more while operations use them. */
const MOST_FILES = 128;
/** Of a file that is bound to its node instead of a handle's number. */
const BY_NODE = 0;

/** The file of a node that the guest has used. */
interface NodeFile {
  readonly handle: VfsHandle;
  readonly isWritable: boolean;
  /** Operations that wait. */
  users: number;
  /** To be closed when none does. */
  isLeft: boolean;
}

/** Where the node of a file has its number for native code. */
type GenerationOf = (node: VfsNode) => number;

/**
 * The files of a guest that reads and writes them without having opened them (NO_OPEN_SUPPORT): opened when it first does,
 * for writing when it first writes, and closed when it forgets the node or others take their place.
 */
export class NodeFiles {
  readonly #backend: Backend;
  readonly #lane: Lane;
  readonly #handles: HandleTable;
  readonly #generationOf: GenerationOf;
  readonly #release: (handle: VfsHandle) => void;
  /** In the order in which they were opened. */
  readonly #files = new Map<VfsNode, NodeFile>();
  readonly #opening = new Map<VfsNode, Promise<unknown>>();
  #isEnded = false;

  /** @param release closes a handle in the backend */
  constructor(
    backend: Backend,
    lane: Lane,
    handles: HandleTable,
    generationOf: GenerationOf,
    release: (handle: VfsHandle) => void,
  ) {
    this.#backend = backend;
    this.#lane = lane;
    this.#handles = handles;
    this.#generationOf = generationOf;
    this.#release = release;
  }

  /** Does something with the file of a node. Errors: what opening it says. */
  use(
    caller: Caller,
    node: VfsNode,
    forWriting: boolean,
    operation: (handle: VfsHandle) => Awaitable<Status>,
  ): Awaitable<Status> {
    const file = this.#open(caller, node, forWriting);
    if (file instanceof Promise) {
      return file.then((opened) => (typeof opened === "number" ? opened : this.#during(opened, operation)));
    }
    return typeof file === "number" ? file : this.#during(file, operation);
  }

  /** Takes the file that was opened, for reading and writing, as its node was made. */
  created(handle: VfsHandle): void {
    this.#take(handle.node, handle, true);
  }

  /** The guest no longer knows the node, or is to open its file anew. */
  forget(node: VfsNode): void {
    const file = this.#files.get(node);
    if (file !== undefined) {
      this.#files.delete(node);
      this.#leave(file);
    }
  }

  /** Closes all files. */
  end(): void {
    this.#isEnded = true;
    for (const { handle } of this.#files.values()) {
      this.#close(handle);
    }
    this.#files.clear();
  }

  #open(caller: Caller, node: VfsNode, forWriting: boolean): Awaitable<Result<NodeFile>> {
    const file = this.#files.get(node);
    if (file !== undefined && (file.isWritable || !forWriting)) {
      return file;
    }
    const opening = this.#opening.get(node);
    if (opening !== undefined) {
      return opening.then(() => this.#open(caller, node, forWriting));
    }
    const opened = this.#backend.open(caller, node, forWriting ? O_RDWR : O_RDONLY);
    if (!(opened instanceof Promise)) {
      return this.#take(node, opened, forWriting);
    }
    const taken = opened
      .then((handle) => this.#take(node, handle, forWriting))
      .finally(() => this.#opening.delete(node));
    this.#opening.set(
      node,
      taken.catch(() => undefined),
    );
    return taken;
  }

  #take(node: VfsNode, handle: Result<VfsHandle>, isWritable: boolean): Result<NodeFile> {
    if (typeof handle === "number") {
      return handle;
    }
    if (this.#isEnded || node.tableIndex < 0) {
      if (handle.boundFile !== undefined) {
        this.#lane.discard(handle.boundFile);
      }
      this.#release(handle);
      return -EIO;
    }
    this.forget(node);
    this.#makeRoom();
    const file = { handle, isWritable, users: 0, isLeft: false };
    this.#files.set(node, file);
    const index = this.#handles.add(handle, "file");
    if (handle.boundFile !== undefined) {
      const [nodeLow, nodeHigh] = [node.tableIndex, this.#generationOf(node)];
      const openFlags = isWritable ? O_RDWR : O_RDONLY;
      const place = { index, generation: BY_NODE, nodeLow, nodeHigh, openFlags };
      this.#lane.bind(place, handle.boundFile);
      handle.rebind = (bound) =>
        bound === undefined ? this.#lane.unbind(index) : this.#lane.bind(place, bound);
    }
    return file;
  }

  #makeRoom(): void {
    if (this.#files.size < MOST_FILES) {
      return;
    }
    for (const [node, { users }] of this.#files) {
      if (users === 0) {
        this.forget(node);
        return;
      }
    }
  }

  #during(file: NodeFile, operation: (handle: VfsHandle) => Awaitable<Status>): Awaitable<Status> {
    const result = operation(file.handle);
    if (!(result instanceof Promise)) {
      return result;
    }
    file.users++;
    return result.finally(() => {
      file.users--;
      if (file.isLeft && file.users === 0 && !this.#isEnded) {
        this.#close(file.handle);
      }
    });
  }

  #leave(file: NodeFile): void {
    if (file.users > 0) {
      file.isLeft = true;
    } else {
      this.#close(file.handle);
    }
  }

  #close(handle: VfsHandle): void {
    if (handle.boundFile !== undefined) {
      this.#lane.unbind(handle.tableIndex);
      handle.rebind = undefined;
    }
    this.#handles.remove(handle);
    this.#release(handle);
  }
}
