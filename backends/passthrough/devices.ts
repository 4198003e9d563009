import { Medium, posix } from "../../src/native/posix.js";
import { Attr } from "../../src/vfs/attributes.js";
import type { PassthroughNode } from "./node.js";

/** Copying as much from memory to memory takes less time than handing it to another thread. */
export const QUICK_COPY_BYTES = 256 * 1024;

/** What kind of file system each device of a share is, and where remote ones are mounted in it. */
export class Devices {
  readonly #media = new Map<number, number>();
  /** Names of mount points of remote file systems, by the directory that has them. */
  readonly #remoteRoots = new Map<PassthroughNode, Set<string>>();
  // Nearly every share is one file system.
  #lastDevice = -1;
  #lastMedium: number = Medium.OTHER;

  /** A file's descriptor was opened. */
  saw(node: PassthroughNode): void {
    if (!this.#media.has(node.dev)) {
      this.#media.set(node.dev, posix.medium(node.path));
      this.#lastDevice = -1;
    }
  }

  /** {@link Medium} of a file. */
  mediumOf(node: PassthroughNode): number {
    if (node.dev !== this.#lastDevice) {
      this.#lastDevice = node.dev;
      this.#lastMedium = this.#media.get(node.dev) ?? Medium.OTHER;
    }
    return this.#lastMedium;
  }

  /** The entry `name` is the root of another file system. */
  entered(parent: PassthroughNode, name: string, root: PassthroughNode): void {
    if (this.mediumOf(root) !== Medium.REMOTE) {
      return;
    }
    let names = this.#remoteRoots.get(parent);
    if (names === undefined) {
      names = new Set();
      this.#remoteRoots.set(parent, names);
    }
    names.add(name);
  }

  isRemoteRoot(parent: PassthroughNode, name: string): boolean {
    return this.#remoteRoots.size > 0 && this.#remoteRoots.get(parent)?.has(name) === true;
  }

  hasRemoteRoots(parent: PassthroughNode): boolean {
    return this.#remoteRoots.size > 0 && this.#remoteRoots.has(parent);
  }

  /** Whether a disk has to free blocks when the file with these attributes goes. */
  waitsToFree(node: PassthroughNode, attr: Uint32Array): boolean {
    const isEmpty = attr[Attr.BLOCKS] === 0 && attr[Attr.BLOCKS + 1] === 0;
    return !isEmpty && this.mediumOf(node) !== Medium.MEMORY;
  }

  /** Closes the descriptor of a node that may have been the last to keep a removed file. */
  closeLast(node: PassthroughNode): void {
    if (this.mediumOf(node) === Medium.MEMORY) {
      posix.close(node.path);
    } else {
      posix.closeLast(node.path);
    }
    node.path = -1;
  }

  /** The node is gone. */
  forget(node: PassthroughNode): void {
    if (this.#remoteRoots.size > 0) {
      this.#remoteRoots.delete(node);
    }
  }
}
