import { closeSync, readdirSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import {
  checked,
  HostContents,
  type HostFile,
  openHostDirectory,
  openHostEntry,
  readXattrs,
} from "../../src/native/host-file.js";
import { posix } from "../../src/native/posix.js";
import { type DirectoryNode, FileNode, type MemoryNode } from "./nodes.js";
import type { Planter } from "./planter.js";
import type { Progress } from "./progress.js";

/** Entries after which signals get their turn. */
const ENTRIES_PER_TURN = 256;

/** Copies a directory of the host, which may change meanwhile; links are never followed. */
class DirectoryPlanter {
  readonly #planter: Planter;
  readonly #progress: Progress;
  /** Files with more than one name, by identity. */
  readonly #linked = new Map<string, MemoryNode>();
  #entries = 0;

  constructor(planter: Planter, progress: Progress) {
    this.#planter = planter;
    this.#progress = progress;
  }

  async plantRoot(path: string): Promise<void> {
    const root = openHostDirectory(path);
    try {
      await this.#plantChildren(root.fd, this.#planter.tree.root, path);
      this.#finish(this.#planter.tree.root, root);
    } finally {
      closeSync(root.fd);
    }
  }

  async #plantChildren(fd: number, parent: DirectoryNode, path: string): Promise<void> {
    for (const name of readdirSync(`/proc/self/fd/${fd}`, "latin1")) {
      const childPath = `${path}/${name}`;
      const child = openHostEntry(fd, name, childPath);
      try {
        await this.#plant(parent, name, child, childPath);
      } finally {
        closeSync(child.fd);
      }
    }
  }

  async #plant(parent: DirectoryNode, name: string, file: HostFile, path: string): Promise<void> {
    this.#progress.entry();
    if (++this.#entries % ENTRIES_PER_TURN === 0) {
      await setImmediate();
    }
    const isLinked = file.nlink > 1 && file.type !== "directory";
    const known = isLinked ? this.#linked.get(file.identity) : undefined;
    if (known !== undefined) {
      this.#planter.link(known, parent, name);
      return;
    }
    const target = file.type === "symlink" ? posix.readLink(file.fd) : "";
    const rdev = file.type === "character" || file.type === "block" ? file.rdev : 0;
    if (typeof target === "number") {
      checked(target, path);
      return;
    }
    const node = this.#planter.plant(parent, name, file.type, target, rdev);
    if (file.type === "directory") {
      await this.#plantChildren(file.fd, node as DirectoryNode, path);
    } else if (node instanceof FileNode) {
      this.#copy(node, file, path);
    }
    this.#finish(node, file);
    if (isLinked) {
      this.#linked.set(file.identity, node);
    }
  }

  #finish(node: MemoryNode, file: HostFile): void {
    this.#planter.finish(node, { ...file, xattrs: readXattrs(file.fd) });
  }

  /** Copies contents, from hole to hole. */
  #copy(node: FileNode, file: HostFile, path: string): void {
    if (file.size === 0n) {
      return;
    }
    const contents = new HostContents(file, path);
    try {
      for (const extent of contents.extents(file.size)) {
        for (const { at, bytes } of contents.read(extent)) {
          this.#planter.write(node, at, bytes);
          this.#progress.data(bytes.length);
        }
      }
    } finally {
      contents.close();
    }
    this.#planter.resize(node, file.size);
  }
}

/** Fills a share with a copy of a host directory. @throws GatewayError, or a system error */
export async function seedFromDirectory(planter: Planter, path: string, progress: Progress): Promise<void> {
  checked(posix.prepareThread(), "/proc/self/fd");
  await new DirectoryPlanter(planter, progress).plantRoot(path);
}
