import { createHash } from "node:crypto";
import { closeSync, readdirSync } from "node:fs";
import {
  HostContents,
  type HostFile,
  openHostDirectory,
  openHostEntry,
  readXattrs,
} from "../../src/native/host-file.js";
import { posix } from "../../src/native/posix.js";

/** What a manifest says beside names, types, modes, owners, contents, targets and devices. */
export interface ManifestOptions {
  /** Of which files the modification time counts; of none by default. */
  readonly times?: (file: HostFile) => boolean;
  /** Which names are links to the same file, and how many there are. */
  readonly links?: boolean;
  /** Which extended attributes count; all of them by default. */
  readonly xattrs?: (name: string) => boolean;
  /** Which entries count, with all below them. */
  readonly entries?: (path: string) => boolean;
}

function contentsOf(file: HostFile, path: string): string {
  const hash = createHash("sha256");
  if (file.size > 0n) {
    const contents = new HostContents(file, path);
    for (const { bytes } of contents.read({ offset: 0n, length: file.size })) {
      hash.update(bytes);
    }
    contents.close();
  }
  return `${file.size} ${hash.digest("hex").slice(0, 16)}`;
}

/** Describes a tree of the host, one line for each file, in order. */
export function manifest(root: string, options: ManifestOptions = {}): string[] {
  posix.prepareThread();
  const { times = () => false, links = true, xattrs = () => true, entries = () => true } = options;
  const lines: string[] = [];
  const firsts = new Map<string, string>();

  const describe = (file: HostFile, path: string) => {
    const words = [path, file.type, file.mode.toString(8), `${file.uid}:${file.gid}`];
    if (file.type === "file") {
      words.push(contentsOf(file, path));
    } else if (file.type === "symlink") {
      words.push(`-> ${posix.readLink(file.fd)}`);
    } else if (file.type === "character" || file.type === "block") {
      words.push(`device ${file.rdev}`);
    }
    if (times(file)) {
      words.push(`mtime ${file.mtime.seconds}.${file.mtime.nanoseconds}`);
    }
    if (links && file.type !== "directory" && file.nlink > 1) {
      const first = firsts.get(file.identity) ?? path;
      firsts.set(file.identity, first);
      words.push(`${file.nlink} links, as ${first}`);
    }
    for (const [name, value] of [...readXattrs(file.fd)].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (xattrs(name)) {
        words.push(`${name}=${Buffer.from(value).toString("hex")}`);
      }
    }
    lines.push(words.join(" "));
  };
  const visit = (file: HostFile, path: string) => {
    if (!entries(path)) {
      return;
    }
    describe(file, path);
    if (file.type === "directory") {
      for (const name of readdirSync(`/proc/self/fd/${file.fd}`, "latin1").sort()) {
        const childPath = `${path === "/" ? "" : path}/${name}`;
        using(openHostEntry(file.fd, name, childPath), (child) => visit(child, childPath));
      }
    }
  };
  using(openHostDirectory(root), (top) => visit(top, "/"));
  return lines;
}

/** A descriptor that stays open would keep a mount busy. */
function using(file: HostFile, use: (file: HostFile) => void): void {
  try {
    use(file);
  } finally {
    closeSync(file.fd);
  }
}
