import { constants } from "node:fs";
import { posix } from "../../src/native/posix.js";
import { Attr } from "../../src/vfs/attributes.js";
import { EOPNOTSUPP, ESTALE } from "../../src/vfs/errno.js";
import type { FileIdentifier } from "../../src/vfs/node.js";
import type { PassthroughNode } from "./node.js";

/** Bytes of a handle before the file system's own: mount id, type. */
const MOUNT_BYTES = 4;
const HEADER_BYTES = 8;
const UUID_BYTES = 16;
/** A path only: nothing is opened on the host. Not among Node's constants. */
const O_PATH = 0o10000000;

function mountOf(handle: string): number {
  return (
    handle.charCodeAt(0) |
    (handle.charCodeAt(1) << 8) |
    (handle.charCodeAt(2) << 16) |
    (handle.charCodeAt(3) << 24)
  );
}

/** File handles of a share, and an open directory on each of its mounts, which opening them needs. */
export class Mounts {
  readonly #descriptors = new Map<number, number>();
  /** Roots of mounts below the share: what is below them is forgotten before they are. */
  readonly #roots = new Map<PassthroughNode, number>();

  /** The mount id of the share's root, and its file system's UUID. */
  #rootMount = "";
  #rootUuid: Buffer = Buffer.alloc(UUID_BYTES);

  /** Whether the file system of the share has handles and the process may open them. 0 or a negative errno. */
  start(root: PassthroughNode): number {
    const handle = this.handleOf(root);
    if (typeof handle === "number") {
      return handle;
    }
    this.#rootMount = handle.slice(0, MOUNT_BYTES);
    posix.fileSystemUuid(this.#descriptors.get(mountOf(handle)) ?? -1, this.#rootUuid);
    const fd = this.open(handle);
    return fd < 0 ? fd : posix.close(fd);
  }

  /** What names the file of a descriptor over restarts. -EOPNOTSUPP on other mounts than the root's. */
  identify(fd: number): FileIdentifier | number {
    const handle = posix.handleOf(fd);
    if (typeof handle === "number" || handle.slice(0, MOUNT_BYTES) !== this.#rootMount) {
      return typeof handle === "number" ? handle : -EOPNOTSUPP;
    }
    const bytes = Buffer.from(handle, "latin1");
    return {
      type: bytes.readInt32LE(MOUNT_BYTES),
      bytes: bytes.subarray(HEADER_BYTES),
      fileSystem: this.#rootUuid,
    };
  }

  /** Opens as a path what {@link identify} named. */
  openIdentified({ type, bytes, fileSystem }: FileIdentifier): number {
    if (!this.#rootUuid.equals(fileSystem)) {
      return -ESTALE;
    }
    const header = Buffer.alloc(MOUNT_BYTES);
    header.writeInt32LE(type);
    const rest = Buffer.concat([header, bytes]).toString("latin1");
    return this.open(this.#rootMount + rest);
  }

  /** The handle of a node that has this descriptor open, or a negative errno. */
  handleOf(node: PassthroughNode, fd = node.path): string | number {
    const handle = this.#usable(posix.handleOf(fd));
    if (handle !== -ESTALE || !node.isDirectory) {
      return handle;
    }
    return this.#addMount(node);
  }

  /**
   * A handle that finds a file by itself as long as the file exists, or a negative errno. A lazy node's is that of
   * whatever has its name now: what it opens counts only if it is the node's file. Overwrites `posix.attr`.
   */
  lastingHandle(node: PassthroughNode, pin: (parent: PassthroughNode) => number): string | number {
    if (this.#roots.has(node)) {
      // The host may unmount it.
      return -ESTALE;
    }
    if (node.handle !== "") {
      return node.handle;
    }
    const fd = node.path >= 0 ? node.path : (node.creator?.fd ?? -1);
    if (fd >= 0) {
      const isGone = posix.stat(fd) < 0 || posix.attr[Attr.NLINK] === 0;
      return isGone ? -ESTALE : this.handleOf(node, fd);
    }
    const directory = node.parent === undefined ? -ESTALE : pin(node.parent);
    return directory < 0 ? directory : this.#usable(posix.handleAt(directory, node.name));
  }

  /** The handle, unless nothing is open on its mount. */
  #usable(handle: string | number): string | number {
    return typeof handle === "number" || this.#descriptors.has(mountOf(handle)) ? handle : -ESTALE;
  }

  /** The handle of a directory, which serves to open those of its mount. */
  #addMount(node: PassthroughNode): string | number {
    const handle = posix.handleOf(node.path);
    if (typeof handle === "number") {
      return handle;
    }
    const fd = posix.reopen(node.path, constants.O_DIRECTORY);
    if (fd < 0) {
      return fd;
    }
    this.#descriptors.set(mountOf(handle), fd);
    return handle;
  }

  /** A directory on another mount than its parent was found. */
  entered(node: PassthroughNode): void {
    if (this.#roots.has(node)) {
      return;
    }
    const handle = this.handleOf(node);
    if (typeof handle === "string") {
      this.#roots.set(node, mountOf(handle));
    }
  }

  /** The node is forgotten. If it was a mount's root, the host can unmount it from now on. */
  left(node: PassthroughNode): void {
    const mount = this.#roots.get(node);
    if (mount !== undefined) {
      posix.close(this.#descriptors.get(mount) ?? -1);
      this.#descriptors.delete(mount);
      this.#roots.delete(node);
    }
  }

  /** Opens a handle with open(2) `flags`, as a path unless given. Errors: ESTALE when the file is gone. */
  open(handle: string, flags = O_PATH): number {
    const mount = this.#descriptors.get(mountOf(handle));
    return mount === undefined ? -ESTALE : posix.openHandle(mount, handle, flags);
  }

  close(): void {
    for (const fd of this.#descriptors.values()) {
      posix.close(fd);
    }
    this.#descriptors.clear();
    this.#roots.clear();
  }
}
