import type { AttributeChange, AttrRecord, FileSystemStatistics } from "./attributes.js";
import type { DirectoryBuffer } from "./directory-buffer.js";
import type { Awaitable, Result, Status } from "./errno.js";
import { ENOSYS, ENOTTY, EOPNOTSUPP } from "./errno.js";
import type { Caller, FileIdentifier, VfsHandle, VfsNode } from "./node.js";

/** Flags of {@link Backend.setxattr}; CREATE and REPLACE are those of setxattr(2). */
export const XattrFlag = {
  CREATE: 1,
  REPLACE: 2,
  /**
   * With "system.posix_acl_access": clear setgid as well, because the caller is neither in the file's group nor
   * privileged. Never to be passed on to setxattr(2). Only sent to backends whose capabilities have posixAcl.
   */
  ACL_KILL_SGID: 1 << 16,
} as const;

/** How {@link Backend.cloneFile} makes a copy. */
export interface CloneOptions {
  /** Bytes of data to copy at most. */
  readonly size: number;
  /** Extended attributes whose names begin with the first are left out, except those that begin with the second. */
  readonly skipXattrs: string;
  readonly keepXattrs: string;
  /** An extended attribute more, "" for none; a file that cannot have it does without. */
  readonly xattr: string;
  readonly value: Uint8Array;
  /** fsync(2) at the end. */
  readonly sync: boolean;
}

/** Where {@link Backend.cloneInto} puts a copy; both directories are of the backend that makes it. */
export interface ClonePlace {
  /** The directory in which it is built. */
  readonly work: VfsNode;
  /** The one in which it is named at last, and whose times stay as they are. */
  readonly directory: VfsNode;
  readonly name: string;
  /** Each name of a file gets a copy of its own. */
  readonly namesApart: boolean;
}

/** Flags of {@link Backend.rename}, those of renameat2(2). */
export const RenameFlag = {
  NOREPLACE: 1,
  EXCHANGE: 2,
  WHITEOUT: 4,
} as const;

/** What a backend supports beyond the ordinary; INIT and the conformance suite ask. */
export interface BackendCapabilities {
  /** Hard links work. */
  readonly hardLinks: boolean;
  /** mknod of fifos, sockets and devices works. */
  readonly specialFiles: boolean;
  /** Extended attributes work. */
  readonly xattrs: boolean;
  /** Something else than this share may change the files (so attributes must expire). */
  readonly changesOutside: boolean;
  /** POSIX ACLs are kept and default ACLs inherited: the guest leaves the umask to the backend. */
  readonly posixAcl: boolean;
  /** {@link Backend.parentOf} works, and {@link Backend.retain}: files can be found again without a path. */
  readonly parents: boolean;
  /** Attributes have the time when a file was made. Otherwise STATX tells nothing that GETATTR does not. */
  readonly birthTimes: boolean;
  /**
   * Listings decide by themselves which entries they bring the attributes of. Otherwise the guest decides it, by whether
   * somebody has looked at entries of the directory lately: an answer with attributes takes as long as it takes.
   */
  readonly choosesAttributes: boolean;
}

/**
 * A file system behind a share: one method per operation, ENOSYS by default.
 *
 * Rules for implementers:
 * - Answer at once wherever nothing has to be waited for; return a promise only where it truly does.
 *   Nothing here may block the thread.
 * - Fail by returning a negative errno. A throw is a bug: the session logs it once and answers EIO.
 * - Names are one path component, bytes carried as a latin1 string (one char per byte), 1 to 255
 *   bytes, without "/" and NUL, and never "." or "..": the session has checked that.
 * - `out` records are filled completely (see {@link AttrRecord}) before success is returned.
 *   They, `caller` and `sink` belong to the request until the returned promise is settled.
 * - A node that lookup, create and the like return counts as referenced by the guest until
 *   {@link Backend.forget}; the inode table keeps the counts.
 * - ENOSYS turns an operation off for the whole mount in the guest; EOPNOTSUPP is for "not this file".
 */
export abstract class Backend {
  abstract readonly capabilities: BackendCapabilities;

  /**
   * Opens what the backend needs and returns the root directory's node.
   * @throws GatewayError when the share cannot be served (missing directory, no permission).
   */
  abstract start(): Awaitable<VfsNode>;

  /** Releases everything. Called once, after the last operation was answered. */
  stop(): Awaitable<void> {}

  /**
   * The guest has forgotten the node, but one that exports the share (NFS) may still look it up by its id.
   * Whether the node can be kept for that, holding memory only; {@link forget} comes later. While it is kept,
   * lookups that find the same file must give the same node, and getattr answers ESTALE once the file is gone.
   */
  retain(_node: VfsNode): boolean {
    return false;
  }

  /** How many nodes may be kept by {@link retain}. */
  get retainLimit(): number {
    return 0;
  }

  /**
   * From now on the guest may have files open of which there is no handle here: the file of a node lives on without a
   * name until {@link forget}.
   */
  opensUnasked(): void {}

  /** The guest and the tables no longer know the node. */
  forget(_node: VfsNode): void {}

  /** statfs(2). */
  statfs(_node: VfsNode): Awaitable<Result<FileSystemStatistics>> {
    return -ENOSYS;
  }

  /** Finds `name` in a directory. Errors: ENOENT, ENOTDIR, EACCES. */
  lookup(_caller: Caller, _parent: VfsNode, _name: string, _out: AttrRecord): Awaitable<Result<VfsNode>> {
    return -ENOSYS;
  }

  /** stat(2); `handle` is the open file the guest asked through, if any. */
  getattr(
    _caller: Caller,
    _node: VfsNode,
    _handle: VfsHandle | undefined,
    _out: AttrRecord,
  ): Awaitable<Status> {
    return -ENOSYS;
  }

  /** chmod, chown, truncate and utimensat in one; `out` receives the attributes afterwards. */
  setattr(
    _caller: Caller,
    _node: VfsNode,
    _handle: VfsHandle | undefined,
    _change: AttributeChange,
    _out: AttrRecord,
  ): Awaitable<Status> {
    return -ENOSYS;
  }

  /** Target of a symbolic link, bytes as latin1. Errors: EINVAL when it is none. */
  readlink(_caller: Caller, _node: VfsNode): Awaitable<Result<string>> {
    return -ENOSYS;
  }

  /** mknod(2): `mode` has type and permission bits (see {@link Caller.umask}), `rdev` as new_encode_dev(). */
  mknod(
    _caller: Caller,
    _parent: VfsNode,
    _name: string,
    _mode: number,
    _rdev: number,
    _out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    return -ENOSYS;
  }

  mkdir(
    _caller: Caller,
    _parent: VfsNode,
    _name: string,
    _mode: number,
    _out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    return -ENOSYS;
  }

  /** `target` is 1 to 4095 bytes as latin1. */
  symlink(
    _caller: Caller,
    _parent: VfsNode,
    _name: string,
    _target: string,
    _out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    return -ENOSYS;
  }

  /** link(2) of an existing node. Errors: EPERM for directories, EMLINK, EXDEV. */
  link(
    _caller: Caller,
    _node: VfsNode,
    _newParent: VfsNode,
    _newName: string,
    _out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    return -ENOSYS;
  }

  unlink(_caller: Caller, _parent: VfsNode, _name: string): Awaitable<Status> {
    return -ENOSYS;
  }

  rmdir(_caller: Caller, _parent: VfsNode, _name: string): Awaitable<Status> {
    return -ENOSYS;
  }

  /** renameat2(2); `flags` are RENAME_NOREPLACE 1, RENAME_EXCHANGE 2, RENAME_WHITEOUT 4. */
  rename(
    _caller: Caller,
    _parent: VfsNode,
    _name: string,
    _newParent: VfsNode,
    _newName: string,
    _flags: number,
  ): Awaitable<Status> {
    return -ENOSYS;
  }

  /** Opens a regular file with open(2) `flags` (Linux numbers). */
  open(_caller: Caller, _node: VfsNode, _flags: number): Awaitable<Result<VfsHandle>> {
    return -ENOSYS;
  }

  /**
   * open(2) with O_CREAT: creates `name`, or opens it when it exists (unless O_EXCL). The node is
   * the handle's.
   */
  create(
    _caller: Caller,
    _parent: VfsNode,
    _name: string,
    _flags: number,
    _mode: number,
    _out: AttrRecord,
  ): Awaitable<Result<VfsHandle>> {
    return -ENOSYS;
  }

  /**
   * open(2) with O_TMPFILE: a file without a name in `parent`, which link can give one unless `flags` has
   * O_EXCL. The node is the handle's. Errors: EOPNOTSUPP.
   */
  tmpfile(
    _caller: Caller,
    _parent: VfsNode,
    _flags: number,
    _mode: number,
    _out: AttrRecord,
  ): Awaitable<Result<VfsHandle>> {
    return -ENOSYS;
  }

  /**
   * A file without a name (see {@link tmpfile}) that is a copy of a regular file of another backend, or this one, in
   * everything that belongs to it: data and holes, owner, mode, times, extended attributes. It is open for reading and
   * writing. Errors: EOPNOTSUPP where these two backends cannot do that by themselves.
   */
  cloneFile(
    _source: Backend,
    _node: VfsNode,
    _directory: VfsNode,
    _options: CloneOptions,
    _out: AttrRecord,
  ): Awaitable<Result<VfsHandle>> {
    return -EOPNOTSUPP;
  }

  /**
   * As {@link cloneFile}, with a name at the end. At once, or not at all: EOPNOTSUPP also where it would take time, for
   * files that chattr protects or that have attributes to be skipped, and for those with several names unless they go
   * apart.
   */
  cloneInto(
    _source: Backend,
    _node: VfsNode,
    _place: ClonePlace,
    _options: CloneOptions,
    _out: AttrRecord,
  ): Result<VfsNode> {
    return -EOPNOTSUPP;
  }

  /** The directory that holds a directory, for LOOKUP of "..". The root is its own parent. */
  parentOf(_caller: Caller, _node: VfsNode, _out: AttrRecord): Awaitable<Result<VfsNode>> {
    return -ENOSYS;
  }

  /** What names the file for good. Errors: EOPNOTSUPP where there is no such thing. */
  identify(_node: VfsNode): Awaitable<Result<FileIdentifier>> {
    return -EOPNOTSUPP;
  }

  /** Attributes of the file of this name. Errors: ESTALE when it is gone, EOPNOTSUPP. */
  statIdentified(_file: FileIdentifier, _out: AttrRecord): Awaitable<Status> {
    return -EOPNOTSUPP;
  }

  /**
   * ioctl(2) of a regular file or directory: FS_IOC_GETFLAGS, SETFLAGS, FSGETXATTR and FSSETXATTR. `input` is
   * what the command reads; what it writes goes to `into`: 4 bytes of flags or 28 bytes of struct fsxattr each,
   * and nothing in the other direction. @returns the count of bytes written, or ENOTTY
   */
  ioctl(
    _caller: Caller,
    _handle: VfsHandle,
    _command: number,
    _input: Uint8Array,
    _into: Uint8Array,
  ): Awaitable<Status> {
    return -ENOTTY;
  }

  /** Reads into `into` from byte `offset`; returns the count, short only at the end of the file. */
  read(_caller: Caller, _handle: VfsHandle, _offset: number, _into: Uint8Array): Awaitable<Status> {
    return -ENOSYS;
  }

  /** Writes `from` at byte `offset`; returns the count. `from` is valid until the promise settles. */
  write(_caller: Caller, _handle: VfsHandle, _offset: number, _from: Uint8Array): Awaitable<Status> {
    return -ENOSYS;
  }

  /**
   * Called at each close(2) of a descriptor of the handle; its error is what close returns. With ENOSYS guests that keep
   * their locks themselves close without asking.
   */
  flush(_caller: Caller, _handle: VfsHandle): Awaitable<Status> {
    return -ENOSYS;
  }

  /** The last reference to the handle is gone. The guest does not see an error. */
  release(_handle: VfsHandle): Awaitable<void> {}

  /** As release, for a handle that the server opened for itself: native code was not given its bound file. */
  discard(handle: VfsHandle): Awaitable<void> {
    return this.release(handle);
  }

  /** fsync(2), or fdatasync(2) when `dataOnly`. */
  fsync(_caller: Caller, _handle: VfsHandle, _dataOnly: boolean): Awaitable<Status> {
    return -ENOSYS;
  }

  /** @param _flags of open(2): O_NOATIME, and what means nothing for directories */
  opendir(_caller: Caller, _node: VfsNode, _flags = 0): Awaitable<Result<VfsHandle>> {
    return -ENOSYS;
  }

  /**
   * Adds entries to `sink`, starting behind the entry whose offset is `sink.offset`, until the sink
   * is full or the directory ends. With `sink.plus` entries carry nodes and attributes.
   */
  readdir(_caller: Caller, _handle: VfsHandle, _sink: DirectoryBuffer): Awaitable<Status> {
    return -ENOSYS;
  }

  releasedir(_handle: VfsHandle): Awaitable<void> {}

  fsyncdir(_caller: Caller, _handle: VfsHandle, _dataOnly: boolean): Awaitable<Status> {
    return -ENOSYS;
  }

  /** syncfs(2) of the whole share. */
  syncfs(_node: VfsNode): Awaitable<Status> {
    return -ENOSYS;
  }

  /** `name` is the full name ("user.x") as latin1; `flags` are {@link XattrFlag} bits. */
  setxattr(
    _caller: Caller,
    _node: VfsNode,
    _name: string,
    _value: Uint8Array,
    _flags: number,
  ): Awaitable<Status> {
    return -ENOSYS;
  }

  /** Copies the value into `into` and returns its length; an empty `into` asks for the length only. Errors: ENODATA, ERANGE. */
  getxattr(_caller: Caller, _node: VfsNode, _name: string, _into: Uint8Array): Awaitable<Status> {
    return -ENOSYS;
  }

  /** Copies NUL-terminated names into `into` and returns their length; as getxattr otherwise. */
  listxattr(_caller: Caller, _node: VfsNode, _into: Uint8Array): Awaitable<Status> {
    return -ENOSYS;
  }

  removexattr(_caller: Caller, _node: VfsNode, _name: string): Awaitable<Status> {
    return -ENOSYS;
  }

  /** access(2): `mask` of R_OK 4, W_OK 2, X_OK 1. */
  access(_caller: Caller, _node: VfsNode, _mask: number): Awaitable<Status> {
    return -ENOSYS;
  }

  /** fallocate(2) with its `mode` flags. */
  fallocate(
    _caller: Caller,
    _handle: VfsHandle,
    _mode: number,
    _offset: bigint,
    _length: bigint,
  ): Awaitable<Status> {
    return -ENOSYS;
  }

  /** lseek(2) with SEEK_DATA 3 or SEEK_HOLE 4; answers with the new offset. */
  lseek(_caller: Caller, _handle: VfsHandle, _offset: bigint, _whence: number): Awaitable<Result<bigint>> {
    return -ENOSYS;
  }

  /** copy_file_range(2); answers with the count of bytes copied. */
  copyFileRange(
    _caller: Caller,
    _from: VfsHandle,
    _fromOffset: bigint,
    _to: VfsHandle,
    _toOffset: bigint,
    _length: bigint,
  ): Awaitable<Result<bigint>> {
    return -ENOSYS;
  }
}
