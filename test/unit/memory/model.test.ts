import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Change } from "../../../src/vfs/attributes.js";
import { EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EPERM } from "../../../src/vfs/errno.js";
import type { VfsNode } from "../../../src/vfs/node.js";
import { MemoryShare, ROOT } from "./memory-share.js";

/** A file or directory in the plainest form; the same object under two names is a hard link. */
interface ModelNode {
  readonly entries: Map<string, ModelNode> | undefined;
  contents: Buffer;
}

const directory = (): ModelNode => ({ entries: new Map(), contents: Buffer.alloc(0) });
const file = (): ModelNode => ({ entries: undefined, contents: Buffer.alloc(0) });

type Path = readonly string[];
type Operation =
  | { kind: "mkdir" | "mknod" | "unlink" | "rmdir"; path: Path }
  | { kind: "link"; path: Path; to: Path }
  | { kind: "rename"; path: Path; to: Path; flags: number }
  | { kind: "write"; path: Path; offset: number; bytes: Uint8Array }
  | { kind: "truncate"; path: Path; size: number };

/** Where a path ends: the directory and the name in it, as Linux walks there. */
interface Place {
  readonly parent: ModelNode;
  readonly name: string;
}

class Model {
  readonly root = directory();

  walk(path: Path): Place | number {
    let node = this.root;
    for (const name of path.slice(0, -1)) {
      const next = node.entries?.get(name);
      if (next === undefined) {
        return -ENOENT;
      }
      if (next.entries === undefined) {
        return -ENOTDIR;
      }
      node = next;
    }
    return { parent: node, name: path.at(-1) as string };
  }

  at({ parent, name }: Place): ModelNode | undefined {
    return parent.entries?.get(name);
  }

  contains(node: ModelNode, wanted: ModelNode): boolean {
    return (
      node === wanted || [...(node.entries?.values() ?? [])].some((child) => this.contains(child, wanted))
    );
  }

  rename(from: Place, to: Place, flags: number): number {
    const [source, target] = [this.at(from), this.at(to)];
    if (source === undefined) {
      return -ENOENT;
    }
    if (target !== undefined && flags === 1) {
      return -EEXIST;
    }
    if (target === undefined && flags === 2) {
      return -ENOENT;
    }
    if (source.entries !== undefined && this.contains(source, to.parent)) {
      return -EINVAL;
    }
    if (target?.entries !== undefined && this.contains(target, from.parent)) {
      return flags === 2 ? -EINVAL : -ENOTEMPTY;
    }
    if (source === target) {
      return 0;
    }
    if (flags === 2) {
      from.parent.entries?.set(from.name, target as ModelNode);
      to.parent.entries?.set(to.name, source);
      return 0;
    }
    if (target !== undefined) {
      if ((source.entries === undefined) !== (target.entries === undefined)) {
        return source.entries === undefined ? -EISDIR : -ENOTDIR;
      }
      if ((target.entries?.size ?? 0) > 0) {
        return -ENOTEMPTY;
      }
    }
    from.parent.entries?.delete(from.name);
    to.parent.entries?.set(to.name, source);
    return 0;
  }

  remove(place: Place, isRmdir: boolean): number {
    const node = this.at(place);
    if (node === undefined) {
      return -ENOENT;
    }
    if ((node.entries !== undefined) !== isRmdir) {
      return isRmdir ? -ENOTDIR : -EISDIR;
    }
    if ((node.entries?.size ?? 0) > 0) {
      return -ENOTEMPTY;
    }
    place.parent.entries?.delete(place.name);
    return 0;
  }

  add(place: Place, node: ModelNode): number {
    if (this.at(place) !== undefined) {
      return -EEXIST;
    }
    place.parent.entries?.set(place.name, node);
    return 0;
  }

  write(place: Place, offset: number, bytes: Uint8Array): number {
    const node = this.at(place);
    if (node === undefined || node.entries !== undefined) {
      return node === undefined ? -ENOENT : -EISDIR;
    }
    const contents = Buffer.alloc(Math.max(node.contents.length, offset + bytes.length));
    node.contents.copy(contents);
    contents.set(bytes, offset);
    node.contents = contents;
    return bytes.length;
  }

  truncate(place: Place, size: number): number {
    const node = this.at(place);
    if (node === undefined || node.entries !== undefined) {
      return node === undefined ? -ENOENT : -EISDIR;
    }
    const contents = Buffer.alloc(size);
    node.contents.copy(contents);
    node.contents = contents;
    return 0;
  }

  run(operation: Operation): number {
    const place = this.walk(operation.path);
    const to = "to" in operation ? this.walk(operation.to) : undefined;
    if (typeof place === "number" || typeof to === "number") {
      return typeof place === "number" ? place : (to as number);
    }
    switch (operation.kind) {
      case "mkdir":
      case "mknod":
        return this.add(place, operation.kind === "mkdir" ? directory() : file());
      case "unlink":
      case "rmdir":
        return this.remove(place, operation.kind === "rmdir");
      case "link": {
        const node = this.at(place);
        if (node === undefined) {
          return -ENOENT;
        }
        const isTaken = this.at(to as Place) !== undefined;
        return isTaken ? -EEXIST : node.entries === undefined ? this.add(to as Place, node) : -EPERM;
      }
      case "rename":
        return this.rename(place, to as Place, operation.flags);
      case "write":
        return this.write(place, operation.offset, operation.bytes);
      case "truncate":
        return this.truncate(place, operation.size);
    }
  }
}

/** The same operations on a share; nodes are looked up anew for each. */
class Runner {
  readonly share = new MemoryShare({ sizeBytes: 8 << 20, inodeLimit: 10_000 });

  walk(path: Path): VfsNode | number {
    let node = this.share.root;
    for (const name of path) {
      const next = this.share.backend.lookup(ROOT, node, name, this.share.out);
      if (typeof next === "number") {
        return next;
      }
      node = next;
    }
    return node;
  }

  /** The directory in front of the last name, as the kernel finds it. */
  parent(path: Path): VfsNode | number {
    const node = this.walk(path.slice(0, -1));
    const isDirectory = typeof node === "number" || (this.share.stat(node).mode & 0o170000) === 0o040000;
    return isDirectory ? node : -ENOTDIR;
  }

  run(operation: Operation): number {
    const { backend, out } = this.share;
    const parent = this.parent(operation.path);
    const newParent = "to" in operation ? this.parent(operation.to) : this.share.root;
    if (typeof parent === "number" || typeof newParent === "number") {
      return typeof parent === "number" ? parent : (newParent as number);
    }
    const name = operation.path.at(-1) as string;
    const status = (result: VfsNode | number) => (typeof result === "number" ? result : 0);
    switch (operation.kind) {
      case "mkdir":
        return status(backend.mkdir(ROOT, parent, name, 0o755, out));
      case "mknod":
        return status(backend.mknod(ROOT, parent, name, 0o100644, 0, out));
      case "unlink":
        return backend.unlink(ROOT, parent, name);
      case "rmdir":
        return backend.rmdir(ROOT, parent, name);
      case "rename":
        return backend.rename(ROOT, parent, name, newParent, operation.to.at(-1) as string, operation.flags);
      case "link":
      case "write":
      case "truncate":
        return this.#onNode(operation, newParent);
    }
  }

  #onNode(operation: Operation, newParent: VfsNode): number {
    const { backend, out } = this.share;
    const node = this.walk(operation.path);
    if (typeof node === "number") {
      return node;
    }
    if (operation.kind === "link") {
      const linked = backend.link(ROOT, node, newParent, operation.to.at(-1) as string, out);
      return typeof linked === "number" ? linked : 0;
    }
    if (operation.kind === "truncate") {
      return this.share.setattr(node, { valid: Change.SIZE, size: BigInt(operation.size) });
    }
    const handle = backend.open(ROOT, node, 2);
    if (typeof handle === "number" || operation.kind !== "write") {
      return handle as number;
    }
    const count = backend.write(ROOT, handle, operation.offset, operation.bytes);
    backend.release(handle);
    return count;
  }
}

/** Names, types, link counts and contents of a model. */
function describeModel(model: Model): Record<string, unknown> {
  const links = new Map<ModelNode, number>();
  const count = (node: ModelNode) => {
    links.set(node, (links.get(node) ?? 0) + 1);
    node.entries?.forEach(count);
  };
  count(model.root);
  const result: Record<string, unknown> = {};
  const visit = (node: ModelNode, path: string) => {
    const children = [...(node.entries ?? [])];
    const subdirectories = children.filter(([, child]) => child.entries !== undefined).length;
    result[path] = [
      node.entries === undefined ? links.get(node) : 2 + subdirectories,
      node.contents.toString("hex"),
      children.map(([name]) => name).sort(),
    ];
    for (const [name, child] of children) {
      visit(child, `${path}/${name}`);
    }
  };
  visit(model.root, "");
  return result;
}

function describeShare(share: MemoryShare): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  const visit = (node: VfsNode, path: string) => {
    const { nlink, mode, size } = share.stat(node);
    const isDirectory = (mode & 0o170000) === 0o040000;
    const names = isDirectory ? share.names(node).slice(2).sort() : [];
    const handle = isDirectory ? undefined : share.open(node, 0);
    const contents =
      handle === undefined ? "" : Buffer.from(share.read(handle, 0, size), "latin1").toString("hex");
    if (handle !== undefined) {
      share.release(handle);
    }
    result[path] = [nlink, contents, names];
    for (const name of names) {
      visit(share.lookup(name, node), `${path}/${name}`);
    }
  };
  visit(share.root, "");
  return result;
}

const path = fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 3 });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ kind: fc.constantFrom("mkdir", "mkdir", "mknod", "mknod", "unlink", "rmdir"), path }),
  fc.record({ kind: fc.constant("link"), path, to: path }),
  fc.record({ kind: fc.constant("rename"), path, to: path, flags: fc.constantFrom(0, 0, 1, 2) }),
  fc.record({
    kind: fc.constant("write"),
    path,
    offset: fc.nat(9000),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 50 }),
  }),
  fc.record({ kind: fc.constant("truncate"), path, size: fc.nat(9000) }),
) as fc.Arbitrary<Operation>;

describe("any sequence of operations", () => {
  it("answers and leaves the tree as a plain model does", () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const [model, runner] = [new Model(), new Runner()];
        try {
          const before = runner.share.backend.statfs();
          for (const step of operations) {
            const expected = model.run(step);
            expect([step, runner.run(step)]).toEqual([step, expected]);
          }
          expect(describeShare(runner.share)).toEqual(describeModel(model));
          emptyOut(runner.share, runner.share.root);
          expect(runner.share.backend.statfs()).toEqual(before);
        } finally {
          runner.share.stop();
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** Removes everything, so that what was counted shows. */
function emptyOut(share: MemoryShare, node: VfsNode): void {
  for (const { name, type } of share.list(node).slice(2)) {
    const child = share.lookup(name, node);
    if (type === 4) {
      emptyOut(share, child);
      share.backend.rmdir(ROOT, node, name);
    } else {
      share.backend.unlink(ROOT, node, name);
    }
    share.forget(child);
  }
}
