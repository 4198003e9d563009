import { closeSync, readdirSync } from "node:fs";
import {
  checked,
  describedAnew,
  findHostEntry,
  type HostFile,
  openHostEntry,
  readXattrs,
} from "../native/host-file.js";
import { KEEP_ID, posix } from "../native/posix.js";
import type { TarEntry, TarTime } from "../tar/entry.js";
import { S_IFBLK, S_IFCHR, S_IFIFO } from "../vfs/attributes.js";
import { EEXIST, EOPNOTSUPP, EPERM } from "../vfs/errno.js";
import { GatewayError } from "../vfs/gateway-error.js";
import { Marks } from "./marks.js";
import type { Omissions } from "./omissions.js";

const O_WRONLY = 1;
const MAX_OFFSET = BigInt(Number.MAX_SAFE_INTEGER);
const SPECIAL_TYPES = { character: S_IFCHR, block: S_IFBLK, fifo: S_IFIFO } as const;
/** Given by the host's own directory, not by the layer. */
const INHERITED_XATTRS = ["system.posix_acl_access", "system.posix_acl_default"];

/** Attributes of a file of a layer. */
export type LayerAttributes = Pick<TarEntry, "mode" | "uid" | "gid" | "mtime" | "atime" | "xattrs">;

function refuse(message: string): never {
  throw new GatewayError("environment", message);
}

/** Runs `use` with a file and closes it. */
function using<T>(file: HostFile, use: (file: HostFile) => T): T {
  try {
    return use(file);
  } finally {
    closeSync(file.fd);
  }
}

/**
 * A directory of the host that becomes a lower layer, in the form that kernel overlayfs gives to whiteouts
 * and opaque directories. Everything is done relative to a descriptor, one name at a time and without
 * following links: whatever an archive says, and whoever moves files meanwhile, nothing outside is touched.
 */
export class LayerDirectory {
  readonly marks: Marks;
  readonly #root: HostFile;
  readonly #omissions: Omissions;
  /** The directory that was used last, since entries of an archive come directory by directory. */
  #last: { path: string; file: HostFile } | undefined;

  /** Makes the layer `name` in an open directory. */
  constructor(directory: number, name: string, omissions: Omissions) {
    const { uid, gid } = owner();
    checked(posix.makeDirectory(directory, name, 0o755, uid, gid, -1), name);
    this.#root = openHostEntry(directory, name, name);
    for (const xattr of INHERITED_XATTRS) {
      posix.removeXattr(this.#root.fd, xattr);
    }
    this.marks = Marks.writableAt(this.#root.fd);
    this.#omissions = omissions;
  }

  /** The directory itself, as a path. */
  get root(): number {
    return this.#root.fd;
  }

  close(): void {
    this.#forget();
    closeSync(this.#root.fd);
  }

  /**
   * The directory at a path, valid until the next call; undefined when it is not there.
   * @throws GatewayError when something else is in its place
   */
  findDirectory(names: readonly string[]): HostFile | undefined {
    const path = names.join("/");
    if (path !== "" && this.#last?.path === path) {
      return this.#last.file;
    }
    this.#forget();
    if (path === "") {
      return this.#root;
    }
    let file = this.#root;
    for (const [index, name] of names.entries()) {
      const next = findHostEntry(file.fd, name, path);
      if (index > 0) {
        closeSync(file.fd);
      }
      if (next === undefined) {
        return undefined;
      }
      if (next.type !== "directory") {
        const isHidden = using(next, () => this.marks.isWhiteout(next));
        if (isHidden) {
          return undefined;
        }
        const what = next.type === "symlink" ? "a symbolic link" : "no directory";
        refuse(`${JSON.stringify(name)} on its path is ${what}`);
      }
      file = next;
    }
    this.#last = { path, file };
    return file;
  }

  /** The directory at a path, and undefined too when something else is in its place. */
  lookDirectory(names: readonly string[]): HostFile | undefined {
    try {
      return this.findDirectory(names);
    } catch (err) {
      if (err instanceof GatewayError) {
        return undefined;
      }
      throw err;
    }
  }

  /**
   * Attributes of the directory at a path; undefined when this layer does not say, and "hidden" when it says
   * that layers below do not count.
   */
  describe(names: readonly string[]): LayerAttributes | "hidden" | undefined {
    let isHiding = false;
    for (let depth = 0; depth < names.length; depth++) {
      const parent = this.lookDirectory(names.slice(0, depth));
      isHiding ||= parent === undefined || this.marks.isOpaque(parent.fd);
      const file = parent === undefined ? undefined : this.find(parent, names[depth] as string);
      if (file === undefined) {
        return isHiding ? "hidden" : undefined;
      }
      closeSync(file.fd);
    }
    const directory = this.lookDirectory(names);
    if (directory === undefined) {
      return "hidden";
    }
    return { ...describedAnew(directory, names.join("/")), xattrs: this.#ownXattrs(directory.fd) };
  }

  /** What is under a name of a directory; the caller closes it. */
  find(directory: HostFile, name: string): HostFile | undefined {
    return findHostEntry(directory.fd, name, name);
  }

  /** Makes a directory. What it replaces, if that was no directory, hid what is below: so will it. */
  makeDirectory(parent: HostFile, name: string): void {
    const { uid, gid } = owner();
    const made = posix.makeDirectory(parent.fd, name, 0o700, uid, gid, -1);
    if (made !== -EEXIST) {
      checked(made, name);
      return;
    }
    const isDirectory = using(openHostEntry(parent.fd, name, name), ({ type }) => type === "directory");
    if (!isDirectory) {
      this.#remove(parent, name);
      checked(posix.makeDirectory(parent.fd, name, 0o700, uid, gid, -1), name);
      using(openHostEntry(parent.fd, name, name), ({ fd }) => checked(this.marks.setOpaque(fd), name));
    }
  }

  /** Makes an empty file and returns it, open for writing; what was there is replaced. */
  makeFile(parent: HostFile, name: string): number {
    this.#remove(parent, name);
    const { uid, gid } = owner();
    return checked(posix.openCreate(parent.fd, name, O_WRONLY, 0o600, uid, gid, -1), name);
  }

  /** Writes all of `bytes`. */
  write(fd: number, offset: bigint, bytes: Buffer, name: string): void {
    if (offset > MAX_OFFSET) {
      refuse("has data beyond 2^53 bytes");
    }
    const count = checked(posix.write(fd, bytes, Number(offset), 0), name);
    if (count !== bytes.length) {
      refuse("no space left on device");
    }
  }

  resize(fd: number, size: bigint, name: string): void {
    checked(posix.truncate(fd, size, 1, 0), name);
  }

  makeSymlink(parent: HostFile, name: string, target: string): void {
    this.#remove(parent, name);
    const { uid, gid } = owner();
    checked(posix.makeSymlink(parent.fd, name, target, uid, gid, -1), name);
  }

  /** Makes a device or a pipe; false where this process may not. */
  makeSpecial(parent: HostFile, name: string, type: keyof typeof SPECIAL_TYPES, rdev: number): boolean {
    this.#remove(parent, name);
    const { uid, gid } = owner();
    const made = posix.makeNode(parent.fd, name, SPECIAL_TYPES[type] | 0o600, rdev, uid, gid, -1);
    if (made === -EPERM) {
      this.#omissions.add("devices, which this user may not make");
      return false;
    }
    checked(made, name);
    return true;
  }

  /** One more name for a file. */
  makeLink(parent: HostFile, name: string, target: HostFile): void {
    const existing = this.find(parent, name);
    if (existing !== undefined) {
      closeSync(existing.fd);
      if (existing.identity === target.identity) {
        return;
      }
      this.#remove(parent, name);
    }
    checked(posix.link(target.fd, parent.fd, name), name);
  }

  /** Hides what lower layers have under a name; what this layer has there itself stays. */
  hide(parent: HostFile, name: string): void {
    if (this.marks.isOpaque(parent.fd)) {
      return;
    }
    const existing = this.find(parent, name);
    if (existing !== undefined) {
      using(existing, ({ type, fd }) => type === "directory" && checked(this.marks.setOpaque(fd), name));
      return;
    }
    const { uid, gid } = owner();
    const made = posix.makeNode(parent.fd, name, S_IFCHR, 0, uid, gid, -1);
    if (made !== -EPERM) {
      checked(made, name);
      return;
    }
    closeSync(this.makeFile(parent, name));
    using(openHostEntry(parent.fd, name, name), ({ fd }) =>
      checked(this.marks.setWhiteout(this.root, parent.fd, fd), name),
    );
  }

  /** Hides everything that lower layers have in a directory. */
  hideAll(directory: HostFile): void {
    // Whiteouts that are files would be taken for such in an opaque directory.
    for (const name of readdirSync(`/proc/self/fd/${directory.fd}`, "latin1")) {
      const file = openHostEntry(directory.fd, name, name);
      if (using(file, () => this.marks.isWhiteout(file))) {
        checked(posix.unlink(directory.fd, name, 0), name);
      }
    }
    checked(this.marks.setOpaque(directory.fd), ".");
  }

  /** Gives a file its attributes, after its contents: each step may undo what would come before it. */
  setAttributes(fd: number, type: TarEntry["type"], attributes: LayerAttributes, name: string): void {
    const owned = posix.changeOwner(fd, attributes.uid, attributes.gid);
    if (owned === -EPERM) {
      this.#omissions.add("owners, which this user may not give");
    } else {
      checked(owned, name);
    }
    this.#setXattrs(fd, attributes.xattrs, name);
    if (type !== "symlink") {
      checked(posix.changeMode(fd, attributes.mode), name);
    }
    this.setTimes(fd, attributes.mtime, attributes.atime, name);
  }

  setTimes(fd: number, mtime: TarTime, atime: TarTime | undefined, name: string): void {
    const { seconds, nanoseconds } = atime ?? mtime;
    checked(posix.setTimes(fd, seconds, nanoseconds, mtime.seconds, mtime.nanoseconds), name);
  }

  /** Attributes of the image: without marks. */
  #ownXattrs(fd: number): Map<string, Uint8Array> {
    const own = new Map<string, Uint8Array>();
    for (const [name, value] of readXattrs(fd)) {
      const unescaped = this.marks.unescape(name);
      if (unescaped !== undefined) {
        own.set(unescaped, value);
      }
    }
    return own;
  }

  #setXattrs(fd: number, xattrs: ReadonlyMap<string, Uint8Array>, path: string): void {
    // A default ACL of its directory, or an earlier entry of the same name.
    for (const name of readXattrs(fd).keys()) {
      if (!name.startsWith(this.marks.prefix) && !name.startsWith("security.")) {
        posix.removeXattr(fd, name);
      }
    }
    for (const [name, value] of xattrs) {
      const status = posix.setXattr(fd, this.marks.escape(name), value, 0);
      const mayOmit =
        (status === -EOPNOTSUPP && !name.startsWith("security.")) ||
        (status === -EPERM && posix.mayActAsOthers() === 0);
      if (mayOmit) {
        this.#omissions.add(`attributes ${name.split(".", 1)[0]}.*, which cannot be set here`);
      } else if (status < 0) {
        checked(status, `${path}: extended attribute ${name}`);
      }
    }
  }

  /** Removes what is under a name, whatever it is. */
  #remove(parent: HostFile, name: string): void {
    const existing = this.find(parent, name);
    if (existing === undefined) {
      return;
    }
    using(existing, (file) => {
      if (file.type === "directory") {
        for (const child of readdirSync(`/proc/self/fd/${file.fd}`, "latin1")) {
          this.#remove(file, child);
        }
      }
    });
    checked(posix.unlink(parent.fd, name, existing.type === "directory" ? 1 : 0), name);
  }

  #forget(): void {
    if (this.#last !== undefined) {
      closeSync(this.#last.file.fd);
      this.#last = undefined;
    }
  }
}

/** Creations are this process's own; their owners come later. */
function owner(): { uid: number; gid: number } {
  return { uid: process.geteuid?.() ?? KEEP_ID, gid: process.getegid?.() ?? KEEP_ID };
}
