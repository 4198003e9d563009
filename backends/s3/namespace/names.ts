import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { EILSEQ, type Result } from "../../../src/vfs/errno.js";

/**
 * Names and keys. A directory entry's name is bytes carried as latin1, a key is UTF-8. Most components of a key
 * are names as they are. Those that no path can have are shown under a name that begins with {@link ESCAPE}:
 * `%` is `%25` then, NUL is `%00`; {@link SHADOWED} at the end marks an object beside a directory of the same
 * name; what is longer than a name can be is cut and ends in {@link CUT} and a digest.
 */
const ESCAPE = "%:";
const SHADOWED = "%!";
const CUT = "%~";
/** How rclone says that an object's body is the target of a symbolic link. */
const LINK_SUFFIX = ".rclonelink";
const NAME_BYTES = 255;
const ASCII = /^[\x00-\x7f]*$/;
const DIGEST_DIGITS = 16;

/** What a name stands for in its directory. */
export interface KeyPart {
  /** The key's component; of a long one only its beginning. */
  readonly component: string;
  /** An object beside a directory of the same name. */
  readonly shadowed: boolean;
  /** Digest of the whole component where `component` is only its beginning. */
  readonly digest: string | undefined;
}

function digestOf(component: string): string {
  return createHash("sha256").update(component).digest("hex").slice(0, DIGEST_DIGITS);
}

function toLatin1(text: string): string {
  return ASCII.test(text) ? text : Buffer.from(text).toString("latin1");
}

function needsEscape(component: string): boolean {
  return (
    component === "" ||
    component === "." ||
    component === ".." ||
    component.startsWith(ESCAPE) ||
    component.includes("\0") ||
    Buffer.byteLength(component) > NAME_BYTES
  );
}

/** The longest beginning of `text` that has at most `limit` bytes and does not split a character or an escape. */
function beginning(text: string, limit: number): string {
  let bytes = 0;
  let end = 0;
  for (const piece of text.match(/%..|[^%]/gsu) ?? []) {
    bytes += Buffer.byteLength(piece);
    if (bytes > limit) {
      break;
    }
    end += piece.length;
  }
  return text.slice(0, end);
}

/** What a component that rclone gave to a symbolic link appears as, unless something else has that name. */
export function linkBase(component: string): string | undefined {
  const base = component.endsWith(LINK_SUFFIX) ? component.slice(0, -LINK_SUFFIX.length) : "";
  return needsEscape(base) ? undefined : base;
}

/** The component that rclone gives to a symbolic link. */
export function linkComponent(base: string): string {
  return base + LINK_SUFFIX;
}

/** Whether what has this component appears as a symbolic link of rclone. */
export function isRcloneLink(name: string, component: string): boolean {
  const base = linkBase(component);
  return base !== undefined && name === nameOf(base);
}

/** The name under which a key's component appears. */
export function nameOf(component: string, shadowed = false): string {
  if (!shadowed && !needsEscape(component)) {
    return toLatin1(component);
  }
  const mark = shadowed ? SHADOWED : "";
  const escaped = component.replaceAll("%", "%25").replaceAll("\0", "%00");
  const whole = `${ESCAPE}${escaped}${mark}`;
  if (Buffer.byteLength(whole) <= NAME_BYTES) {
    return toLatin1(whole);
  }
  const rest = `${CUT}${digestOf(component)}${mark}`;
  return toLatin1(`${ESCAPE}${beginning(escaped, NAME_BYTES - ESCAPE.length - rest.length)}${rest}`);
}

/** What a name stands for. -EILSEQ when no key can have it. */
export function keyPartOf(name: string): Result<KeyPart> {
  const bytes = Buffer.from(name, "latin1");
  if (!isUtf8(bytes)) {
    return -EILSEQ;
  }
  const text = bytes.toString();
  if (!text.startsWith(ESCAPE)) {
    return { component: text, shadowed: false, digest: undefined };
  }
  const shadowed = text.endsWith(SHADOWED);
  const body = text.slice(ESCAPE.length, shadowed ? -SHADOWED.length : undefined);
  const cut = body.lastIndexOf(CUT);
  const escaped = cut < 0 ? body : body.slice(0, cut);
  const component = escaped.replaceAll("%00", "\0").replaceAll("%25", "%");
  if (cut >= 0) {
    return { component, shadowed, digest: body.slice(cut + CUT.length) };
  }
  return nameOf(component, shadowed) === name ? { component, shadowed, digest: undefined } : -EILSEQ;
}

/** Whether `component` is the one that a cut name stands for. */
export function hasDigest(component: string, digest: string): boolean {
  return digestOf(component) === digest;
}
