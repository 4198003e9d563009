import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { getSystemErrorName } from "node:util";
import fc from "fast-check";
import { openHostDirectory, openHostEntry } from "../../../src/native/host-file.js";
import { posix } from "../../../src/native/posix.js";
import { GatewayError } from "../../../src/vfs/gateway-error.js";

// O_NONBLOCK: nobody is at the other end of a pipe.
const { O_CREAT, O_EXCL, O_TRUNC, O_RDONLY, O_WRONLY, O_APPEND, O_NONBLOCK } = fs.constants;
const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;
const S_IFIFO = 0o010000;
const S_IFCHR = 0o020000;

/** One change of a tree, or a look at it. */
export interface Operation {
  readonly text: string;
  /** What there is to say of how it went; throws a system error. */
  run(root: string): string | undefined;
}

/** Names meet often, in directories that all layers have, that some have, and that none has. */
const PATHS = [
  ..."a b c d e".split(" "),
  ..."d/a d/b d/s d/t d/s/a d/s/b d/t/a".split(" "),
  ..."e/a e/b e/d e/d/a e/d/s e/link e/pair".split(" "),
  ..."new new/a new/d new/d/a".split(" "),
];
const anyPath = fc.constantFrom(...PATHS);
const anyMode = fc.constantFrom(0o644, 0o600, 0o755, 0o700, 0o4755, 0o2755, 0o1777);
const anyId = fc.constantFrom(0, 7, 1000);
const anySize = fc.constantFrom(0, 1, 5, 4096, 10_000);
const anyXattr = fc.constantFrom(
  "user.x",
  "user.y",
  "trusted.z",
  "trusted.overlay.opaque",
  "trusted.overlay.redirect",
);
const anyText = fc.constantFrom("", "y", "x", "some text", "/d");

function operation(text: string, run: (root: string) => unknown): Operation {
  return {
    text,
    run: (root) => {
      const said = run(root);
      return typeof said === "string" ? said : undefined;
    },
  };
}

/** Runs a system call of the addon on an entry. */
function onEntry(path: string, call: (directory: number, name: string) => number): void {
  const directory = openHostDirectory(dirname(path));
  try {
    const status = call(directory.fd, basename(path));
    if (status < 0) {
      throw Object.assign(new Error(path), { code: getSystemErrorName(status) });
    }
  } finally {
    fs.closeSync(directory.fd);
  }
}

function onFile(path: string, call: (fd: number) => number): void {
  onEntry(path, (directory, name) => {
    const file = openHostEntry(directory, name, path);
    try {
      return call(file.fd);
    } finally {
      fs.closeSync(file.fd);
    }
  });
}

/** A change of a file that is not moved by it: its inode number stays. */
function change(text: string, path: string, run: (path: string) => void): Operation {
  return operation(text, (root) => {
    const place = join(root, path);
    const before = fs.lstatSync(place, { bigint: true, throwIfNoEntry: false });
    run(place);
    const after = fs.lstatSync(place, { bigint: true });
    if (before !== undefined && before.ino !== after.ino) {
      return "changed its inode number";
    }
    return undefined;
  });
}

function writeAt(path: string, flags: number, offset: number | null, bytes: string): void {
  const fd = fs.openSync(path, flags | O_NONBLOCK, 0o644);
  try {
    fs.writeSync(fd, Buffer.from(bytes), 0, bytes.length, offset);
  } finally {
    fs.closeSync(fd);
  }
}

function readText(path: string): string {
  const fd = fs.openSync(path, O_RDONLY | O_NONBLOCK);
  try {
    return fs.readFileSync(fd, "latin1");
  } finally {
    fs.closeSync(fd);
  }
}

const changes = [
  fc
    .tuple(anyPath, anyText, fc.constantFrom(0, O_TRUNC, O_EXCL))
    .map(([path, text, flags]) =>
      change(`create ${path} ${flags} ${text}`, path, (at) =>
        writeAt(at, O_WRONLY | O_CREAT | flags, 0, text),
      ),
    ),
  fc
    .tuple(anyPath, anySize, anyText)
    .map(([path, offset, text]) =>
      change(`write ${path} at ${offset} ${text}`, path, (at) => writeAt(at, O_WRONLY, offset, text)),
    ),
  fc
    .tuple(anyPath, anyText)
    .map(([path, text]) =>
      change(`append ${path} ${text}`, path, (at) => writeAt(at, O_WRONLY | O_APPEND, null, text)),
    ),
  fc
    .tuple(anyPath, anySize)
    .map(([path, size]) => change(`truncate ${path} ${size}`, path, (at) => fs.truncateSync(at, size))),
  fc
    .tuple(anyPath, anyMode)
    .map(([path, mode]) => change(`chmod ${path} ${mode.toString(8)}`, path, (at) => fs.chmodSync(at, mode))),
  fc
    .tuple(anyPath, anyId, anyId)
    .map(([path, uid, gid]) =>
      change(`chown ${path} ${uid} ${gid}`, path, (at) => fs.lchownSync(at, uid, gid)),
    ),
  fc
    .tuple(anyPath, fc.nat(1_000_000))
    .map(([path, time]) => change(`utimes ${path} ${time}`, path, (at) => fs.lutimesSync(at, time, time))),
  fc
    .tuple(anyPath, anyXattr, anyText)
    .map(([path, name, value]) =>
      change(`setxattr ${path} ${name} ${value}`, path, (at) =>
        onFile(at, (fd) => posix.setXattr(fd, name, Buffer.from(value), 0)),
      ),
    ),
  fc
    .tuple(anyPath, anyXattr)
    .map(([path, name]) =>
      change(`removexattr ${path} ${name}`, path, (at) => onFile(at, (fd) => posix.removeXattr(fd, name))),
    ),
];

function rename(root: string, from: string, to: string, flags: number): void {
  onEntry(join(root, from), (source, name) => {
    let status = 0;
    onEntry(join(root, to), (target, newName) => {
      status = posix.rename(source, name, target, newName, flags, 0, 0, -1);
      return status;
    });
    return status;
  });
}

const names = [
  anyPath.map((path) => operation(`unlink ${path}`, (root) => fs.unlinkSync(join(root, path)))),
  anyPath.map((path) => operation(`rmdir ${path}`, (root) => fs.rmdirSync(join(root, path)))),
  anyPath.map((path) =>
    operation(`rm -r ${path}`, (root) => fs.rmSync(join(root, path), { recursive: true })),
  ),
  fc
    .tuple(anyPath, anyMode)
    .map(([path, mode]) =>
      operation(`mkdir ${path} ${mode.toString(8)}`, (root) => void fs.mkdirSync(join(root, path), mode)),
    ),
  fc
    .tuple(anyPath, anyPath, fc.constantFrom(0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE))
    .map(([from, to, flags]) =>
      operation(`rename ${from} ${to} ${flags}`, (root) => rename(root, from, to, flags)),
    ),
  fc
    .tuple(anyPath, anyPath)
    .map(([from, to]) =>
      operation(`link ${from} ${to}`, (root) => fs.linkSync(join(root, from), join(root, to))),
    ),
  fc
    .tuple(anyPath, anyPath)
    .map(([target, path]) =>
      operation(`symlink ${target} ${path}`, (root) => fs.symlinkSync(target, join(root, path))),
    ),
  // Not a device 0:0: the kernel refuses it, and ours keeps it for overlays in a guest.
  fc
    .tuple(anyPath, fc.constantFrom<[number, number]>([S_IFIFO, 0], [S_IFCHR, 0x103]))
    .map(([path, [type, rdev]]) =>
      operation(`mknod ${path} ${type.toString(8)} ${rdev}`, (root) =>
        onEntry(join(root, path), (directory, name) =>
          posix.makeNode(directory, name, type | 0o644, rdev, 0, 0, -1),
        ),
      ),
    ),
];

const looks = [
  anyPath.map((path) =>
    operation(`list ${path}`, (root) => fs.readdirSync(join(root, path), "latin1").sort().join()),
  ),
  anyPath.map((path) => operation(`read ${path}`, (root) => readText(join(root, path)).slice(0, 50))),
];

export const anyOperation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 5, arbitrary: fc.oneof(...changes) },
  { weight: 8, arbitrary: fc.oneof(...names) },
  { weight: 1, arbitrary: fc.oneof(...looks) },
);

/** How an operation went, as one line. */
export function outcome({ text, run }: Operation, root: string): string {
  try {
    return `${text}: ${run(root) ?? "ok"}`;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Errors of the addon's wrapper end in the name of the error.
    const name = error instanceof GatewayError ? error.message.split(": ").at(-1) : code;
    if (name === undefined) {
      throw error;
    }
    return `${text}: ${name}`;
  }
}

/** Makes the lower layers that all sequences begin with, `count` times side by side; top first. */
export const LOWER_SCRIPT = `
  mkdir -p top/0 base/0
  cd base/0
  mkdir -p d/s d/t e/d/s && chmod 700 d/t && chown 5:6 d
  echo base-a >a; echo base-b >b; head -c 9000 /dev/zero >c; echo base-d-a >d/a; echo base-d-b >d/b; echo deep >d/s/a
  echo hidden >d/t/a; echo e-a >e/a; echo e-b >e/b; ln e/b e/pair; ln -s ../a e/link; echo deeper >e/d/a; echo x >e/d/s/x
  chmod 4755 e/a; chown 3:4 e/b; setfattr -n user.x -v base e/a; setfattr -n user.x -v directory d
  cd ../../top/0
  mkdir -p d/s d/t e && echo top-a >a; echo top-d-b >d/b; echo top >d/s/b
  mknod e/a c 0 0; setfattr -n trusted.overlay.opaque -v y d/t; echo pair >e/c; mkfifo d/pipe
  cd ../..
  find . -exec touch -h -d @1000.000000001 {} +`;
