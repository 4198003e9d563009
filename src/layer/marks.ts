import { posix } from "../native/posix.js";

/** Begins the name of an entry that deletes the rest of its name from the layers below (OCI, AUFS). */
export const WHITEOUT_PREFIX = ".wh.";
/** Entry of a directory that hides what lower layers have in it. */
export const OPAQUE_ENTRY = ".wh..wh..opq";
/** Begins what AUFS keeps for itself, the opaque entry aside. */
export const AUFS_PREFIX = ".wh..wh.";

const NO_BYTES = new Uint8Array(0);
const YES = Buffer.from("y");

/** Where kernel overlayfs keeps its marks: `trusted` needs privilege, `user` is its option userxattr. */
export type MarkScope = "trusted" | "user";

/** How a layer says what it hides, as kernel overlayfs reads it: names of extended attributes. */
export class Marks {
  readonly scope: MarkScope;
  /** Begins the names of all attributes that are overlayfs's. */
  readonly prefix: string;
  /** Begins what a guest's own attributes below the prefix are renamed to. */
  readonly #escaped: string;

  constructor(scope: MarkScope) {
    this.scope = scope;
    this.prefix = `${scope}.overlay.`;
    this.#escaped = `${this.prefix}overlay.`;
  }

  /** The marks that this process may write below a directory. */
  static writableAt(directory: number): Marks {
    const probe = "trusted.virtiofs-gateway";
    const mayWrite = posix.setXattr(directory, probe, NO_BYTES, 0) === 0;
    posix.removeXattr(directory, probe);
    return new Marks(mayWrite ? "trusted" : "user");
  }

  /** The marks that this process can read: overlayfs hides the trusted ones from others. */
  static readableHere(): Marks {
    return new Marks(posix.mayActAsOthers() === 1 ? "trusted" : "user");
  }

  /** The value of a mark as text, bytes as latin1; undefined when the file has none. */
  get(fd: number, mark: string): string | undefined {
    const value = Buffer.alloc(1024);
    const length = posix.getXattr(fd, this.prefix + mark, value);
    return length < 0 ? undefined : value.latin1Slice(0, length);
  }

  isOpaque(fd: number): boolean {
    return this.get(fd, "opaque") === "y";
  }

  /** 0 or -errno. */
  setOpaque(fd: number): number {
    return posix.setXattr(fd, `${this.prefix}opaque`, YES, 0);
  }

  /** Makes an empty file a whiteout, for where there are no devices; 0 or -errno. */
  setWhiteout(root: number, directory: number, file: number): number {
    let marked = posix.setXattr(file, `${this.prefix}whiteout`, YES, 0);
    // "x": whiteouts of this form are in it. Linux asks the layer's root first.
    for (const holder of [root, directory]) {
      marked = marked < 0 ? marked : posix.setXattr(holder, `${this.prefix}opaque`, Buffer.from("x"), 0);
    }
    return marked;
  }

  /** Whether a file hides what is below; `type`, `rdev` and `size` are its own. */
  isWhiteout(file: { fd: number; type: string; rdev: number; size: bigint }): boolean {
    if (file.type === "character") {
      return file.rdev === 0;
    }
    return file.type === "file" && file.size === 0n && this.get(file.fd, "whiteout") !== undefined;
  }

  /** Name on disk of an attribute of the image: what looks like a mark is none. */
  escape(name: string): string {
    return name.startsWith(this.prefix) ? this.#escaped + name.slice(this.prefix.length) : name;
  }

  /** The reverse of {@link escape}; undefined for marks, which are not the image's. */
  unescape(name: string): string | undefined {
    if (name.startsWith(this.#escaped)) {
      return this.prefix + name.slice(this.#escaped.length);
    }
    return name.startsWith(this.prefix) ? undefined : name;
  }
}
