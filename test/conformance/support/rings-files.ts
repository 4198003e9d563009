import { Lock, RELEASE_FLOCK_UNLOCK, Seek, WRITE_KILL_SUIDGID } from "../../support/frontend/index.js";
import { FCNTL, FLOCK, O } from "./actor.js";
import { setAttributes, statValues, timesChange } from "./rings-attributes.js";
import {
  addFile,
  type Context,
  type Handler,
  lockRange,
  type OpenFile,
  openFile,
  type Words,
} from "./rings-system.js";
import { checked } from "./rings-walk.js";
import { FileError } from "./system.js";

const ACCESS_MODE = 3;

function fileAt({ process }: Context, words: Words): OpenFile {
  return openFile(process, words.number(0));
}

function requireWritable(file: OpenFile, error: string): void {
  if (file.directory || (file.flags & ACCESS_MODE) === O.RDONLY) throw new FileError(error, "descriptor");
}

function sizeOf({ client }: Context, { file, fh }: OpenFile): bigint {
  return BigInt(checked(client.getattr(file.nodeid, fh), "size").attr.size);
}

const cred: Handler = ({ process }, words) => {
  process.uid = words.number(0);
  process.gid = words.number(1);
  process.umask = words.number(2);
  process.groups = words.from(3).map(Number);
  return [];
};

const close: Handler = (context, words) => {
  const { client, process } = context;
  const open = fileAt(context, words);
  const { file, fh } = open;
  process.files.delete(words.number(0));
  open.references--;
  if (open.directory) {
    if (open.references === 0) checked(client.releasedir(file.nodeid, fh), "close");
    return [];
  }
  const { error } = client.flush(file.nodeid, fh, process.owner);
  if (open.references === 0) {
    client.release(file.nodeid, fh, { flags: RELEASE_FLOCK_UNLOCK, lockOwner: fh });
  }
  if (error !== null && error !== "ENOSYS") throw new FileError(error, "close");
  return [];
};

const dup: Handler = (context, words) => {
  const open = fileAt(context, words);
  open.references++;
  return addFile(context.process, open);
};

const read: Handler = (context, words) => {
  const open = fileAt(context, words);
  if ((open.flags & ACCESS_MODE) === O.WRONLY) throw new FileError("EBADF", "read");
  if (open.directory) throw new FileError("EISDIR", "read");
  const own = words.big(2) === -1n;
  const offset = own ? open.position : words.big(2);
  if (offset < 0n) throw new FileError("EINVAL", "read");
  const { data } = checked(context.client.read(open.file.nodeid, open.fh, offset, words.number(1)), "read");
  if (own) open.position += BigInt(data.length);
  return [data.toString("latin1")];
};

const write: Handler = (context, words) => {
  const open = fileAt(context, words);
  requireWritable(open, "EBADF");
  const own = words.big(2) === -1n;
  let offset = own ? open.position : words.big(2);
  if (offset < 0n) throw new FileError("EINVAL", "write");
  if ((open.flags & O.APPEND) !== 0) offset = sizeOf(context, open);
  const writeFlags = context.killsPrivileges ? WRITE_KILL_SUIDGID : 0;
  const { file, fh, flags } = open;
  const result = context.client.write(file.nodeid, fh, offset, words.text(1), { flags, writeFlags });
  const { size } = checked(result, "write");
  if (own) open.position = offset + BigInt(size);
  return [BigInt(size)];
};

const lseek: Handler = (context, words) => {
  const open = fileAt(context, words);
  const [offset, whence] = [words.big(1), words.number(2)];
  const base = whence === Seek.CUR ? open.position : whence === Seek.END ? sizeOf(context, open) : 0n;
  let position = base + offset;
  if (whence === Seek.DATA || whence === Seek.HOLE) {
    const found = context.client.lseek(open.file.nodeid, open.fh, offset, whence);
    position = BigInt(checked(found, "lseek").offset);
  }
  if (position < 0n || whence > Seek.HOLE) throw new FileError("EINVAL", "lseek");
  open.position = position;
  return [position];
};

const ftruncate: Handler = (context, words) => {
  const open = fileAt(context, words);
  if (words.big(1) < 0n) throw new FileError("EINVAL", "ftruncate");
  requireWritable(open, "EINVAL");
  setAttributes(context, open.file, open.fh, { size: words.big(1) });
  return [];
};

const fallocate: Handler = (context, words) => {
  const open = fileAt(context, words);
  const [mode, offset, length] = [words.number(1), words.big(2), words.big(3)];
  if (offset < 0n || length <= 0n) throw new FileError("EINVAL", "fallocate");
  requireWritable(open, "EBADF");
  checked(context.client.fallocate(open.file.nodeid, open.fh, offset, length, mode), "fallocate");
  return [];
};

const fsync: Handler = (context, words) => {
  const { file, fh, directory } = fileAt(context, words);
  const { client } = context;
  checked(
    directory ? client.fsyncdir(file.nodeid, fh) : client.fsync(file.nodeid, fh, words.number(1) !== 0),
    "fsync",
  );
  return [];
};

const syncfs: Handler = (context, words) => {
  checked(context.client.syncfs(fileAt(context, words).file.nodeid), "syncfs");
  return [];
};

const fstat: Handler = (context, words) => {
  const { file, fh, directory } = fileAt(context, words);
  return statValues(checked(context.client.getattr(file.nodeid, directory ? undefined : fh), "fstat").attr);
};

const fchmod: Handler = (context, words) => {
  setAttributes(context, fileAt(context, words).file, undefined, { mode: words.number(1) & 0o7777 });
  return [];
};

const fchown: Handler = (context, words) => {
  const [uid, gid] = [words.number(1), words.number(2)];
  const change = { ...(uid !== -1 && { uid }), ...(gid !== -1 && { gid }) };
  setAttributes(context, fileAt(context, words).file, undefined, change);
  return [];
};

const futimens: Handler = (context, words) => {
  const change = timesChange(words, 1);
  if (Object.keys(change).length > 0) setAttributes(context, fileAt(context, words).file, undefined, change);
  return [];
};

const getdents: Handler = (context, words) => {
  const open = fileAt(context, words);
  if (!open.directory) throw new FileError("ENOTDIR", "getdents");
  const { file, fh } = open;
  const { entries } = checked(
    context.client.readdir(file.nodeid, fh, open.position, words.number(1)),
    "getdents",
  );
  open.position = entries.at(-1)?.off ?? open.position;
  return entries.flatMap(({ name, ino, off, type }) => [name, ino, off, BigInt(type)]);
};

const copyFileRange: Handler = (context, words) => {
  const { process, client } = context;
  const [from, to] = [openFile(process, words.number(0)), openFile(process, words.number(2))];
  requireWritable(to, "EBADF");
  const { size } = checked(
    client.copyFileRange(
      { nodeid: from.file.nodeid, fh: from.fh, offset: words.big(1) },
      { nodeid: to.file.nodeid, fh: to.fh, offset: words.big(3) },
      words.big(4),
    ),
    "copyFileRange",
  );
  return [BigInt(size)];
};

const fcntlLock: Handler = (context, words) => {
  const { client, process } = context;
  const { file, fh, flags } = fileAt(context, words);
  const [command, type, start, length] = [1, 2, 3, 4].map((index) => words.number(index)) as [
    number,
    number,
    number,
    number,
  ];
  const lock = lockRange(type, start, length);
  if (command === FCNTL.GETLK) {
    const found = checked(client.getlk(file.nodeid, fh, process.owner, lock), "getlk").lock;
    const count = found.end === 0x7fff_ffff_ffff_ffffn ? 0n : found.end - found.start + 1n;
    return [BigInt(found.type), found.start, count, BigInt(found.pid)];
  }
  const access = flags & ACCESS_MODE;
  const refused = (type === Lock.READ && access === O.WRONLY) || (type === Lock.WRITE && access === O.RDONLY);
  if (refused) throw new FileError("EBADF", "lock");
  checked(client.setlk(file.nodeid, fh, process.owner, lock), "lock");
  return [];
};

const flock: Handler = (context, words) => {
  const { file, fh } = fileAt(context, words);
  const operation = words.number(1) & ~FLOCK.NONBLOCK;
  const type = { [FLOCK.SHARED]: Lock.READ, [FLOCK.EXCLUSIVE]: Lock.WRITE }[operation] ?? Lock.UNLOCK;
  // A flock belongs to the open file, whose handle serves as its owner.
  const status = context.client.setlk(file.nodeid, fh, fh, lockRange(type, 0, 0), true);
  if (status.error === "EAGAIN" && (words.number(1) & FLOCK.NONBLOCK) === 0) return undefined;
  checked(status, "flock");
  return [];
};

export const fileHandlers: Readonly<Record<string, Handler>> = {
  cred,
  close,
  dup,
  read,
  write,
  lseek,
  ftruncate,
  fallocate,
  fsync,
  syncfs,
  fstat,
  fchmod,
  fchown,
  futimens,
  getdents,
  copyFileRange,
  fcntlLock,
  flock,
};
