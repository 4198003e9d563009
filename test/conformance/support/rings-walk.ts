import {
  type Entry,
  type FuseClient,
  type Outcome,
  ROOT,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
} from "../../support/frontend/index.js";
import { FileError } from "./system.js";

const MAX_LINKS = 40;
const PATH_MAX = 4096;

/** A file as the last lookup showed it. */
export interface Found {
  readonly nodeid: bigint;
  readonly mode: number;
}

/** Where a name would be. */
export interface Place {
  readonly parent: Found;
  readonly name: string;
  /** The path ends with "/": only a directory will do. */
  readonly wantsDirectory: boolean;
}

/** The fields of a success; an error becomes a {@link FileError}. */
export function checked<O extends { readonly error: string | null }>(
  outcome: O,
  what: string,
): Extract<O, { readonly error: null }> {
  if (outcome.error !== null) throw new FileError(outcome.error, what);
  return outcome as Extract<O, { readonly error: null }>;
}

export function isDirectory(found: Found): boolean {
  return (found.mode & S_IFMT) === S_IFDIR;
}

export function isLink(found: Found): boolean {
  return (found.mode & S_IFMT) === S_IFLNK;
}

/** Walks paths as the kernel does: a LOOKUP for each component, symbolic links followed. */
export class PathWalker {
  readonly #client: FuseClient;
  /** How often the server has given each node. */
  readonly #lookups = new Map<bigint, number>();
  /** Directories from the root to where the actors are. */
  #start: Found[] = [{ nodeid: ROOT, mode: S_IFDIR }];

  constructor(client: FuseClient) {
    this.#client = client;
  }

  /** Forgets all nodes and starts the walks in a directory of the root. */
  begin(name: string): void {
    const nodes = [...this.#lookups].map(([nodeid, count]) => ({ nodeid, count }));
    if (nodes.length > 0) this.#client.batchForget(nodes);
    this.#lookups.clear();
    const root = { nodeid: ROOT, mode: S_IFDIR };
    this.#start = [root, this.entry(this.#client.lookup(ROOT, name), "begin")];
  }

  /** Forgets what is not in `used`, as a kernel forgets what nobody uses. */
  forgetUnused(used: ReadonlySet<bigint>): void {
    const kept = new Set([...used, ...this.#start.map(({ nodeid }) => nodeid)]);
    const nodes = [...this.#lookups]
      .filter(([nodeid]) => !kept.has(nodeid))
      .map(([nodeid, count]) => ({ nodeid, count }));
    if (nodes.length > 0) this.#client.batchForget(nodes);
    for (const { nodeid } of nodes) this.#lookups.delete(nodeid);
  }

  /** Takes note of an entry that the server has given. */
  entry(outcome: Outcome<Entry>, what: string): Found {
    const { nodeid, attr } = checked(outcome, what);
    this.#lookups.set(nodeid, (this.#lookups.get(nodeid) ?? 0) + 1);
    return { nodeid, mode: attr.mode };
  }

  lookup(parent: Found, name: string): Found {
    return this.entry(this.#client.lookup(parent.nodeid, name), `lookup ${name.slice(0, 40)}`);
  }

  /** The file that a path names. */
  find(path: string, follow = true): Found {
    return this.#resolve(path, follow).found;
  }

  /** The place that a path names, whether or not something is there. */
  place(path: string): Place {
    checkPath(path);
    const trimmed = path.replace(/\/+$/, "");
    const cut = trimmed.lastIndexOf("/");
    const name = trimmed.slice(cut + 1);
    const parent = cut < 0 ? (this.#start.at(-1) as Found) : this.#resolve(trimmed.slice(0, cut), true).found;
    if (!isDirectory(parent)) throw new FileError("ENOTDIR", path);
    return { parent, name, wantsDirectory: trimmed !== path };
  }

  #resolve(path: string, follow: boolean): { found: Found } {
    checkPath(path);
    const stack = [...this.#start];
    let parts = path.split("/");
    for (let links = 0; parts.length > 0; ) {
      const [name, ...rest] = parts as [string, ...string[]];
      parts = rest;
      const here = stack.at(-1) as Found;
      if (!isDirectory(here)) throw new FileError("ENOTDIR", path);
      if (name === "" || name === ".") continue;
      if (name === "..") {
        if (stack.length > 1) stack.pop();
        continue;
      }
      const found = this.lookup(here, name);
      if (!isLink(found) || (parts.length === 0 && !follow)) {
        stack.push(found);
        continue;
      }
      if (++links > MAX_LINKS) throw new FileError("ELOOP", path);
      parts = [...checked(this.#client.readlink(found.nodeid), path).target.split("/"), ...parts];
    }
    return { found: stack.at(-1) as Found };
  }
}

function checkPath(path: string): void {
  if (path === "") throw new FileError("ENOENT", "an empty path");
  if (path.length >= PATH_MAX) throw new FileError("ENAMETOOLONG", "a long path");
  if (path.startsWith("/")) throw new Error("paths of cases are relative, except with a kernel");
}
