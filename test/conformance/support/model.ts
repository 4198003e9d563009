/** A file system that is nothing but names: what random operations are compared with. */

interface FileNode {
  readonly kind: "file" | "link";
  /** Contents, or the target of a symbolic link. */
  data: string;
  mode: number;
  nlink: number;
}

interface DirectoryNode {
  readonly kind: "directory";
  mode: number;
  readonly entries: Map<string, Node>;
}

type Node = FileNode | DirectoryNode;

const LINK_MODE = 0o777;

/** Thrown by the model's operations, with what Linux says. */
export class ModelError extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** One line per name, in order: what a walk over the tree sees. */
export type Listing = readonly string[];

export class Model {
  readonly #root: DirectoryNode = { kind: "directory", mode: 0o777, entries: new Map() };

  create(path: string, mode: number): void {
    this.#add(path, { kind: "file", data: "", mode, nlink: 1 });
  }

  mkdir(path: string, mode: number): void {
    this.#add(path, { kind: "directory", mode, entries: new Map() });
  }

  symlink(target: string, path: string): void {
    this.#add(path, { kind: "link", data: target, mode: LINK_MODE, nlink: 1 });
  }

  link(from: string, to: string): void {
    const node = this.#find(from);
    const [parent, name] = this.#place(to);
    if (parent.entries.has(name)) throw new ModelError("EEXIST");
    if (node.kind === "directory") throw new ModelError("EPERM");
    parent.entries.set(name, node);
    node.nlink++;
  }

  unlink(path: string): void {
    const [parent, name] = this.#place(path);
    const node = this.#entry(parent, name);
    if (node.kind === "directory") throw new ModelError("EISDIR");
    this.#drop(parent, name);
  }

  rmdir(path: string): void {
    const [parent, name] = this.#place(path);
    const node = this.#entry(parent, name);
    if (node.kind !== "directory") throw new ModelError("ENOTDIR");
    if (node.entries.size > 0) throw new ModelError("ENOTEMPTY");
    parent.entries.delete(name);
  }

  rename(from: string, to: string, noReplace: boolean): void {
    const [fromParent, fromName] = this.#place(from);
    const [toParent, toName] = this.#place(to);
    const node = this.#entry(fromParent, fromName);
    const target = toParent.entries.get(toName);
    if (target !== undefined && noReplace) throw new ModelError("EEXIST");
    if (node.kind === "directory" && this.#contains(node, toParent)) throw new ModelError("EINVAL");
    if (target?.kind === "directory" && this.#contains(target, fromParent)) throw new ModelError("ENOTEMPTY");
    if (target === node) return;
    if (target !== undefined) this.#overwrite(node, target, toParent, toName);
    fromParent.entries.delete(fromName);
    toParent.entries.set(toName, node);
  }

  #overwrite(node: Node, target: Node, parent: DirectoryNode, name: string): void {
    if (node.kind === "directory") {
      if (target.kind !== "directory") throw new ModelError("ENOTDIR");
      if (target.entries.size > 0) throw new ModelError("ENOTEMPTY");
    } else if (target.kind === "directory") {
      throw new ModelError("EISDIR");
    }
    this.#drop(parent, name);
  }

  chmod(path: string, mode: number): void {
    const node = this.#find(path);
    // Symbolic links of this model lead nowhere.
    if (node.kind === "link") throw new ModelError("ENOENT");
    node.mode = mode;
  }

  write(path: string, offset: number, data: string): void {
    const file = this.#file(path);
    const padded = file.data.padEnd(offset, "\0");
    file.data = padded.slice(0, offset) + data + padded.slice(offset + data.length);
  }

  truncate(path: string, size: number): void {
    const file = this.#file(path);
    file.data = file.data.slice(0, size).padEnd(size, "\0");
  }

  #file(path: string): FileNode {
    const node = this.#find(path);
    if (node.kind === "link") throw new ModelError("ENOENT");
    if (node.kind === "directory") throw new ModelError("EISDIR");
    return node;
  }

  listing(): Listing {
    return list(this.#root, "");
  }

  #add(path: string, node: Node): void {
    const [parent, name] = this.#place(path);
    if (parent.entries.has(name)) throw new ModelError("EEXIST");
    parent.entries.set(name, node);
  }

  #drop(parent: DirectoryNode, name: string): void {
    const node = parent.entries.get(name);
    parent.entries.delete(name);
    if (node !== undefined && node.kind !== "directory") node.nlink--;
  }

  #contains(directory: DirectoryNode, candidate: DirectoryNode): boolean {
    if (directory === candidate) return true;
    return [...directory.entries.values()].some(
      (entry) => entry.kind === "directory" && this.#contains(entry, candidate),
    );
  }

  #place(path: string): [DirectoryNode, string] {
    const parts = path.split("/");
    const name = parts.pop() as string;
    let at = this.#root;
    for (const part of parts) {
      const next = this.#entry(at, part);
      if (next.kind === "link") throw new ModelError("ENOENT");
      if (next.kind !== "directory") throw new ModelError("ENOTDIR");
      at = next;
    }
    return [at, name];
  }

  #find(path: string): Node {
    const [parent, name] = this.#place(path);
    return this.#entry(parent, name);
  }

  #entry(parent: DirectoryNode, name: string): Node {
    const node = parent.entries.get(name);
    if (node === undefined) throw new ModelError("ENOENT");
    return node;
  }
}

function list(directory: DirectoryNode, prefix: string): string[] {
  const lines: string[] = [];
  for (const [name, node] of [...directory.entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
    lines.push(describe(prefix + name, node));
    if (node.kind === "directory") lines.push(...list(node, `${prefix}${name}/`));
  }
  return lines;
}

function describe(path: string, node: Node): string {
  if (node.kind !== "directory") return line(path, node.kind, node.mode, node.nlink, node.data);
  const subdirectories = [...node.entries.values()].filter((entry) => entry.kind === "directory").length;
  return line(path, node.kind, node.mode, 2 + subdirectories, "");
}

/** A line of a {@link Listing}. */
export function line(path: string, kind: string, mode: number, nlink: number, data: string): string {
  return `${path} ${kind} ${mode.toString(8)} ${nlink} ${JSON.stringify(data)}`;
}
