import { randomInt } from "node:crypto";
import { type Lane, LaneResult } from "../native/lane.js";
import type { Backend } from "../vfs/backend.js";
import { DirectoryBuffer, type EntryReferencer } from "../vfs/directory-buffer.js";
import { EINVAL, EIO, ENOSYS, type Status } from "../vfs/errno.js";
import { type HandleKind, HandleTable } from "../vfs/handle-table.js";
import { InodeTable } from "../vfs/inode-table.js";
import { LockTable } from "../vfs/lock-table.js";
import type { Logger } from "../vfs/logger.js";
import type { Caller, VfsHandle, VfsNode } from "../vfs/node.js";
import { DirectoryStreams } from "./directory-streams.js";
import { DEFAULT_FEATURES, type SessionFeatures } from "./features.js";
import { LockClient } from "./lock-client.js";
import { NodeFiles } from "./node-files.js";
import { OPERATIONS } from "./operations.js";
import { EntryOut, InitFlag, MAX_TRANSFER_BYTES, Opcode, OpenFlag } from "./protocol.js";
import { Request } from "./request.js";
import { splitTimeout, type Timeout } from "./timeout.js";
import { TransferBuffers } from "./transfer-buffers.js";

const O_ACCMODE = 3;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_APPEND = 0o2000;
/** O_CREAT, O_EXCL and O_TRUNC. */
const CREATION_FLAGS = 0o1300;

/** How long and in what way the guest may cache. */
export interface CachePolicy {
  /** Seconds, with decimals, that a name may be used without a new LOOKUP. */
  readonly entryTimeoutSec: number;
  /** Seconds that attributes may be used without a new GETATTR. */
  readonly attrTimeoutSec: number;
  /** Seconds that the guest may believe that a name does not exist; 0: not at all. */
  readonly negativeTimeoutSec: number;
  /** Files bypass the guest's page cache. */
  readonly directIo: boolean;
  /** The page cache outlives close and open. */
  readonly keepCache: boolean;
  /** The guest may cache directory listings. */
  readonly cacheDirectory: boolean;
}

/** What a session needs. */
export interface FuseSessionOptions {
  readonly lane: Lane;
  readonly backend: Backend;
  /** What `backend.start()` returned. */
  readonly root: VfsNode;
  readonly cachePolicy: CachePolicy;
  /** {@link DEFAULT_FEATURES} unless given. */
  readonly features?: SessionFeatures;
  readonly logger: Logger;
  /** The locks of the share; a share with several sessions gives all of them the same. */
  readonly locks?: LockTable;
  /** Hears how many nodes the guest has forgotten just now. */
  readonly onForget?: (count: number, session: FuseSession) => void;
}

/**
 * One guest's conversation with a backend: finds the operation of each request, resolves node ids and
 * handles, and encodes the answer. INIT begins it anew; the tables of the session before are released.
 */
export class FuseSession implements EntryReferencer {
  readonly lane: Lane;
  readonly backend: Backend;
  readonly cachePolicy: CachePolicy;
  readonly features: SessionFeatures;
  readonly logger: Logger;
  /** The timeouts of the cache policy as replies carry them. */
  readonly timeouts: { readonly entry: Timeout; readonly attr: Timeout; readonly negative: Timeout };
  /** Absent names are answered with an entry that says so, which the guest caches. */
  readonly cachesAbsence: boolean;
  readonly #root: VfsNode;
  readonly #requests: Request[] = [];
  readonly #buffers = new TransferBuffers();
  readonly #directoryBuffers: DirectoryBuffer[] = [];
  readonly #reported = new Set<number>();
  #inodes: InodeTable;
  #handles = new HandleTable();
  #nodeFiles: NodeFiles;
  #directoryStreams: DirectoryStreams;
  /** The guest's locks. */
  readonly lockClient: LockClient;
  /** INIT was answered; until then nothing else is. */
  initialised = false;
  /** Flags of INIT, first word, that both sides use. */
  agreedFlags = 0;
  /** Batches of requests that were answered. */
  batches = 0;
  readonly #onForget: FuseSessionOptions["onForget"];

  constructor(options: FuseSessionOptions) {
    this.lane = options.lane;
    this.backend = options.backend;
    const policy = options.cachePolicy;
    this.cachePolicy = policy;
    this.timeouts = {
      entry: splitTimeout(policy.entryTimeoutSec),
      attr: splitTimeout(policy.attrTimeoutSec),
      negative: splitTimeout(policy.negativeTimeoutSec),
    };
    this.cachesAbsence = policy.negativeTimeoutSec > 0;
    this.features = options.features ?? DEFAULT_FEATURES;
    this.logger = options.logger;
    this.lockClient = new LockClient(options.locks ?? new LockTable(), options.lane);
    this.#root = options.root;
    this.#onForget = options.onForget;
    this.#inodes = this.#createInodeTable();
    this.#nodeFiles = this.#createNodeFiles();
    this.#directoryStreams = this.#createDirectoryStreams();
  }

  get inodes(): InodeTable {
    return this.#inodes;
  }

  get handles(): HandleTable {
    return this.#handles;
  }

  /** Answers the requests of the lane's batch. */
  readonly runBatch = (count: number): void => {
    this.batches++;
    const { batch, results } = this.lane;
    for (let i = 0; i < count; i++) {
      results[i] = this.#dispatch(batch[i] as number);
    }
  };

  /** Forgets all nodes and closes all handles of the guest: before INIT, after DESTROY and at the end. */
  reset(): void {
    this.initialised = false;
    this.agreedFlags = 0;
    this.#nodeFiles.end();
    this.#directoryStreams.end();
    const handles = this.#handles;
    const inodes = this.#inodes;
    this.#handles = new HandleTable();
    this.lockClient.reset();
    for (const [handle, kind] of [...handles.entries()]) {
      this.#releaseHandle(handles, inodes, handle, kind);
    }
    const { size } = inodes;
    inodes.clear();
    this.#inodes = this.#createInodeTable();
    this.#nodeFiles = this.#createNodeFiles();
    this.#directoryStreams = this.#createDirectoryStreams();
    this.forgotten(size);
  }

  /** The files of a guest that does not open them, while it does not. */
  get nodeFiles(): NodeFiles | undefined {
    return (this.agreedFlags & InitFlag.NO_OPEN_SUPPORT) === 0 ? undefined : this.#nodeFiles;
  }

  /** The listings of a guest that does not open directories, while it does not. */
  get directoryStreams(): DirectoryStreams | undefined {
    return (this.agreedFlags & InitFlag.NO_OPENDIR_SUPPORT) === 0 ? undefined : this.#directoryStreams;
  }

  /** The guest has forgotten `count` nodes. */
  forgotten(count: number): void {
    this.#onForget?.(count, this);
  }

  /** How many requests of the queue wait for a lock, which may be for ever. */
  heldRequests(queue: number): number {
    return this.lockClient.waiting(queue);
  }

  /**
   * The flags to open a file with. With writeback the guest's page cache reads what it needs to complete a page,
   * through any handle, and has added the offset of appended data itself. What serves all who have opened a file is
   * as none of them has.
   */
  openFlags(flags: number): number {
    if (this.nodeFiles !== undefined) {
      return (flags & CREATION_FLAGS) | O_RDWR;
    }
    if ((this.agreedFlags & InitFlag.WRITEBACK_CACHE) === 0) {
      return flags;
    }
    const readable = (flags & O_ACCMODE) === O_WRONLY ? (flags & ~O_ACCMODE) | O_RDWR : flags;
    return readable & ~O_APPEND;
  }

  /** Whether the guest leaves its locks to us. */
  get keepsLocks(): boolean {
    return (this.agreedFlags & (InitFlag.POSIX_LOCKS | InitFlag.FLOCK_LOCKS)) !== 0;
  }

  /** The umask that the backend has to apply, of the one a creation came with. */
  umask(umask: number): number {
    return (this.agreedFlags & InitFlag.DONT_MASK) === 0 ? 0 : umask & 0o777;
  }

  /**
   * Whether a change by this caller clears setuid and setgid where the request does not say so. It stands for
   * CAP_FSETID, of which only the guest knows.
   */
  losesPrivileges(caller: Caller): boolean {
    return (this.agreedFlags & InitFlag.HANDLE_KILLPRIV_V2) !== 0 && caller.uid !== 0;
  }

  /** The node of the request's header, or undefined: the guest has no such node. */
  node(request: Request): VfsNode | undefined {
    return this.#inodes.get(request.nodeLow, request.nodeHigh);
  }

  /** The handle whose number is at argument word `index`, if it is open on the request's node. */
  handle(request: Request, index: number, kind: HandleKind): VfsHandle | undefined {
    const handle = this.#handles.get(request.word(index), request.word(index + 1), kind);
    return handle !== undefined && handle.node === this.node(request) ? handle : undefined;
  }

  /** {@link EntryReferencer}: node id, generation and timeouts of an entry, one more lookup. */
  referenceEntry(node: VfsNode, words: Uint32Array, word: number): void {
    this.#writeEntryHead(this.#inodes.reference(node), node, words, word);
  }

  /** Completes a reply whose attributes the backend has filled with the entry around them. */
  replyEntry(request: Request, node: VfsNode, inodes: InodeTable): Status {
    const index = inodes.reference(node);
    if (index < 0) {
      return -EIO;
    }
    this.#writeEntryHead(index, node, this.lane.words, request.replyWord);
    return EntryOut.BYTES;
  }

  /** Answers that a name does not exist, in the form that the guest caches: an entry without a node. */
  replyAbsent(request: Request): Status {
    request.clearReply(EntryOut.BYTES / 4);
    const { words } = this.lane;
    const word = request.replyWord;
    words[word + EntryOut.ENTRY_VALID] = this.timeouts.negative.seconds;
    words[word + EntryOut.ENTRY_VALID_NSEC] = this.timeouts.negative.nanoseconds;
    return EntryOut.BYTES;
  }

  /** Opens a place for a handle, opened with open(2) `openFlags`, and writes struct fuse_open_out at `word`. */
  addHandle(handle: VfsHandle, kind: HandleKind, openFlags: number, word: number): void {
    const { words } = this.lane;
    const index = this.#handles.add(handle, kind);
    const generation = this.#handles.generationAt(index);
    const { node } = handle;
    this.#inodes.pin(node);
    if (handle.boundFile !== undefined) {
      const nodeHigh = this.#inodes.generationOf(node);
      const place = { index, generation, nodeLow: node.tableIndex, nodeHigh, openFlags };
      this.lane.bind(place, handle.boundFile);
      handle.rebind = (file) => (file === undefined ? this.lane.unbind(index) : this.lane.bind(place, file));
    }
    words[word] = index;
    words[word + 1] = generation;
    words[word + 2] = kind === "file" ? this.#fileOpenFlags() : this.#directoryOpenFlags();
    words[word + 3] = 0;
  }

  /** Releases a handle that came too late: the guest that wanted it has begun a new session. */
  discardHandle(handle: VfsHandle, kind: HandleKind): Status {
    if (handle.boundFile !== undefined) {
      this.lane.discard(handle.boundFile);
    }
    this.#releaseInBackend(handle, kind);
    return -EIO;
  }

  /** Closes a handle of the guest. */
  closeHandle(handle: VfsHandle, kind: HandleKind): void {
    this.#releaseHandle(this.#handles, this.#inodes, handle, kind);
  }

  /** Lends a buffer for directory entries. */
  takeDirectoryBuffer(): DirectoryBuffer {
    return this.#directoryBuffers.pop() ?? new DirectoryBuffer(MAX_TRANSFER_BYTES, this);
  }

  giveDirectoryBuffer(buffer: DirectoryBuffer): void {
    if (this.#directoryBuffers.length < 4) {
      this.#directoryBuffers.push(buffer);
    }
  }

  #createInodeTable(): InodeTable {
    const { backend } = this;
    const close = (node: VfsNode): void => {
      this.nodeFiles?.forget(node);
      this.directoryStreams?.forget(node);
    };
    const owner = {
      retain(node: VfsNode): boolean {
        close(node);
        return backend.retain(node);
      },
      retainLimit: backend.retainLimit,
      forget(node: VfsNode): void {
        close(node);
        backend.forget(node);
      },
    };
    // A file handle that a client of the guest's NFS server still has from before must not find another file.
    return new InodeTable(this.#root, owner, randomInt(2 ** 30));
  }

  #createNodeFiles(): NodeFiles {
    const { backend, lane, inodes } = this;
    return new NodeFiles(
      backend,
      lane,
      this.#handles,
      (node) => inodes.generationOf(node),
      (handle) => this.#releaseInBackend(handle, "file"),
    );
  }

  #createDirectoryStreams(): DirectoryStreams {
    return new DirectoryStreams((handle) => this.#releaseInBackend(handle, "directory"));
  }

  #dispatch(slot: number): number {
    let request = this.#requests[slot];
    if (request === undefined) {
      request = new Request(this.lane, slot, this.#buffers);
      this.#requests[slot] = request;
    }
    if (!request.begin()) {
      return -EINVAL;
    }
    const { opcode } = request;
    const operation = OPERATIONS[opcode];
    if (operation === undefined) {
      return -ENOSYS;
    }
    if (request.argumentBytes < operation.argumentBytes) {
      return -EINVAL;
    }
    if (!this.initialised && opcode !== Opcode.INIT) {
      return opcode === Opcode.FORGET || opcode === Opcode.BATCH_FORGET ? LaneResult.NO_REPLY : -EIO;
    }
    try {
      const result = operation.run(this, request);
      if (typeof result !== "number") {
        return this.#await(request, result);
      }
      request.end();
      return result;
    } catch (error) {
      request.end();
      return this.#reportBug(opcode, error);
    }
  }

  /** The nodes of an operation that waits must not go away under it. */
  #await(request: Request, result: Promise<number>): number {
    const inodes = this.#inodes;
    const node = this.node(request);
    if (node !== undefined) {
      inodes.pin(node);
    }
    const { slot, opcode } = request;
    const finish = (value: number): void => {
      if (node !== undefined) {
        inodes.unpin(node);
      }
      request.end();
      this.lane.complete(slot, value);
    };
    result.then(finish, (error: unknown) => finish(this.#reportBug(opcode, error)));
    return LaneResult.PENDING;
  }

  /** An exception in a backend is a bug: said once for each operation, and EIO for the request. */
  #reportBug(opcode: number, error: unknown): Status {
    if (!this.#reported.has(opcode)) {
      this.#reported.add(opcode);
      const name = OPERATIONS[opcode]?.name ?? String(opcode);
      const reason = error instanceof Error ? error.message : String(error);
      this.logger.error({ operation: name, err: error }, `bug in ${name}, answered with EIO: ${reason}`);
    }
    return -EIO;
  }

  #writeEntryHead(index: number, node: VfsNode, words: Uint32Array, word: number): void {
    const generation = this.#inodes.generationOf(node);
    words[word] = Math.max(index, 0);
    words[word + 1] = generation;
    words[word + 2] = generation;
    words[word + 3] = 0;
    const { entry, attr } = this.timeouts;
    words[word + EntryOut.ENTRY_VALID] = entry.seconds;
    words[word + EntryOut.ENTRY_VALID + 1] = 0;
    words[word + EntryOut.ATTR_VALID] = attr.seconds;
    words[word + EntryOut.ATTR_VALID + 1] = 0;
    words[word + EntryOut.ENTRY_VALID_NSEC] = entry.nanoseconds;
    words[word + EntryOut.ATTR_VALID_NSEC] = attr.nanoseconds;
  }

  #fileOpenFlags(): number {
    const { directIo, keepCache } = this.cachePolicy;
    return (directIo ? OpenFlag.DIRECT_IO : 0) | (keepCache ? OpenFlag.KEEP_CACHE : 0);
  }

  #directoryOpenFlags(): number {
    return this.cachePolicy.cacheDirectory ? OpenFlag.CACHE_DIR | OpenFlag.KEEP_CACHE : 0;
  }

  #releaseHandle(handles: HandleTable, inodes: InodeTable, handle: VfsHandle, kind: HandleKind): void {
    if (handle.boundFile !== undefined) {
      this.lane.unbind(handle.tableIndex);
      handle.rebind = undefined;
    }
    this.lockClient.releaseHandle(handle);
    handles.remove(handle);
    inodes.unpin(handle.node);
    this.#releaseInBackend(handle, kind);
  }

  #releaseInBackend(handle: VfsHandle, kind: HandleKind): void {
    const released = kind === "file" ? this.backend.release(handle) : this.backend.releasedir(handle);
    if (released instanceof Promise) {
      released.catch((error: unknown) => this.#reportBug(Opcode.RELEASE, error));
    }
  }
}
