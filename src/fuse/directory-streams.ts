import type { VfsHandle, VfsNode } from "../vfs/node.js";

/** Listings that wait for being gone on with. */
const MOST_STREAMS = 64;

/** A directory that is being listed, and where its reader will go on. */
export interface DirectoryStream {
  readonly node: VfsNode;
  readonly handle: VfsHandle;
  nextLow: number;
  nextHigh: number;
}

/**
 * The listings of a guest that reads directories without having opened them (NO_OPENDIR_SUPPORT). Who goes on where a
 * listing has stopped goes on with it, so that each reader sees the directory as it was when he began.
 */
export class DirectoryStreams {
  /** Those that nobody reads at the moment, the one used last at the end. */
  #idle: DirectoryStream[] = [];
  readonly #release: (handle: VfsHandle) => void;
  #isEnded = false;

  /** @param release closes a handle in the backend */
  constructor(release: (handle: VfsHandle) => void) {
    this.#release = release;
  }

  /** The listing that has stopped at this offset. It is to be given back with {@link give} or {@link close}. */
  take(node: VfsNode, low: number, high: number): DirectoryStream | undefined {
    const index = this.#idle.findLastIndex(
      (stream) => stream.node === node && stream.nextLow === low && stream.nextHigh === high,
    );
    return index < 0 ? undefined : this.#idle.splice(index, 1)[0];
  }

  give(stream: DirectoryStream): void {
    if (this.#isEnded || stream.node.tableIndex < 0) {
      this.close(stream);
      return;
    }
    this.#idle.push(stream);
    if (this.#idle.length > MOST_STREAMS) {
      const [oldest] = this.#idle.splice(0, 1);
      if (oldest !== undefined) {
        this.close(oldest);
      }
    }
  }

  /** A listing that has come to its end. */
  close(stream: DirectoryStream): void {
    this.#release(stream.handle);
  }

  /** The guest no longer knows the node. */
  forget(node: VfsNode): void {
    if (this.#idle.some((stream) => stream.node === node)) {
      for (const stream of this.#idle.filter((each) => each.node === node)) {
        this.close(stream);
      }
      this.#idle = this.#idle.filter((stream) => stream.node !== node);
    }
  }

  /** Closes all listings. */
  end(): void {
    this.#isEnded = true;
    for (const stream of this.#idle.splice(0)) {
      this.close(stream);
    }
  }
}
