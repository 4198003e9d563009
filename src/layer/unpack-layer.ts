import { closeSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import type { HostFile } from "../native/host-file.js";
import type { TarEntry, TarTime } from "../tar/entry.js";
import type { TarReader } from "../tar/reader.js";
import { GatewayError } from "../vfs/gateway-error.js";
import type { LayerAttributes, LayerDirectory } from "./layer-directory.js";
import { AUFS_PREFIX, OPAQUE_ENTRY, WHITEOUT_PREFIX } from "./marks.js";

const MAX_NAME_BYTES = 255;
/** Linux's PATH_MAX. */
const MAX_PATH_BYTES = 4096;
const MAX_TARGET_BYTES = 4095;
/** Entries after which signals get their turn. */
const ENTRIES_PER_TURN = 256;
const EPOCH: TarTime = { seconds: 0, nanoseconds: 0 };
/** A directory that neither this archive nor a layer below describes. */
const IMPLIED: LayerAttributes = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtime: EPOCH,
  atime: EPOCH,
  xattrs: new Map<string, Uint8Array>(),
};

/** What the layers below know of a directory: the names on its path from the root. */
export type InheritedAttributes = (names: readonly string[]) => LayerAttributes | undefined;

function refuse(message: string): never {
  throw new GatewayError("environment", message);
}

function checkName(name: string): void {
  if (name.length > MAX_NAME_BYTES) {
    refuse(`a name of ${name.length} bytes: 255 is the limit`);
  }
  if (name === "" || name === "." || name === ".." || name.includes("\0")) {
    refuse(`${JSON.stringify(name)} is not a name that a file can have`);
  }
}

/** The names on a path. @throws GatewayError when it is too long or leads out of the layer */
function components(path: string): string[] {
  if (path.length > MAX_PATH_BYTES) {
    refuse(`a path of ${path.length} bytes: ${MAX_PATH_BYTES} is the limit`);
  }
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) {
    refuse(`${JSON.stringify(path)} leads out of the layer`);
  }
  return names;
}

/**
 * Unpacks one archive of an image into a layer. Nothing in the archive is trusted: an entry that leads out
 * of the layer, through a link, or over a limit ends it with an error that names the entry.
 */
export class LayerUnpacker {
  readonly #layer: LayerDirectory;
  readonly #reader: TarReader;
  readonly #inherited: InheritedAttributes;
  /** Directories that this archive describes, or implies, and their times, which change while they are filled. */
  readonly #directories = new Map<string, Pick<LayerAttributes, "mtime" | "atime">>();

  constructor(layer: LayerDirectory, reader: TarReader, inherited: InheritedAttributes) {
    this.#layer = layer;
    this.#reader = reader;
    this.#inherited = inherited;
  }

  /** @throws GatewayError */
  async unpackAll(): Promise<void> {
    this.#imply(this.#requireRoot(), []);
    for (let entries = 1; ; entries++) {
      const entry = await this.#reader.next();
      if (entry === undefined) {
        break;
      }
      try {
        await this.#unpack(entry);
      } catch (err) {
        if (err instanceof GatewayError) {
          throw new GatewayError("environment", `entry ${JSON.stringify(entry.path)}: ${err.message}`);
        }
        throw err;
      }
      if (entries % ENTRIES_PER_TURN === 0) {
        await setImmediate();
      }
    }
    for (const [path, { mtime, atime }] of this.#directories) {
      const directory = this.#layer.lookDirectory(path === "" ? [] : path.split("/"));
      if (directory !== undefined) {
        this.#layer.setTimes(directory.fd, mtime, atime, path);
      }
    }
  }

  async #unpack(entry: TarEntry): Promise<void> {
    if (entry.path.startsWith("/")) {
      refuse("an absolute path");
    }
    const names = components(entry.path);
    const name = names.pop();
    if (name === undefined) {
      if (entry.type !== "directory") {
        refuse("only a directory can be the root");
      }
      this.#describeDirectory(this.#requireRoot(), "", entry);
      return;
    }
    for (const each of names) {
      if (each.startsWith(WHITEOUT_PREFIX)) {
        refuse("something in the place of a whiteout");
      }
      checkName(each);
    }
    if (name.startsWith(WHITEOUT_PREFIX)) {
      this.#hide(names, name);
      return;
    }
    checkName(name);
    if (entry.type === "link") {
      this.#link(names, name, entry);
    } else {
      await this.#make(this.#directory(names), [...names, name], entry);
    }
  }

  #hide(names: readonly string[], name: string): void {
    if (name === OPAQUE_ENTRY) {
      this.#layer.hideAll(this.#directory(names));
    } else if (!name.startsWith(AUFS_PREFIX)) {
      const hidden = name.slice(WHITEOUT_PREFIX.length);
      checkName(hidden);
      this.#layer.hide(this.#directory(names), hidden);
    }
  }

  #link(names: readonly string[], name: string, entry: TarEntry): void {
    const targetNames = components(entry.linkPath);
    const targetName = targetNames.pop();
    const directory = targetName === undefined ? undefined : this.#layer.findDirectory(targetNames);
    const target = directory === undefined ? undefined : this.#layer.find(directory, targetName as string);
    if (target === undefined) {
      refuse(`a hard link to ${JSON.stringify(entry.linkPath)}, which is not in this layer`);
    }
    try {
      if (target.type === "directory" || this.#layer.marks.isWhiteout(target)) {
        refuse(`a hard link to ${JSON.stringify(entry.linkPath)}, which is no file`);
      }
      this.#layer.makeLink(this.#directory(names), name, target);
    } finally {
      closeSync(target.fd);
    }
  }

  async #make(parent: HostFile, names: readonly string[], entry: TarEntry): Promise<void> {
    const name = names.at(-1) as string;
    const layer = this.#layer;
    switch (entry.type) {
      case "directory":
        layer.makeDirectory(parent, name);
        this.#withFile(parent, name, (file) => this.#describeDirectory(file, names.join("/"), entry));
        return;
      case "file":
        await this.#makeFile(parent, name, entry);
        return;
      case "symlink":
        if (entry.linkPath === "" || entry.linkPath.length > MAX_TARGET_BYTES || /\0/.test(entry.linkPath)) {
          refuse("not a target that a symbolic link can have");
        }
        layer.makeSymlink(parent, name, entry.linkPath);
        break;
      case "character":
      case "block":
      case "fifo":
        if (!this.#makeSpecial(parent, name, entry.type, entry)) {
          return;
        }
        break;
      case "link":
      case "socket":
        return;
    }
    this.#withFile(parent, name, (file) => layer.setAttributes(file.fd, entry.type, entry, name));
  }

  #makeSpecial(
    parent: HostFile,
    name: string,
    type: "character" | "block" | "fifo",
    entry: TarEntry,
  ): boolean {
    const { major, minor } = entry;
    const rdev =
      type === "fifo" ? 0 : ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0;
    if (type === "character" && rdev === 0) {
      refuse("a device 0:0, which would hide what is below; archives say that with .wh.");
    }
    return this.#layer.makeSpecial(parent, name, type, rdev);
  }

  async #makeFile(parent: HostFile, name: string, entry: TarEntry): Promise<void> {
    const fd = this.#layer.makeFile(parent, name);
    try {
      await this.#fill(fd, entry, name);
      this.#layer.setAttributes(fd, "file", entry, name);
    } finally {
      closeSync(fd);
    }
  }

  async #fill(fd: number, entry: TarEntry, name: string): Promise<void> {
    let rest: Buffer = Buffer.alloc(0);
    for (const { offset, length } of entry.extents ?? [{ offset: 0n, length: entry.size }]) {
      for (let done = 0n; done < length; ) {
        rest = rest.length > 0 ? rest : await this.#reader.read();
        const left = length - done;
        const piece = left < BigInt(rest.length) ? rest.subarray(0, Number(left)) : rest;
        this.#layer.write(fd, offset + done, piece, name);
        done += BigInt(piece.length);
        rest = rest.subarray(piece.length);
      }
    }
    if (entry.extents !== undefined) {
      this.#layer.resize(fd, entry.size, name);
    }
  }

  #describeDirectory(directory: HostFile, path: string, attributes: LayerAttributes): void {
    this.#layer.setAttributes(directory.fd, "directory", attributes, path);
    this.#directories.set(path, attributes);
  }

  /** A directory that is only implied looks as it does below, which it would hide otherwise. */
  #imply(directory: HostFile, names: readonly string[]): void {
    this.#describeDirectory(directory, names.join("/"), this.#inherited(names) ?? IMPLIED);
  }

  /** The directory of an entry, made where the archive left it out. */
  #directory(names: readonly string[]): HostFile {
    const found = this.#layer.findDirectory(names);
    if (found !== undefined) {
      return found;
    }
    const parentNames = names.slice(0, -1);
    const name = names.at(-1) as string;
    const parent = this.#directory(parentNames);
    this.#layer.makeDirectory(parent, name);
    this.#withFile(parent, name, (file) => this.#imply(file, names));
    return this.#directory(names);
  }

  #requireRoot(): HostFile {
    return this.#layer.findDirectory([]) as HostFile;
  }

  #withFile(parent: HostFile, name: string, use: (file: HostFile) => void): void {
    const file = this.#layer.find(parent, name);
    if (file === undefined) {
      refuse("somebody removes the files of the layer");
    }
    try {
      use(file);
    } finally {
      closeSync(file.fd);
    }
  }
}
