import { createHash } from "node:crypto";
import type { TarEntry } from "../../../src/tar/entry.js";
import { TarWriter } from "../../../src/tar/writer.js";

const DEFAULTS: TarEntry = {
  path: "f",
  type: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: { seconds: 1_000_000_000, nanoseconds: 123_456_789 },
  atime: undefined,
  linkPath: "",
  major: 0,
  minor: 0,
  xattrs: new Map(),
  size: 0n,
  extents: undefined,
};

/** An entry by what is special about it; `contents` are those of a file. */
export type ArchiveEntry = Partial<TarEntry> & { readonly path: string; readonly contents?: string };

export function directory(path: string, more: Partial<TarEntry> = {}): ArchiveEntry {
  return { path, type: "directory", mode: 0o755, ...more };
}

export function file(path: string, contents = "", more: Partial<TarEntry> = {}): ArchiveEntry {
  return { path, contents, size: BigInt(contents.length), ...more };
}

/** An archive of these entries, as they are. */
export async function archiveOf(...entries: readonly ArchiveEntry[]): Promise<Buffer> {
  const written: Buffer[] = [];
  const writer = new TarWriter(async (bytes) => void written.push(Buffer.from(bytes)));
  for (const { contents = "", ...entry } of entries) {
    await writer.begin({ ...DEFAULTS, ...entry });
    await writer.write(Buffer.from(contents, "latin1"));
    writer.end();
  }
  await writer.finish();
  return Buffer.concat(written);
}

export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
