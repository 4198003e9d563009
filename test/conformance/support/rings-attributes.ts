import type { AttributeChange, Attributes } from "../../support/frontend/index.js";
import { UTIME_NOW, UTIME_OMIT } from "./actor.js";
import type { Context, Words } from "./rings-system.js";
import { checked, type Found } from "./rings-walk.js";
import { FileError, type Value } from "./system.js";

const SECOND_NS = 1_000_000_000;

/** Attributes in the executor's order; a FUSE request knows no birth time. */
export function statValues(attr: Attributes): Value[] {
  const { rdev } = attr;
  const major = (rdev & 0xfff00) >>> 8;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  const numbers = [
    ...[attr.mode, attr.nlink, attr.uid, attr.gid, major, minor, attr.size, attr.blocks, attr.blksize],
    ...[attr.atime, attr.atimeNsec, attr.mtime, attr.mtimeNsec, attr.ctime, attr.ctimeNsec],
    ...[-1, 0],
  ];
  return [attr.ino, ...numbers.map(BigInt)];
}

/** The change that atime and mtime from `index` on ask for; empty when both are left out. */
export function timesChange(words: Words, index: number): AttributeChange {
  const [atimeNsec, mtimeNsec] = [words.number(index + 1), words.number(index + 3)];
  for (const nsec of [atimeNsec, mtimeNsec]) {
    const special = nsec === UTIME_NOW || nsec === UTIME_OMIT;
    if (!special && (nsec < 0 || nsec >= SECOND_NS)) throw new FileError("EINVAL", "utimens");
  }
  return {
    ...oneTime("atime", words.number(index), atimeNsec),
    ...oneTime("mtime", words.number(index + 2), mtimeNsec),
  };
}

function oneTime(name: "atime" | "mtime", seconds: number, nsec: number): AttributeChange {
  if (nsec === UTIME_OMIT) return {};
  return nsec === UTIME_NOW ? { [name]: "now" } : { [name]: seconds, [`${name}Nsec`]: nsec };
}

/** SETATTR, with the flag that a kernel adds when the server clears privileges. */
export function setAttributes(
  { client, killsPrivileges }: Context,
  file: Found,
  fh: bigint | undefined,
  change: AttributeChange,
): void {
  const kills = change.size !== undefined && killsPrivileges;
  const request = { ...change, ...(fh !== undefined && { fh }), ...(kills && { killSuidgid: true }) };
  checked(client.setattr(file.nodeid, request), "setattr");
}
