/** Where the overlay keeps its own marks: with privilege out of reach of users, else among their attributes. */
export type XattrNamespace = "trusted" | "user";

/**
 * Names of the extended attributes that are the overlay's own, as Linux's overlayfs has them, and the other form
 * that a guest's attributes of such names take on disk: `trusted.overlay.x` is kept as `trusted.overlay.overlay.x`.
 */
export class XattrNames {
  readonly opaque: string;
  readonly whiteout: string;
  readonly origin: string;
  readonly impure: string;
  readonly redirect: string;
  readonly metacopy: string;
  readonly nlink: string;
  readonly upper: string;
  /** chattr's immutable and append-only flags of a file that does not have them itself. */
  readonly protection: string;
  /** The inode number of a copy whose origin has no name; Linux does not know it. */
  readonly number: string;
  /** Marks a directory that may hold whiteouts of an overlay in the guest; Linux does not know it. */
  readonly nested: string;
  /** Such a whiteout: the mark of a whiteout, escaped. */
  readonly guestWhiteout: string;
  /** What all of the overlay's own begin with, and with more of it those that are the guest's nevertheless. */
  readonly prefix: string;
  readonly escaped: string;

  /** Only root can have set them. */
  readonly isTrusted: boolean;

  constructor(namespace: XattrNamespace) {
    this.isTrusted = namespace === "trusted";
    const prefix = `${namespace}.overlay.`;
    this.prefix = prefix;
    this.escaped = `${prefix}overlay.`;
    this.opaque = `${prefix}opaque`;
    this.whiteout = `${prefix}whiteout`;
    this.origin = `${prefix}origin`;
    this.impure = `${prefix}impure`;
    this.redirect = `${prefix}redirect`;
    this.metacopy = `${prefix}metacopy`;
    this.nlink = `${prefix}nlink`;
    this.upper = `${prefix}upper`;
    this.protection = `${prefix}protattr`;
    this.nested = `${prefix}nested`;
    this.guestWhiteout = `${this.escaped}whiteout`;
    this.number = `${prefix}ino`;
  }

  /** Whether an attribute on disk is the overlay's own. */
  isOwn(name: string): boolean {
    return name.startsWith(this.prefix) && !name.startsWith(this.escaped);
  }

  /** The name on disk of an attribute that the guest names. */
  toDisk(name: string): string {
    return name.startsWith(this.prefix) ? this.escaped + name.slice(this.prefix.length) : name;
  }

  /** What the guest sees of an attribute on disk; undefined: nothing. */
  toGuest(name: string): string | undefined {
    if (name.startsWith(this.escaped)) {
      return this.prefix + name.slice(this.escaped.length);
    }
    return name.startsWith(this.prefix) ? undefined : name;
  }
}
