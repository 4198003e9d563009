import type { AttributeChange, AttrRecord } from "./attributes.js";
import type { Awaitable, Result, Status } from "./errno.js";
import { EROFS } from "./errno.js";
import { ForwardingBackend } from "./forwarding-backend.js";
import type { Caller, VfsHandle, VfsNode } from "./node.js";

const O_ACCMODE = 3;
const O_CREAT = 0o100;
const O_TRUNC = 0o1000;
const W_OK = 2;
const FS_IOC_SETFLAGS = 0x4008_6602;
const FS_IOC_FSSETXATTR = 0x401c_5820;

/** Refuses every change with EROFS, whatever the backend below would do. */
export class ReadOnlyBackend extends ForwardingBackend {
  override setattr(
    _caller: Caller,
    _node: VfsNode,
    _handle: VfsHandle | undefined,
    _change: AttributeChange,
    _out: AttrRecord,
  ): Status {
    return -EROFS;
  }

  override mknod(): Awaitable<Result<VfsNode>> {
    return -EROFS;
  }

  override mkdir(): Awaitable<Result<VfsNode>> {
    return -EROFS;
  }

  override symlink(): Awaitable<Result<VfsNode>> {
    return -EROFS;
  }

  override link(): Awaitable<Result<VfsNode>> {
    return -EROFS;
  }

  override unlink(): Status {
    return -EROFS;
  }

  override rmdir(): Status {
    return -EROFS;
  }

  override rename(): Status {
    return -EROFS;
  }

  override open(caller: Caller, node: VfsNode, flags: number): Awaitable<Result<VfsHandle>> {
    if ((flags & O_ACCMODE) !== 0 || (flags & (O_TRUNC | O_CREAT)) !== 0) {
      return -EROFS;
    }
    return this.inner.open(caller, node, flags);
  }

  override create(): Awaitable<Result<VfsHandle>> {
    return -EROFS;
  }

  override write(): Status {
    return -EROFS;
  }

  override setxattr(): Status {
    return -EROFS;
  }

  override removexattr(): Status {
    return -EROFS;
  }

  override access(caller: Caller, node: VfsNode, mask: number): Awaitable<Status> {
    return (mask & W_OK) !== 0 ? -EROFS : this.inner.access(caller, node, mask);
  }

  override fallocate(): Status {
    return -EROFS;
  }

  override copyFileRange(): Awaitable<Result<bigint>> {
    return -EROFS;
  }

  override tmpfile(): Awaitable<Result<VfsHandle>> {
    return -EROFS;
  }

  override ioctl(
    caller: Caller,
    handle: VfsHandle,
    command: number,
    input: Uint8Array,
    into: Uint8Array,
  ): Awaitable<Status> {
    const changes = command === FS_IOC_SETFLAGS || command === FS_IOC_FSSETXATTR;
    return changes ? -EROFS : this.inner.ioctl(caller, handle, command, input, into);
  }
}
