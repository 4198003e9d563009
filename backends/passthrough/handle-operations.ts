import { Medium, posix } from "../../src/native/posix.js";
import { Backend } from "../../src/vfs/backend.js";
import type { DirectoryBuffer } from "../../src/vfs/directory-buffer.js";
import { type Awaitable, EBADF, type Result, type Status } from "../../src/vfs/errno.js";
import type { Caller } from "../../src/vfs/node.js";
import { QUICK_COPY_BYTES } from "./devices.js";
import { listDirectory } from "./directory-listing.js";
import type { Entries } from "./entries.js";
import { type DirectoryHandle, FileHandle } from "./node.js";
import type { NodeTable } from "./node-table.js";
import { QuickSyncs } from "./quick-syncs.js";
import { SlowFiles } from "./slow-files.js";

/** What the passthrough backend does with files and directories that are open. */
export abstract class HandleOperations extends Backend {
  protected readonly nodes: NodeTable;
  protected readonly entries: Entries;
  protected readonly slow: SlowFiles;
  readonly #quickSyncs = new QuickSyncs();

  constructor(nodes: NodeTable, entries: Entries) {
    super();
    this.nodes = nodes;
    this.entries = entries;
    this.slow = new SlowFiles(nodes, entries);
  }

  /** For reads that native code does not serve (see {@link FileHandle.boundFile}). */
  override read(_caller: Caller, handle: FileHandle, offset: number, into: Uint8Array): Promise<Status> {
    return posix.readSlowly(handle.fd, into, offset);
  }

  /** For writes that native code does not serve: those that clear privileges. */
  override write(caller: Caller, handle: FileHandle, offset: number, from: Uint8Array): Awaitable<Status> {
    if (!handle.isWritable) {
      return -EBADF;
    }
    const kill = caller.clearsPrivileges ? 1 : 0;
    const { medium } = handle;
    const atOnce = medium === Medium.MEMORY || (medium === Medium.DISK && !handle.isSynchronous);
    return atOnce
      ? posix.write(handle.fd, from, offset, kill)
      : posix.writeSlowly(handle.fd, from, offset, kill);
  }

  override release(handle: FileHandle): void {
    this.nodes.closed(handle.node, handle);
  }

  override discard(handle: FileHandle): void {
    this.release(handle);
    posix.close(handle.fd);
  }

  override fsync(caller: Caller, handle: FileHandle | DirectoryHandle, dataOnly: boolean): Awaitable<Status> {
    const flag = dataOnly ? 1 : 0;
    const medium = handle instanceof FileHandle ? handle.medium : undefined;
    if (medium === Medium.MEMORY) {
      return posix.fsyncNow(handle.fd, flag);
    }
    if (medium !== Medium.DISK) {
      return posix.fsync(handle.fd, flag);
    }
    const atOnce = caller.isAlone === true && this.#quickSyncs.areLikely;
    return this.#quickSyncs.time(() => (atOnce ? posix.fsyncNow : posix.fsync)(handle.fd, flag));
  }

  override fallocate(
    caller: Caller,
    handle: FileHandle,
    mode: number,
    offset: bigint,
    length: bigint,
  ): Promise<Status> {
    return posix.fallocate(handle.fd, mode, offset, length, caller.clearsPrivileges ? 1 : 0);
  }

  override lseek(_caller: Caller, handle: FileHandle, offset: bigint, whence: number): Result<bigint> {
    return posix.seek(handle.fd, offset, whence);
  }

  override copyFileRange(
    caller: Caller,
    from: FileHandle,
    fromOffset: bigint,
    to: FileHandle,
    toOffset: bigint,
    length: bigint,
  ): Awaitable<Result<bigint>> {
    const kill = caller.clearsPrivileges ? 1 : 0;
    const isQuick =
      length <= QUICK_COPY_BYTES && from.medium === Medium.MEMORY && to.medium === Medium.MEMORY;
    return isQuick
      ? countOf(posix.copyFileRangeNow(from.fd, fromOffset, to.fd, toOffset, length, kill))
      : posix.copyFileRange(from.fd, fromOffset, to.fd, toOffset, length, kill).then(countOf);
  }

  /** As the caller: some flags are for the privileged only. */
  override ioctl(
    caller: Caller,
    handle: FileHandle | DirectoryHandle,
    command: number,
    input: Uint8Array,
    into: Uint8Array,
  ): Status {
    return posix.ioctl(handle.fd, command, input, into, caller.uid, caller.gid, caller.supplementaryGroup);
  }

  override readdir(_caller: Caller, handle: DirectoryHandle, sink: DirectoryBuffer): Awaitable<Status> {
    return this.nodes.hasRemoteEntries(handle.node)
      ? this.slow.list(handle, sink)
      : listDirectory(this.nodes, handle, sink);
  }

  override releasedir(handle: DirectoryHandle): void {
    posix.close(handle.fd);
    this.nodes.closed(handle.node, handle);
  }

  override fsyncdir(caller: Caller, handle: DirectoryHandle, dataOnly: boolean): Awaitable<Status> {
    return this.fsync(caller, handle, dataOnly);
  }
}

function countOf(copied: number): Result<bigint> {
  return copied < 0 ? copied : BigInt(copied);
}
