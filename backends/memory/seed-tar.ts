import { readArchive } from "../../src/tar/archive-file.js";
import type { TarEntry } from "../../src/tar/entry.js";
import { TarReader } from "../../src/tar/reader.js";
import { GatewayError } from "../../src/vfs/gateway-error.js";
import { DirectoryNode, FileNode, type MemoryNode } from "./nodes.js";
import type { Planter } from "./planter.js";
import type { Progress } from "./progress.js";

/** Directories that the archive does not have itself. */
const IMPLIED = { mode: 0o755, uid: 0, gid: 0, atime: undefined, xattrs: new Map<string, Uint8Array>() };

/**
 * Puts entries of an archive into the tree. Names are looked up from the root of the share, one by one,
 * through directories alone: nothing is followed and nothing is outside.
 */
class ArchivePlanter {
  readonly #planter: Planter;
  readonly #reader: TarReader;
  readonly #progress: Progress;

  constructor(planter: Planter, reader: TarReader, progress: Progress) {
    this.#planter = planter;
    this.#reader = reader;
    this.#progress = progress;
  }

  async plantAll(): Promise<void> {
    for (;;) {
      const entry = await this.#reader.next();
      if (entry === undefined) {
        return;
      }
      try {
        await this.#plant(entry);
      } catch (err) {
        throw err instanceof GatewayError && !err.message.startsWith("does not fit")
          ? new GatewayError("environment", `${JSON.stringify(entry.path)}: ${err.message}`)
          : err;
      }
      this.#progress.entry();
    }
  }

  async #plant(entry: TarEntry): Promise<void> {
    const names = components(entry.path);
    const name = names.pop();
    if (name === undefined) {
      if (entry.type !== "directory") {
        throw new GatewayError("environment", "only a directory can be the root");
      }
      this.#planter.finish(this.#planter.tree.root, entry);
      return;
    }
    const parent = this.#directory(names);
    if (entry.type === "link") {
      const node = this.#find(components(entry.linkPath));
      if (node === undefined || node instanceof DirectoryNode) {
        const target = JSON.stringify(entry.linkPath);
        throw new GatewayError("environment", `a hard link to ${target}, which is no file of the archive`);
      }
      this.#clear(parent, name, node);
      if (parent.entries.get(name) === undefined) {
        this.#planter.link(node, parent, name);
      }
      return;
    }
    const node = this.#node(parent, name, entry);
    if (node instanceof FileNode) {
      await this.#fill(node, entry);
    }
    this.#planter.finish(node, entry);
  }

  /** The node of an entry: new, or the directory that is there already. */
  #node(parent: DirectoryNode, name: string, entry: TarEntry): MemoryNode {
    const existing = parent.entries.get(name)?.node;
    if (existing instanceof DirectoryNode && entry.type === "directory") {
      return existing;
    }
    this.#clear(parent, name, undefined);
    const { major, minor } = entry;
    const rdev = ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0;
    const type = entry.type === "link" ? "file" : entry.type;
    return this.#planter.plant(parent, name, type, entry.linkPath, rdev);
  }

  /** A later entry replaces an earlier one of its name, but not the one that it is a link to. */
  #clear(parent: DirectoryNode, name: string, keep: MemoryNode | undefined): void {
    const existing = parent.entries.get(name)?.node;
    if (existing === undefined || existing === keep) {
      return;
    }
    const { tree } = this.#planter;
    const isDirectory = existing instanceof DirectoryNode;
    if ((isDirectory ? tree.rmdir(parent, name) : tree.unlink(parent, name)) < 0) {
      throw new GatewayError("environment", "replaces a directory that is not empty");
    }
  }

  /** The directory of a path, made where the archive left it out. */
  #directory(names: readonly string[]): DirectoryNode {
    const { tree } = this.#planter;
    let directory = tree.root;
    for (const name of names) {
      let next = directory.entries.get(name)?.node;
      if (next === undefined) {
        next = this.#planter.plant(directory, name, "directory", "", 0);
        this.#planter.finish(next, {
          ...IMPLIED,
          mtime: { seconds: next.mtime, nanoseconds: next.mtimeNsec },
        });
      }
      if (!(next instanceof DirectoryNode)) {
        throw new GatewayError("environment", `${JSON.stringify(name)} on its path is not a directory`);
      }
      directory = next;
    }
    return directory;
  }

  #find(names: readonly string[]): MemoryNode | undefined {
    let node: MemoryNode | undefined = this.#planter.tree.root;
    for (const name of names) {
      node = node instanceof DirectoryNode ? node.entries.get(name)?.node : undefined;
    }
    return node;
  }

  async #fill(node: FileNode, entry: TarEntry): Promise<void> {
    const extents = entry.extents ?? [{ offset: 0n, length: entry.size }];
    let rest: Buffer = Buffer.alloc(0);
    for (const { offset, length } of extents) {
      for (let done = 0n; done < length; ) {
        rest = rest.length > 0 ? rest : await this.#reader.read();
        const left = length - done;
        const piece = left < BigInt(rest.length) ? rest.subarray(0, Number(left)) : rest;
        this.#planter.write(node, offset + done, piece);
        this.#progress.data(piece.length);
        done += BigInt(piece.length);
        rest = rest.subarray(piece.length);
      }
    }
    if (entry.extents !== undefined) {
      this.#planter.resize(node, entry.size);
    }
  }
}

/** The names on a path: absolute paths begin at the root of the share. @throws GatewayError for ".." */
function components(path: string): string[] {
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) {
    throw new GatewayError("environment", `${JSON.stringify(path)} leads outside of the archive`);
  }
  return names;
}

/** Fills a share from a tar archive, compressed with gzip or not. @throws GatewayError, or a system error */
export async function seedFromTar(planter: Planter, path: string, progress: Progress): Promise<void> {
  const reader = new TarReader(readArchive(path));
  try {
    await new ArchivePlanter(planter, reader, progress).plantAll();
  } finally {
    await reader.close();
  }
}
