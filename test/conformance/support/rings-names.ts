import { Body, Opcode, OUT_HEADER_BYTES, Xattr } from "../../support/frontend/index.js";
import { AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW, O } from "./actor.js";
import { setAttributes, statValues, timesChange } from "./rings-attributes.js";
import { addFile, type Context, type Handler, type OpenFile, openFile, type Words } from "./rings-system.js";
import { checked, type Found, isDirectory, isLink, type Place } from "./rings-walk.js";
import { FileError, type Value } from "./system.js";

const MAX_LINKS = 40;
const WRITABLE = 3;
/** Flags that the kernel keeps for itself when it opens an existing file. */
const NOT_SENT = O.CREAT | O.EXCL | O.NOFOLLOW | 0o400;
const OPEN_OUT_BYTES = 16;
const ENTRY_OUT_BYTES = 128;

/** "." and ".." cannot be made or deleted; the kernel says so itself. */
function named(place: Place, error: string): string {
  if (place.name === "." || place.name === ".." || place.name === "") throw new FileError(error, place.name);
  return place.name;
}

/** As get_create_supp_group() of Linux: the directory's group goes along when it is one of the caller's others. */
function bringGroup({ client, process }: Context, directory: bigint): void {
  if (process.groups.length === 0) return;
  const { gid } = checked(client.getattr(directory), "directory").attr;
  client.supplementaryGroup = gid !== process.gid && process.groups.includes(gid) ? gid : undefined;
}

/** The place of a new file that is no directory: "name/" is refused. */
function newFile(context: Context, path: string): { parent: bigint; name: string } {
  const place = context.walker.place(path);
  const name = named(place, "EEXIST");
  if (place.wantsDirectory) throw new FileError(exists(context, place) ? "EEXIST" : "ENOENT", path);
  bringGroup(context, place.parent.nodeid);
  return { parent: place.parent.nodeid, name };
}

function exists({ client }: Context, place: Place): boolean {
  const found = client.lookup(place.parent.nodeid, place.name);
  if (found.error === null) client.forget(found.nodeid);
  return found.error === null;
}

function lookupOrNothing(context: Context, place: Place): Found | undefined {
  const { client, walker } = context;
  const found = client.lookup(place.parent.nodeid, place.name);
  return found.error === "ENOENT" ? undefined : walker.entry(found, place.name);
}

function opened(file: Found, fh: bigint, flags: number): OpenFile {
  return { file, fh, flags, directory: isDirectory(file), position: 0n, references: 1 };
}

function openExisting(context: Context, found: Found, flags: number, path: string): Value[] {
  const { client, process } = context;
  if (isLink(found)) throw new FileError("ELOOP", path);
  if (isDirectory(found)) {
    if ((flags & WRITABLE) !== 0 || (flags & O.CREAT) !== 0) throw new FileError("EISDIR", path);
    return addFile(process, opened(found, checked(client.opendir(found.nodeid, flags), path).fh, flags));
  }
  if ((flags & O.DIRECTORY) !== 0) throw new FileError("ENOTDIR", path);
  const { fh } = checked(openRequest(context, found.nodeid, flags & ~NOT_SENT), path);
  return addFile(process, opened(found, fh, flags));
}

function openRequest({ client, killsPrivileges }: Context, nodeid: bigint, flags: number) {
  const body = new Body().u32(flags, killsPrivileges && (flags & O.TRUNC) !== 0 ? 1 : 0).bytes;
  const reply = client.request(Opcode.OPEN, nodeid, body, OUT_HEADER_BYTES + OPEN_OUT_BYTES);
  return { error: reply.error, fh: reply.error === null ? reply.body.readBigUInt64LE(0) : 0n };
}

function openCreating(context: Context, path: string, flags: number, mode: number, links = 0): Value[] {
  const { client, walker, process } = context;
  const place = walker.place(path);
  if (place.wantsDirectory) throw new FileError("EISDIR", path);
  const name = named(place, (flags & O.EXCL) !== 0 ? "EEXIST" : "EISDIR");
  const found = (flags & O.EXCL) === 0 ? lookupOrNothing(context, place) : undefined;
  if (found !== undefined && isLink(found) && (flags & O.NOFOLLOW) === 0) {
    if (links >= MAX_LINKS) throw new FileError("ELOOP", path);
    const { target } = checked(client.readlink(found.nodeid), path);
    const beside = path.slice(0, path.lastIndexOf("/") + 1);
    return openCreating(context, beside + target, flags, mode, links + 1);
  }
  if (found !== undefined) return openExisting(context, found, flags, path);
  bringGroup(context, place.parent.nodeid);
  const made = client.create(place.parent.nodeid, name, flags, mode & 0o7777, process.umask);
  const { fh } = checked(made, path);
  return addFile(process, opened(walker.entry(made, path), fh, flags));
}

function openUnnamed(context: Context, path: string, flags: number, mode: number): Value[] {
  const { client, walker, process } = context;
  const directory = walker.find(path);
  if ((flags & WRITABLE) === 0) throw new FileError("EINVAL", path);
  const body = new Body()
    .u32(flags, (mode & 0o7777 & ~process.umask) | 0o100000, process.umask, 0)
    .name("/").bytes;
  const capacity = OUT_HEADER_BYTES + ENTRY_OUT_BYTES + OPEN_OUT_BYTES;
  bringGroup(context, directory.nodeid);
  const reply = client.request(Opcode.TMPFILE, directory.nodeid, body, capacity);
  if (reply.error !== null) throw new FileError(reply.error, path);
  const nodeid = reply.body.readBigUInt64LE(0);
  const file = { nodeid, mode: 0o100000 };
  return addFile(process, opened(file, reply.body.readBigUInt64LE(ENTRY_OUT_BYTES), flags));
}

const open: Handler = (context, words) => {
  const [path, flags, mode] = [words.text(0), words.number(1), words.number(2)];
  if ((flags & O.TMPFILE) === O.TMPFILE) return openUnnamed(context, path, flags, mode);
  if ((flags & O.CREAT) !== 0) return openCreating(context, path, flags, mode);
  const found = context.walker.find(path, (flags & O.NOFOLLOW) === 0);
  if (path.endsWith("/") && !isDirectory(found)) throw new FileError("ENOTDIR", path);
  return openExisting(context, found, flags, path);
};

const mkdir: Handler = (context, words) => {
  const { client, walker, process } = context;
  const place = walker.place(words.text(0));
  const name = named(place, "EEXIST");
  bringGroup(context, place.parent.nodeid);
  walker.entry(client.mkdir(place.parent.nodeid, name, words.number(1) & 0o1777, process.umask), "mkdir");
  return [];
};

const rmdir: Handler = ({ client, walker }, words) => {
  const path = words.text(0);
  const place = walker.place(path);
  if (place.name === ".") throw new FileError("EINVAL", path);
  checked(client.rmdir(place.parent.nodeid, named(place, "ENOTEMPTY")), "rmdir");
  return [];
};

const unlink: Handler = ({ client, walker }, words) => {
  const place = walker.place(words.text(0));
  const name = named(place, "EISDIR");
  if (place.wantsDirectory) {
    throw new FileError(isDirectory(walker.lookup(place.parent, name)) ? "EISDIR" : "ENOTDIR", "unlink");
  }
  checked(client.unlink(place.parent.nodeid, name), "unlink");
  return [];
};

const symlink: Handler = (context, words) => {
  const target = words.text(0);
  if (target === "") throw new FileError("ENOENT", "symlink");
  if (target.length >= 4096) throw new FileError("ENAMETOOLONG", "symlink");
  const { parent, name } = newFile(context, words.text(1));
  context.walker.entry(context.client.symlink(parent, name, target), "symlink");
  return [];
};

const readlink: Handler = ({ client, walker }, words) => {
  const found = walker.find(words.text(0), false);
  return [checked(client.readlink(found.nodeid), "readlink").target];
};

const link: Handler = (context, words) => {
  const found = context.walker.find(words.text(0), (words.number(2) & AT_SYMLINK_FOLLOW) !== 0);
  return linkNode(context, found.nodeid, words.text(1));
};

function linkNode(context: Context, nodeid: bigint, path: string): Value[] {
  const { parent, name } = newFile(context, path);
  context.walker.entry(context.client.link(nodeid, parent, name), "link");
  return [];
}

/** Link after link without a look at the path, which would cost more than the links. */
const linkMany: Handler = (context, words) => {
  const { client, walker } = context;
  const { nodeid } = walker.find(words.text(0));
  const { parent, name } = newFile(context, words.text(1));
  for (let index = 0; index < words.number(2); index++) {
    const made = checked(client.link(nodeid, parent, `${name}${index}`), "link");
    client.forget(made.nodeid);
  }
  return [];
};

const rename: Handler = ({ client, walker }, words) => {
  const [from, to] = [walker.place(words.text(0)), walker.place(words.text(1))];
  const flags = words.number(2);
  const names = [named(from, "EBUSY"), named(to, (flags & 1) !== 0 ? "EEXIST" : "EBUSY")] as const;
  if (from.wantsDirectory || to.wantsDirectory) {
    if (!isDirectory(walker.lookup(from.parent, names[0]))) throw new FileError("ENOTDIR", "rename");
  }
  const [source, target] = [from.parent.nodeid, to.parent.nodeid];
  const status =
    flags === 0
      ? client.rename(source, names[0], target, names[1])
      : client.rename2(source, names[0], target, names[1], flags);
  checked(status, "rename");
  return [];
};

const mknod: Handler = (context, words) => {
  const { parent, name } = newFile(context, words.text(0));
  const [mode, major, minor] = [words.number(1), words.number(2), words.number(3)];
  const rdev = (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12);
  const type = (mode & 0o170000) === 0 ? 0o100000 : 0;
  const made = context.client.mknod(parent, name, mode | type, rdev, context.process.umask);
  context.walker.entry(made, "mknod");
  return [];
};

function target({ walker }: Context, words: Words, flags: number): Found {
  const path = words.text(0);
  const found = walker.find(path, (flags & AT_SYMLINK_NOFOLLOW) === 0 || path.endsWith("/"));
  if (path.endsWith("/") && !isDirectory(found)) throw new FileError("ENOTDIR", path);
  return found;
}

const stat: Handler = (context, words) => {
  const { nodeid } = target(context, words, words.number(1));
  return statValues(checked(context.client.getattr(nodeid), "stat").attr);
};

const chmod: Handler = (context, words) => {
  setAttributes(context, target(context, words, 0), undefined, { mode: words.number(1) & 0o7777 });
  return [];
};

const chown: Handler = (context, words) => {
  const [uid, gid] = [words.number(1), words.number(2)];
  const change = { ...(uid !== -1 && { uid }), ...(gid !== -1 && { gid }) };
  setAttributes(context, target(context, words, words.number(3)), undefined, change);
  return [];
};

const truncate: Handler = (context, words) => {
  if (words.big(1) < 0n) throw new FileError("EINVAL", "truncate");
  const found = target(context, words, 0);
  if (isDirectory(found)) throw new FileError("EISDIR", "truncate");
  setAttributes(context, found, undefined, { size: words.big(1) });
  return [];
};

const utimens: Handler = (context, words) => {
  const change = timesChange(words, 1);
  const found = target(context, words, words.number(5));
  if (Object.keys(change).length > 0) setAttributes(context, found, undefined, change);
  return [];
};

const access: Handler = (context, words) => {
  checked(context.client.access(target(context, words, 0).nodeid, words.number(1)), "access");
  return [];
};

const statfs: Handler = (context, words) => {
  // A kernel forgets a deleted file as soon as nobody has it open; here that has to be in time for the count.
  context.walker.forgetUnused(new Set([...context.process.files.values()].map(({ file }) => file.nodeid)));
  const s = checked(context.client.statfs(target(context, words, 0).nodeid), "statfs");
  return [s.blocks, s.blocksFree, s.blocksAvailable, s.files, s.filesFree, s.blockSize, s.nameLength].map(
    BigInt,
  );
};

const followed = (follow: number) => (follow === 0 ? AT_SYMLINK_NOFOLLOW : 0);

const setxattr: Handler = (context, words) => {
  const { nodeid } = target(context, words, followed(words.number(4)));
  const flags = words.number(3);
  if ((flags & ~(Xattr.CREATE | Xattr.REPLACE)) !== 0) throw new FileError("EINVAL", "setxattr");
  checked(context.client.setxattr(nodeid, words.text(1), words.text(2), flags), "setxattr");
  return [];
};

const getxattr: Handler = (context, words) => {
  const { nodeid } = target(context, words, followed(words.number(3)));
  const [name, size] = [words.text(1), words.number(2)];
  if (size === 0) return [BigInt(checked(context.client.getxattrSize(nodeid, name), "getxattr").size), ""];
  const { value } = checked(context.client.getxattr(nodeid, name, size), "getxattr");
  return [BigInt(value.length), value.toString("latin1")];
};

const listxattr: Handler = (context, words) => {
  const { nodeid } = target(context, words, followed(words.number(2)));
  const size = words.number(1);
  if (size === 0) return [BigInt(checked(context.client.listxattrSize(nodeid), "listxattr").size), ""];
  const { names } = checked(context.client.listxattr(nodeid, size), "listxattr");
  const list = names.map((name) => `${name}\0`).join("");
  return [BigInt(list.length), list];
};

const removexattr: Handler = (context, words) => {
  const { nodeid } = target(context, words, followed(words.number(2)));
  checked(context.client.removexattr(nodeid, words.text(1)), "removexattr");
  return [];
};

export const nameHandlers: Readonly<Record<string, Handler>> = {
  open,
  mkdir,
  rmdir,
  unlink,
  symlink,
  readlink,
  link,
  linkMany,
  linkfd: (context, words) =>
    linkNode(context, openFile(context.process, words.number(0)).file.nodeid, words.text(1)),
  rename,
  mknod,
  stat,
  chmod,
  chown,
  truncate,
  utimens,
  access,
  statfs,
  setxattr,
  getxattr,
  listxattr,
  removexattr,
};
