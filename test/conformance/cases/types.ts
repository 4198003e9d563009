import type { Actor } from "../support/actor.js";
import { O, S } from "../support/actor.js";
import type { Capability } from "../support/capabilities.js";

/** A kind of file, and how to make one. */
export interface FileType {
  readonly name: string;
  readonly type: number;
  readonly directory: boolean;
  readonly needs: readonly Capability[];
  make(actor: Actor, path: string): void;
}

function fileType(name: string, type: number, make: FileType["make"], needs: Capability[] = []): FileType {
  return { name, type, directory: type === S.IFDIR, needs, make };
}

export const FILE = fileType("a file", S.IFREG, (actor, path) => actor.create(path, path));
export const EMPTY_DIRECTORY = fileType("an empty directory", S.IFDIR, (actor, path) => actor.mkdir(path));
export const FULL_DIRECTORY = fileType("a full directory", S.IFDIR, (actor, path) => {
  actor.mkdir(path);
  actor.create(`${path}/inside`);
});
export const SYMLINK = fileType("a symlink", S.IFLNK, (actor, path) => actor.symlink("nowhere", path));
export const FIFO = fileType("a fifo", S.IFIFO, (actor, path) => actor.mknod(path, S.IFIFO | 0o644), [
  "specialFiles",
]);
export const SOCKET = fileType("a socket", S.IFSOCK, (actor, path) => actor.mknod(path, S.IFSOCK | 0o644), [
  "specialFiles",
]);
export const DEVICE = fileType(
  "a character device",
  S.IFCHR,
  (actor, path) => actor.mknod(path, S.IFCHR | 0o644, 1, 3),
  ["specialFiles"],
);
export const BLOCK_DEVICE = fileType(
  "a block device",
  S.IFBLK,
  (actor, path) => actor.mknod(path, S.IFBLK | 0o644, 7, 300),
  ["specialFiles"],
);

/** Those that behave differently from each other where names are concerned. */
export const NAME_TYPES = [FILE, EMPTY_DIRECTORY, FULL_DIRECTORY, SYMLINK, FIFO] as const;
export const ALL_TYPES = [FILE, EMPTY_DIRECTORY, SYMLINK, FIFO, SOCKET, DEVICE, BLOCK_DEVICE] as const;

/** An operation that makes a name. */
export interface Maker {
  readonly name: string;
  readonly needs: readonly Capability[];
  make(actor: Actor, path: string): void;
}

/** Each way to make a name; `link` takes the file "linked", which the case has to make. */
export const MAKERS: readonly Maker[] = [
  { name: "open O_CREAT|O_EXCL", needs: [], make: (actor, path) => actor.create(path) },
  { name: "mkdir", needs: [], make: (actor, path) => actor.mkdir(path) },
  { name: "symlink", needs: [], make: (actor, path) => actor.symlink("target", path) },
  { name: "mknod of a file", needs: [], make: (actor, path) => actor.mknod(path, S.IFREG | 0o644) },
  {
    name: "mknod of a fifo",
    needs: ["specialFiles"],
    make: (actor, path) => actor.mknod(path, S.IFIFO | 0o644),
  },
  { name: "link", needs: ["hardLinks"], make: (actor, path) => actor.link("linked", path) },
  { name: "rename", needs: [], make: (actor, path) => actor.rename("linked", path) },
];

/** An operation on a name that exists. */
export interface User {
  readonly name: string;
  readonly needs: readonly Capability[];
  /** Takes a symbolic link itself, not what it points to. */
  readonly takesLink?: boolean;
  use(actor: Actor, path: string): void;
}

export const USERS: readonly User[] = [
  { name: "stat", needs: [], use: (actor, path) => void actor.stat(path) },
  { name: "lstat", needs: [], takesLink: true, use: (actor, path) => void actor.lstat(path) },
  { name: "open", needs: [], use: (actor, path) => actor.close(actor.open(path)) },
  { name: "open O_WRONLY", needs: [], use: (actor, path) => actor.close(actor.open(path, O.WRONLY)) },
  { name: "chmod", needs: [], use: (actor, path) => actor.chmod(path, 0o600) },
  { name: "chown", needs: [], use: (actor, path) => actor.chown(path, 1, 1) },
  { name: "lchown", needs: [], takesLink: true, use: (actor, path) => actor.lchown(path, 1, 1) },
  { name: "truncate", needs: [], use: (actor, path) => actor.truncate(path, 1) },
  { name: "utimens", needs: [], use: (actor, path) => actor.utimens(path, [1, 0], [1, 0]) },
  { name: "access", needs: [], use: (actor, path) => actor.access(path, 4) },
  { name: "statfs", needs: [], use: (actor, path) => void actor.statfs(path) },
  { name: "unlink", needs: [], takesLink: true, use: (actor, path) => actor.unlink(path) },
  { name: "readlink", needs: [], takesLink: true, use: (actor, path) => void actor.readlink(path) },
  { name: "rename away", needs: [], takesLink: true, use: (actor, path) => actor.rename(path, "moved") },
  {
    name: "link from",
    needs: ["hardLinks"],
    takesLink: true,
    use: (actor, path) => actor.link(path, "more"),
  },
  { name: "setxattr", needs: ["xattrs"], use: (actor, path) => actor.setxattr(path, "user.a", "1") },
  { name: "getxattr", needs: ["xattrs"], use: (actor, path) => void actor.getxattr(path, "user.a") },
  { name: "listxattr", needs: ["xattrs"], use: (actor, path) => void actor.listxattr(path) },
  { name: "removexattr", needs: ["xattrs"], use: (actor, path) => actor.removexattr(path, "user.a") },
];
