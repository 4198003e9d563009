import fc from "fast-check";
import { type Actor, O, RENAME, S } from "./actor.js";
import { type Listing, line, type Model } from "./model.js";

/** An operation on both, and what to print of it. */
export interface Operation {
  readonly text: string;
  onModel(model: Model): void;
  onFiles(actor: Actor): void;
}

const NAMES = ["a", "b", "c"];
const name = fc.constantFrom(...NAMES);
const path = fc.oneof(
  { weight: 2, arbitrary: name },
  { weight: 3, arbitrary: fc.tuple(name, name).map((names) => names.join("/")) },
  { weight: 1, arbitrary: fc.tuple(name, name, name).map((names) => names.join("/")) },
);
const mode = fc.constantFrom(0o600, 0o644, 0o700, 0o755, 0o1777, 0o000);
const size = fc.constantFrom(0, 1, 7, 100, 4095, 4096, 4097, 10_000);
const data = fc.constantFrom("", "x", "some text", "0123456789".repeat(500));

function operation<T extends readonly unknown[]>(
  name: string,
  words: fc.Arbitrary<T>,
  onModel: (model: Model, ...words: T) => void,
  onFiles: (actor: Actor, ...words: T) => void,
): fc.Arbitrary<Operation> {
  return words.map((values) => ({
    text: `${name}(${JSON.stringify(values).slice(1, -1).slice(0, 60)})`,
    onModel: (model) => onModel(model, ...values),
    onFiles: (actor) => onFiles(actor, ...values),
  }));
}

/** Any operation on a small tree, most of which succeed. */
export const anyOperation: fc.Arbitrary<Operation> = fc.oneof(
  operation(
    "create",
    fc.tuple(path, mode),
    (model, at, bits) => model.create(at, bits),
    (actor, at, bits) => actor.create(at, "", bits),
  ),
  operation(
    "mkdir",
    fc.tuple(path, mode),
    (model, at, bits) => model.mkdir(at, bits),
    (actor, at, bits) => actor.mkdir(at, bits),
  ),
  operation(
    "symlink",
    fc.tuple(path),
    (model, at) => model.symlink("nowhere", at),
    (actor, at) => actor.symlink("nowhere", at),
  ),
  operation(
    "link",
    fc.tuple(path, path),
    (model, from, to) => model.link(from, to),
    (actor, from, to) => actor.link(from, to),
  ),
  operation(
    "unlink",
    fc.tuple(path),
    (model, at) => model.unlink(at),
    (actor, at) => actor.unlink(at),
  ),
  operation(
    "rmdir",
    fc.tuple(path),
    (model, at) => model.rmdir(at),
    (actor, at) => actor.rmdir(at),
  ),
  operation(
    "rename",
    fc.tuple(path, path, fc.boolean()),
    (model, from, to, noReplace) => model.rename(from, to, noReplace),
    (actor, from, to, noReplace) => actor.rename(from, to, noReplace ? RENAME.NOREPLACE : 0),
  ),
  operation(
    "chmod",
    fc.tuple(path, mode),
    (model, at, bits) => model.chmod(at, bits),
    (actor, at, bits) => actor.chmod(at, bits),
  ),
  operation(
    "write",
    fc.tuple(path, size, data),
    (model, at, offset, text) => text !== "" && model.write(at, offset, text),
    (actor, at, offset, text) => text !== "" && write(actor, at, offset, text),
  ),
  operation(
    "truncate",
    fc.tuple(path, size),
    (model, at, bytes) => model.truncate(at, bytes),
    (actor, at, bytes) => actor.truncate(at, bytes),
  ),
);

function write(actor: Actor, at: string, offset: number, text: string): void {
  const fd = actor.open(at, O.WRONLY);
  actor.write(fd, text, offset);
  actor.close(fd);
}

const KINDS: Readonly<Record<number, string>> = {
  [S.IFREG]: "file",
  [S.IFDIR]: "directory",
  [S.IFLNK]: "link",
};

/** The tree as {@link Model.listing} describes it. */
export function listFiles(actor: Actor, directory = "."): Listing {
  const prefix = directory === "." ? "" : `${directory}/`;
  return actor.list(directory).flatMap((entry) => {
    const at = prefix + entry;
    const { type, perm, nlink } = actor.lstat(at);
    const kind = KINDS[type] ?? "other";
    const text = kind === "file" ? actor.contents(at) : kind === "link" ? actor.readlink(at) : "";
    const here = line(at, kind, perm, nlink, text);
    return kind === "directory" ? [here, ...listFiles(actor, at)] : [here];
  });
}
