import {
  Attr,
  type AttrRecord,
  FUSE_ATTR_WORDS,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from "../../src/vfs/attributes.js";
import type { Backend } from "../../src/vfs/backend.js";
import { DIRENT_HEADER_BYTES, type DirectoryBuffer, ENTRY_BYTES } from "../../src/vfs/directory-buffer.js";
import { type Awaitable, ENODATA, EOPNOTSUPP, type Result, type Status } from "../../src/vfs/errno.js";
import { ForwardingBackend } from "../../src/vfs/forwarding-backend.js";
import type { Caller, VfsHandle, VfsNode } from "../../src/vfs/node.js";
import { replyXattrNames } from "../../src/vfs/xattr-reply.js";
import { ENTRY_ATTR_WORD } from "./directory-entries.js";
import { OVERLAY } from "./layers.js";
import { andThen, run, type Steps, wait } from "./steps.js";

/** Where layers that were unpacked without privilege keep what their files should have been. */
const OVERRIDE = "user.containers.override_stat";
/** uid:gid:mode, the mode octal, and what kind of file it is, which older layers do not say. */
const FORM = /^(\d{1,10}):(\d{1,10}):([0-7]{1,7})(?::([a-z]+)(?:-(\d{1,4})-(\d{1,7}))?)?$/;
/** A regular file stands for each of these. */
const TYPES: ReadonlyMap<string | undefined, number> = new Map([
  ["pipe", S_IFIFO],
  ["socket", S_IFSOCK],
  ["block", S_IFBLK],
  ["char", S_IFCHR],
]);
const MOST_BYTES = 128;
const LIST_BYTES = 65_536;
const PERMISSIONS = 0o7777;
const DT_REG = 8;

/** Whether a layer keeps owners and modes in attributes: its root says so, as fuse-overlayfs has it. */
export function hasOverrides(backend: Backend, root: VfsNode): Awaitable<boolean> {
  return andThen(backend.getxattr(OVERLAY, root, OVERRIDE, Buffer.alloc(MOST_BYTES)), (length) => length > 0);
}

function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

/** A lower layer whose files have the owner, mode and type that an attribute of theirs gives them. */
export class StatOverrideBackend extends ForwardingBackend {
  override lookup(
    caller: Caller,
    parent: VfsNode,
    name: string,
    out: AttrRecord,
  ): Awaitable<Result<VfsNode>> {
    return run(this.#found(this.inner.lookup(caller, parent, name, out), out));
  }

  override parentOf(caller: Caller, node: VfsNode, out: AttrRecord): Awaitable<Result<VfsNode>> {
    return run(this.#found(this.inner.parentOf(caller, node, out), out));
  }

  override getattr(
    caller: Caller,
    node: VfsNode,
    handle: VfsHandle | undefined,
    out: AttrRecord,
  ): Awaitable<Status> {
    return andThen(this.inner.getattr(caller, node, handle, out), (status) =>
      status < 0 ? status : run(this.#override(node, out)),
    );
  }

  override getxattr(caller: Caller, node: VfsNode, name: string, into: Uint8Array): Awaitable<Status> {
    return name === OVERRIDE ? -ENODATA : this.inner.getxattr(caller, node, name, into);
  }

  override listxattr(caller: Caller, node: VfsNode, into: Uint8Array): Awaitable<Status> {
    const all = Buffer.allocUnsafe(LIST_BYTES);
    return andThen(this.inner.listxattr(caller, node, all), (length) =>
      length < 0
        ? length
        : replyXattrNames(
            all
              .latin1Slice(0, length)
              .split("\0")
              .filter((name) => name !== "" && name !== OVERRIDE),
            into,
          ),
    );
  }

  override readdir(caller: Caller, handle: VfsHandle, sink: DirectoryBuffer): Awaitable<Status> {
    return sink.plus
      ? run(this.#list(caller, handle, sink))
      : andThen(this.inner.readdir(caller, handle, sink), (status) => {
          leaveTypesOpen(sink);
          return status;
        });
  }

  *#found(found: Awaitable<Result<VfsNode>>, out: AttrRecord): Steps<Result<VfsNode>> {
    const node = yield* wait(found);
    if (typeof node === "number") {
      return node;
    }
    // Nobody else may have it yet.
    node.holds++;
    const status = yield* this.#override(node, out);
    node.holds--;
    return status < 0 ? status : node;
  }

  /** A file without the attribute, or with one that makes no sense, is what it is. */
  *#override(node: VfsNode, attr: AttrRecord): Steps<Status> {
    const value = Buffer.allocUnsafe(MOST_BYTES);
    const length = yield* wait(this.inner.getxattr(OVERLAY, node, OVERRIDE, value));
    if (length < 0) {
      // Links and devices cannot have any.
      return length === -ENODATA || length === -EOPNOTSUPP ? 0 : length;
    }
    const match = FORM.exec(value.latin1Slice(0, length));
    if (match === null) {
      return 0;
    }
    const [, uid, gid, mode, kind, major, minor] = match;
    const own = (attr[Attr.MODE] as number) & S_IFMT;
    const type = (own === S_IFREG ? TYPES.get(kind) : undefined) ?? own;
    attr[Attr.UID] = Number(uid);
    attr[Attr.GID] = Number(gid);
    attr[Attr.MODE] = type | (Number.parseInt(mode as string, 8) & PERMISSIONS);
    if (type === S_IFBLK || type === S_IFCHR) {
      attr[Attr.RDEV] = encodeDevice(Number(major ?? 0), Number(minor ?? 0));
    }
    return 0;
  }

  *#list(caller: Caller, handle: VfsHandle, sink: DirectoryBuffer): Steps<Status> {
    const nodes = new Map<number, VfsNode>();
    const lent = sink.lend({
      referenceEntry: (node, _words, word) => {
        node.holds++;
        nodes.set(word, node);
      },
    });
    const status = yield* wait(this.inner.readdir(caller, handle, lent));
    for (const [word, node] of nodes) {
      const begin = word + ENTRY_ATTR_WORD;
      const attr = lent.words.subarray(begin, begin + FUSE_ATTR_WORDS);
      // What cannot be read now is found out when the file is used.
      yield* this.#override(node, attr);
      lent.words[word + ENTRY_BYTES / 4 + 5] = (attr[Attr.MODE] as number) >>> 12;
    }
    sink.accept(lent.length, lent.full);
    for (const [word, node] of nodes) {
      sink.referenceAt(word * 4, node);
      node.holds--;
    }
    return status;
  }
}

/** A listing says what kind of file is on disk, which for regular files need not be what is shown. */
function leaveTypesOpen({ words, length }: DirectoryBuffer): void {
  for (let position = 0; position < length; ) {
    const word = position >>> 2;
    if (words[word + 5] === DT_REG) {
      words[word + 5] = 0;
    }
    position = (position + DIRENT_HEADER_BYTES + (words[word + 4] as number) + 7) & ~7;
  }
}
