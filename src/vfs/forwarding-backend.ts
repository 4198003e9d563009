import type { AttributeChange, AttrRecord, FileSystemStatistics } from "./attributes.js";
import { Backend, type BackendCapabilities, type CloneOptions, type ClonePlace } from "./backend.js";
import type { DirectoryBuffer } from "./directory-buffer.js";
import type { Awaitable, Result, Status } from "./errno.js";
import type { Caller, FileIdentifier, VfsHandle, VfsNode } from "./node.js";

/** A backend that passes every operation on to another: the base of wrappers, which override some. */
export abstract class ForwardingBackend extends Backend {
  protected readonly inner: Backend;

  constructor(inner: Backend) {
    super();
    this.inner = inner;
  }

  override get capabilities(): BackendCapabilities {
    return this.inner.capabilities;
  }

  override start(): Awaitable<VfsNode> {
    return this.inner.start();
  }

  override stop(): Awaitable<void> {
    return this.inner.stop();
  }

  override retain(node: VfsNode): boolean {
    return this.inner.retain(node);
  }

  override get retainLimit(): number {
    return this.inner.retainLimit;
  }

  override opensUnasked(): void {
    this.inner.opensUnasked();
  }

  override forget(node: VfsNode): void {
    this.inner.forget(node);
  }

  override statfs(node: VfsNode): Awaitable<Result<FileSystemStatistics>> {
    return this.inner.statfs(node);
  }

  override lookup(
    caller: Caller,
    parent: VfsNode,
    name: string,
    out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    return this.inner.lookup(caller, parent, name, out);
  }

  override getattr(
    caller: Caller,
    node: VfsNode,
    handle: VfsHandle | undefined,
    out: AttrRecord,
  ): Awaitable<Status> {
    return this.inner.getattr(caller, node, handle, out);
  }

  override setattr(
    caller: Caller,
    node: VfsNode,
    handle: VfsHandle | undefined,
    change: AttributeChange,
    out: AttrRecord,
  ): Awaitable<Status> {
    return this.inner.setattr(caller, node, handle, change, out);
  }

  override readlink(caller: Caller, node: VfsNode): Awaitable<Result<string>> {
    return this.inner.readlink(caller, node);
  }

  override mknod(
    caller: Caller,
    parent: VfsNode,
    name: string,
    mode: number,
    rdev: number,
    out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    return this.inner.mknod(caller, parent, name, mode, rdev, out);
  }

  override mkdir(
    caller: Caller,
    parent: VfsNode,
    name: string,
    mode: number,
    out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    return this.inner.mkdir(caller, parent, name, mode, out);
  }

  override symlink(
    caller: Caller,
    parent: VfsNode,
    name: string,
    target: string,
    out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    return this.inner.symlink(caller, parent, name, target, out);
  }

  override link(
    caller: Caller,
    node: VfsNode,
    newParent: VfsNode,
    newName: string,
    out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    return this.inner.link(caller, node, newParent, newName, out);
  }

  override unlink(caller: Caller, parent: VfsNode, name: string): Awaitable<Status> {
    return this.inner.unlink(caller, parent, name);
  }

  override rmdir(caller: Caller, parent: VfsNode, name: string): Awaitable<Status> {
    return this.inner.rmdir(caller, parent, name);
  }

  override rename(
    caller: Caller,
    parent: VfsNode,
    name: string,
    newParent: VfsNode,
    newName: string,
    flags: number,
  ): Awaitable<Status> {
    return this.inner.rename(caller, parent, name, newParent, newName, flags);
  }

  override open(caller: Caller, node: VfsNode, flags: number): Awaitable<Result<VfsHandle>> {
    return this.inner.open(caller, node, flags);
  }

  override create(
    caller: Caller,
    parent: VfsNode,
    name: string,
    flags: number,
    mode: number,
    out: AttrRecord,
  ): Awaitable<Result<VfsHandle>> {
    return this.inner.create(caller, parent, name, flags, mode, out);
  }

  override tmpfile(
    caller: Caller,
    parent: VfsNode,
    flags: number,
    mode: number,
    out: AttrRecord,
  ): Awaitable<Result<VfsHandle>> {
    return this.inner.tmpfile(caller, parent, flags, mode, out);
  }

  override parentOf(caller: Caller, node: VfsNode, out: AttrRecord): Awaitable<Result<VfsNode>> {
    return this.inner.parentOf(caller, node, out);
  }

  override identify(node: VfsNode): Awaitable<Result<FileIdentifier>> {
    return this.inner.identify(node);
  }

  override statIdentified(file: FileIdentifier, out: AttrRecord): Awaitable<Status> {
    return this.inner.statIdentified(file, out);
  }

  override cloneFile(
    source: Backend,
    node: VfsNode,
    directory: VfsNode,
    options: CloneOptions,
    out: AttrRecord,
  ): Awaitable<Result<VfsHandle>> {
    return this.inner.cloneFile(source, node, directory, options, out);
  }

  override cloneInto(
    source: Backend,
    node: VfsNode,
    place: ClonePlace,
    options: CloneOptions,
    out: AttrRecord,
  ): Result<VfsNode> {
    return this.inner.cloneInto(source, node, place, options, out);
  }

  override ioctl(
    caller: Caller,
    handle: VfsHandle,
    command: number,
    input: Uint8Array,
    into: Uint8Array,
  ): Awaitable<Status> {
    return this.inner.ioctl(caller, handle, command, input, into);
  }

  override read(caller: Caller, handle: VfsHandle, offset: number, into: Uint8Array): Awaitable<Status> {
    return this.inner.read(caller, handle, offset, into);
  }

  override write(caller: Caller, handle: VfsHandle, offset: number, from: Uint8Array): Awaitable<Status> {
    return this.inner.write(caller, handle, offset, from);
  }

  override flush(caller: Caller, handle: VfsHandle): Awaitable<Status> {
    return this.inner.flush(caller, handle);
  }

  override release(handle: VfsHandle): Awaitable<void> {
    return this.inner.release(handle);
  }

  override discard(handle: VfsHandle): Awaitable<void> {
    return this.inner.discard(handle);
  }

  override fsync(caller: Caller, handle: VfsHandle, dataOnly: boolean): Awaitable<Status> {
    return this.inner.fsync(caller, handle, dataOnly);
  }

  override opendir(caller: Caller, node: VfsNode, flags: number): Awaitable<Result<VfsHandle>> {
    return this.inner.opendir(caller, node, flags);
  }

  override readdir(caller: Caller, handle: VfsHandle, sink: DirectoryBuffer): Awaitable<Status> {
    return this.inner.readdir(caller, handle, sink);
  }

  override releasedir(handle: VfsHandle): Awaitable<void> {
    return this.inner.releasedir(handle);
  }

  override fsyncdir(caller: Caller, handle: VfsHandle, dataOnly: boolean): Awaitable<Status> {
    return this.inner.fsyncdir(caller, handle, dataOnly);
  }

  override syncfs(node: VfsNode): Awaitable<Status> {
    return this.inner.syncfs(node);
  }

  override setxattr(
    caller: Caller,
    node: VfsNode,
    name: string,
    value: Uint8Array,
    flags: number,
  ): Awaitable<Status> {
    return this.inner.setxattr(caller, node, name, value, flags);
  }

  override getxattr(caller: Caller, node: VfsNode, name: string, into: Uint8Array): Awaitable<Status> {
    return this.inner.getxattr(caller, node, name, into);
  }

  override listxattr(caller: Caller, node: VfsNode, into: Uint8Array): Awaitable<Status> {
    return this.inner.listxattr(caller, node, into);
  }

  override removexattr(caller: Caller, node: VfsNode, name: string): Awaitable<Status> {
    return this.inner.removexattr(caller, node, name);
  }

  override access(caller: Caller, node: VfsNode, mask: number): Awaitable<Status> {
    return this.inner.access(caller, node, mask);
  }

  override fallocate(
    caller: Caller,
    handle: VfsHandle,
    mode: number,
    offset: bigint,
    length: bigint,
  ): Awaitable<Status> {
    return this.inner.fallocate(caller, handle, mode, offset, length);
  }

  override lseek(
    caller: Caller,
    handle: VfsHandle,
    offset: bigint,
    whence: number,
  ): Awaitable<Result<bigint>> {
    return this.inner.lseek(caller, handle, offset, whence);
  }

  override copyFileRange(
    caller: Caller,
    from: VfsHandle,
    fromOffset: bigint,
    to: VfsHandle,
    toOffset: bigint,
    length: bigint,
  ): Awaitable<Result<bigint>> {
    return this.inner.copyFileRange(caller, from, fromOffset, to, toOffset, length);
  }
}
