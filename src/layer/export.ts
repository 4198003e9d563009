import { closeSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { checked, HostContents, type HostFile, openHostDirectory, readXattrs } from "../native/host-file.js";
import { posix } from "../native/posix.js";
import { writeArchive } from "../tar/archive-file.js";
import type { TarEntry, TarExtent } from "../tar/entry.js";
import { TarWriter } from "../tar/writer.js";
import { GatewayError } from "../vfs/gateway-error.js";
import { lowerLinks, namesIn, originOfLinked } from "./lower-links.js";
import { Marks, OPAQUE_ENTRY, WHITEOUT_PREFIX } from "./marks.js";
import { MergedDirectory } from "./merged-directory.js";
import { Omissions } from "./omissions.js";

/** Entries after which signals get their turn. */
const ENTRIES_PER_TURN = 256;
const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

/** What `layer export` is asked to do. */
export interface ExportRequest {
  /** Upper directory of an overlay that nothing changes meanwhile. */
  readonly upper: string;
  /** Its lower directories, top first; needed only for what the upper refers to in them. */
  readonly lowers: readonly string[];
  /** Archive to write; .gz and .tgz compress. */
  readonly output: string;
}

function fail(path: string, reason: string): never {
  throw new GatewayError("environment", `${JSON.stringify(path)}: ${reason}`);
}

/** Writes what an upper directory changes as the entries of a layer, always in the same order. */
class LayerWriter {
  readonly #marks: Marks;
  readonly #writer: TarWriter;
  readonly #omissions: Omissions;
  readonly #hasLowers: boolean;
  /** Paths of files with more names, by identity. */
  readonly #linked = new Map<string, string>();
  /** Files that have more names in lower layers, by their origin there. */
  readonly #linkedBelow = new Map<string, { file: HostFile; path: string }>();
  #entries = 0;

  constructor(marks: Marks, writer: TarWriter, omissions: Omissions, hasLowers: boolean) {
    this.#marks = marks;
    this.#writer = writer;
    this.#omissions = omissions;
    this.#hasLowers = hasLowers;
  }

  async writeAll(root: MergedDirectory): Promise<void> {
    await this.#write(root.top, "./", undefined);
    await this.#writeChanges(root, "");
    if (this.#linkedBelow.size > 0) {
      // Last, because directories of such names may have no entry, and their files have.
      for (const [path, target] of lowerLinks(root, "", this.#linkedBelow)) {
        await this.#write(target.file, path, target.path);
      }
    }
    await this.#writer.finish();
  }

  /** What the top layer has in a directory. */
  async #writeChanges(directory: MergedDirectory, path: string): Promise<void> {
    if (this.#marks.isOpaque(directory.top.fd)) {
      await this.#writeMark(`${path}${OPAQUE_ENTRY}`);
    }
    for (const name of namesIn([directory.top])) {
      const file = directory.find(name);
      if (file === undefined) {
        await this.#writeMark(`${path}${WHITEOUT_PREFIX}${name}`);
        continue;
      }
      try {
        await this.#writeEntry(directory, file, name, path, false);
      } finally {
        closeSync(file.fd);
      }
    }
  }

  /** All that is to be seen in a directory whose lower part the archive cannot refer to. */
  async #writeEverything(directory: MergedDirectory, path: string): Promise<void> {
    for (const name of namesIn(directory.parts.map(({ file }) => file))) {
      const file = directory.find(name);
      if (file === undefined) {
        continue;
      }
      try {
        await this.#writeEntry(directory, file, name, path, true);
      } finally {
        closeSync(file.fd);
      }
    }
  }

  async #writeEntry(
    parent: MergedDirectory,
    file: HostFile,
    name: string,
    parentPath: string,
    everything: boolean,
  ): Promise<void> {
    const path = `${parentPath}${name}`;
    if (name.startsWith(WHITEOUT_PREFIX)) {
      fail(path, `a layer cannot hold names that begin with ${WHITEOUT_PREFIX}`);
    }
    if (file.type !== "directory") {
      await this.#writeFile(parent, file, name, path);
      return;
    }
    await this.#write(file, `${path}/`, undefined);
    const isMoved = this.#marks.get(file.fd, "redirect") !== undefined;
    if (isMoved && !this.#hasLowers) {
      fail(path, "a renamed directory of a lower layer; name the lower layers with --lower, top first");
    }
    const directory = parent.directory(name);
    try {
      if (isMoved && !directory.isMerged) {
        fail(path, "a renamed directory, but no --lower has the one that it was");
      }
      if (isMoved && !everything) {
        await this.#writeMark(`${path}/${OPAQUE_ENTRY}`);
      }
      await (everything || isMoved
        ? this.#writeEverything(directory, `${path}/`)
        : this.#writeChanges(directory, `${path}/`));
    } finally {
      directory.close();
    }
  }

  async #writeFile(parent: MergedDirectory, file: HostFile, name: string, path: string): Promise<void> {
    if (file.type === "socket") {
      this.#omissions.add("sockets");
      return;
    }
    const origin = originOfLinked(this.#marks, file);
    if (origin !== undefined && !this.#hasLowers) {
      fail(path, "has other names in a lower layer (index); name the lower layers with --lower, top first");
    }
    const known = file.nlink > 1 ? this.#linked.get(file.identity) : undefined;
    if (origin !== undefined && known === undefined) {
      this.#linkedBelow.set(origin, { file, path });
    }
    if (known !== undefined || this.#marks.get(file.fd, "metacopy") === undefined) {
      await this.#write(file, path, known);
      return;
    }
    const contents = parent.contents(name);
    if (contents === undefined) {
      fail(
        path,
        "its contents are in a lower layer (metacopy); name the lower layers with --lower, top first",
      );
    }
    try {
      await this.#write(file, path, undefined, contents);
    } finally {
      closeSync(contents.fd);
    }
  }

  /** Writes one entry; a file's contents are its own, or those of another file. */
  async #write(file: HostFile, path: string, linkPath: string | undefined, from = file): Promise<void> {
    if (file.nlink > 1 && file.type !== "directory") {
      this.#linked.set(file.identity, linkPath ?? path);
    }
    if (linkPath !== undefined || file.type !== "file" || file.size === 0n) {
      await this.#writer.begin(this.#describe(file, path, linkPath, undefined));
      await this.#end();
      return;
    }
    const contents = new HostContents(from, path);
    try {
      const extents = contents.extents(file.size);
      const isWhole = extents[0]?.length === file.size;
      await this.#writer.begin(this.#describe(file, path, undefined, isWhole ? undefined : extents));
      for (const extent of extents) {
        for (const { bytes } of contents.read(extent)) {
          await this.#writer.write(bytes);
        }
      }
    } finally {
      contents.close();
    }
    await this.#end();
  }

  #describe(
    file: HostFile,
    path: string,
    linkPath: string | undefined,
    extents: readonly TarExtent[] | undefined,
  ): TarEntry {
    const isDevice = file.type === "character" || file.type === "block";
    const rdev = isDevice ? file.rdev : 0;
    const target = linkPath ?? (file.type === "symlink" ? posix.readLink(file.fd) : "");
    return {
      path,
      type: linkPath !== undefined || file.type === "socket" ? "link" : file.type,
      mode: file.mode,
      uid: file.uid,
      gid: file.gid,
      mtime: file.mtime,
      // Reading sets atimes: the same upper would not give the same archive twice.
      atime: undefined,
      linkPath: typeof target === "string" ? target : fail(path, "the link cannot be read"),
      major: (rdev >>> 8) & 0xfff,
      minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00),
      xattrs: linkPath === undefined ? this.#xattrs(file.fd) : NO_XATTRS,
      size: linkPath === undefined && file.type === "file" ? file.size : 0n,
      extents,
    };
  }

  /** The image's own attributes in a fixed order. */
  #xattrs(fd: number): Map<string, Uint8Array> {
    const own: [string, Uint8Array][] = [];
    for (const [name, value] of readXattrs(fd)) {
      const unescaped = this.#marks.unescape(name);
      if (unescaped !== undefined) {
        own.push([unescaped, value]);
      }
    }
    return new Map(own.sort(([left], [right]) => (left < right ? -1 : 1)));
  }

  /** An empty file whose name says it all. */
  async #writeMark(path: string): Promise<void> {
    await this.#writer.begin({
      path,
      type: "file",
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: { seconds: 0, nanoseconds: 0 },
      atime: undefined,
      linkPath: "",
      major: 0,
      minor: 0,
      xattrs: NO_XATTRS,
      size: 0n,
      extents: undefined,
    });
    await this.#end();
  }

  async #end(): Promise<void> {
    this.#writer.end();
    if (++this.#entries % ENTRIES_PER_TURN === 0) {
      await setImmediate();
    }
  }
}

/**
 * Writes the changes of an overlay's upper directory as an OCI layer. The archive appears complete or not at all.
 * @returns one line for each kind of thing that was left out
 * @throws GatewayError, or a system error
 */
export async function exportLayer({ upper, lowers, output }: ExportRequest): Promise<readonly string[]> {
  checked(posix.prepareThread(), "/proc/self/fd");
  const marks = Marks.readableHere();
  const omissions = new Omissions();
  const roots: HostFile[] = [];
  try {
    for (const path of [upper, ...lowers]) {
      roots.push(openHostDirectory(path));
    }
    await writeArchive(output, async (sink) => {
      const writer = new LayerWriter(marks, new TarWriter(sink), omissions, lowers.length > 0);
      await writer.writeAll(MergedDirectory.root(roots, marks));
    });
  } finally {
    for (const { fd } of roots) {
      closeSync(fd);
    }
  }
  return omissions.lines();
}
