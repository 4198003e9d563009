import { type AttributeChange, type AttrRecord, Change } from "./attributes.js";
import type { Backend, BackendCapabilities } from "./backend.js";
import { type Awaitable, ENODATA, ENOSYS, EOPNOTSUPP, ERANGE, type Result, type Status } from "./errno.js";
import { ForwardingBackend } from "./forwarding-backend.js";
import type { Caller, VfsHandle, VfsNode } from "./node.js";
import type { XattrMap } from "./xattr-map.js";
import { replyXattrNames } from "./xattr-reply.js";

/** XATTR_NAME_MAX and XATTR_LIST_MAX of Linux. */
const NAME_BYTES = 255;
const LIST_BYTES = 65_536;
const CAPABILITY = "security.capability";
const ACLS = ["system.posix_acl_access", "system.posix_acl_default"];
const O_TRUNC = 0o1000;

/** In whose name capabilities are dropped: whoever changes a file takes them away, permitted or not. */
const SERVER: Caller = {
  uid: 0,
  gid: 0,
  pid: 0,
  supplementaryGroup: -1,
  umask: 0,
  clearsPrivileges: false,
};

/**
 * Renames extended attributes between guest and backend.
 *
 * A file loses its capabilities when its contents or its owner change. The backend does not know them when
 * `security.capability` has another name there, so they are dropped here before every change that comes by:
 * setattr, opening with O_TRUNC, fallocate, copies, and writes of files that are not bound. Before a write of a
 * bound file the guest's kernel asks for the attribute and removes it by itself.
 */
export class XattrMapBackend extends ForwardingBackend {
  readonly #map: XattrMap;
  readonly #capabilities: BackendCapabilities;
  /** The backend's name of `security.capability`, if that is another one. */
  readonly #capabilityName: string | undefined;

  constructor(inner: Backend, map: XattrMap) {
    super(inner);
    this.#map = map;
    const renamed = map.serverName(CAPABILITY);
    this.#capabilityName = typeof renamed === "string" && renamed !== CAPABILITY ? renamed : undefined;
    const keepsAcls = ACLS.every((name) => map.keeps(name));
    this.#capabilities = { ...inner.capabilities, posixAcl: inner.capabilities.posixAcl && keepsAcls };
  }

  override get capabilities(): BackendCapabilities {
    return this.#capabilities;
  }

  override setxattr(
    caller: Caller,
    node: VfsNode,
    name: string,
    value: Uint8Array,
    flags: number,
  ): Awaitable<Status> {
    const mapped = this.#nameFor(name);
    return typeof mapped === "number" ? mapped : this.inner.setxattr(caller, node, mapped, value, flags);
  }

  override getxattr(caller: Caller, node: VfsNode, name: string, into: Uint8Array): Awaitable<Status> {
    const mapped = this.#nameFor(name);
    return typeof mapped === "number" ? mapped : this.inner.getxattr(caller, node, mapped, into);
  }

  override removexattr(caller: Caller, node: VfsNode, name: string): Awaitable<Status> {
    const mapped = this.#nameFor(name);
    return typeof mapped === "number" ? mapped : this.inner.removexattr(caller, node, mapped);
  }

  override listxattr(caller: Caller, node: VfsNode, into: Uint8Array): Awaitable<Status> {
    const all = Buffer.allocUnsafe(LIST_BYTES);
    const listed = this.inner.listxattr(caller, node, all);
    const finish = (length: Status): Status => (length < 0 ? length : this.#list(all, length, into));
    return listed instanceof Promise ? listed.then(finish) : finish(listed);
  }

  override setattr(
    caller: Caller,
    node: VfsNode,
    handle: VfsHandle | undefined,
    change: AttributeChange,
    out: AttrRecord,
  ): Awaitable<Status> {
    const drops = (change.valid & (Change.SIZE | Change.UID | Change.GID | Change.KILL_SUIDGID)) !== 0;
    const forward = () => this.inner.setattr(caller, node, handle, change, out);
    return drops ? this.#afterDrop(node, forward) : forward();
  }

  override open(caller: Caller, node: VfsNode, flags: number): Awaitable<Result<VfsHandle>> {
    const forward = () => this.inner.open(caller, node, flags);
    return (flags & O_TRUNC) !== 0 ? this.#afterDrop(node, forward) : forward();
  }

  override write(caller: Caller, handle: VfsHandle, offset: number, from: Uint8Array): Awaitable<Status> {
    return this.#afterDrop(handle.node, () => this.inner.write(caller, handle, offset, from));
  }

  override fallocate(
    caller: Caller,
    handle: VfsHandle,
    mode: number,
    offset: bigint,
    length: bigint,
  ): Awaitable<Status> {
    return this.#afterDrop(handle.node, () => this.inner.fallocate(caller, handle, mode, offset, length));
  }

  override copyFileRange(
    caller: Caller,
    from: VfsHandle,
    fromOffset: bigint,
    to: VfsHandle,
    toOffset: bigint,
    length: bigint,
  ): Awaitable<Result<bigint>> {
    return this.#afterDrop(to.node, () =>
      this.inner.copyFileRange(caller, from, fromOffset, to, toOffset, length),
    );
  }

  #nameFor(name: string): Result<string> {
    const mapped = this.#map.serverName(name);
    return typeof mapped === "string" && mapped.length > NAME_BYTES ? -ERANGE : mapped;
  }

  #list(all: Buffer, length: number, into: Uint8Array): Status {
    const names = all
      .toString("latin1", 0, length)
      .split("\0")
      .map((name) => (name === "" ? undefined : this.#map.clientName(name)))
      .filter((name): name is string => name !== undefined && name !== "");
    return replyXattrNames(names, into);
  }

  /** Runs `operation` on a file that has lost its capabilities. A failure to take them is the operation's. */
  #afterDrop<T>(node: VfsNode, operation: () => Awaitable<T | Status>): Awaitable<T | Status> {
    if (this.#capabilityName === undefined) {
      return operation();
    }
    const dropped = this.inner.removexattr(SERVER, node, this.#capabilityName);
    const proceed = (status: Status) => (isGone(status) ? operation() : status);
    return dropped instanceof Promise ? dropped.then(proceed) : proceed(dropped);
  }
}

/** Success, or there was nothing and can be nothing. */
function isGone(status: Status): boolean {
  return status >= 0 || status === -ENODATA || status === -EOPNOTSUPP || status === -ENOSYS;
}
