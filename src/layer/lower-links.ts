import { closeSync, readdirSync } from "node:fs";
import type { HostFile } from "../native/host-file.js";
import { posix } from "../native/posix.js";
import type { Marks } from "./marks.js";
import type { MergedDirectory } from "./merged-directory.js";

/** struct ovl_fb of the kernel: where the type of the file handle is, and the handle. */
const ORIGIN_TYPE = 4;
const ORIGIN_HANDLE = 21;
/** What {@link posix.handleOf} gives: the same behind the mount's number. */
const HANDLE_TYPE = 4;
const HANDLE = 8;

/** The lower file that a file with more names below (overlayfs's index) was copied from; undefined for others. */
export function originOfLinked(marks: Marks, file: HostFile): string | undefined {
  if (file.type === "directory" || marks.get(file.fd, "nlink") === undefined) {
    return undefined;
  }
  const origin = marks.get(file.fd, "origin");
  return origin && `${origin.charCodeAt(ORIGIN_TYPE)} ${origin.slice(ORIGIN_HANDLE)}`;
}

function handleOf(file: HostFile): string | undefined {
  const handle = posix.handleOf(file.fd);
  return typeof handle === "number" ? undefined : `${handle.charCodeAt(HANDLE_TYPE)} ${handle.slice(HANDLE)}`;
}

/** Names in one or more directories, in order of their bytes. */
export function namesIn(directories: readonly HostFile[]): string[] {
  const names = directories.flatMap(({ fd }) => readdirSync(`/proc/self/fd/${fd}`, "latin1"));
  return [...new Set(names)].sort();
}

/**
 * Names that only lower layers have of files that were copied up under another name: with overlayfs's index
 * they are one file nevertheless.
 * @param wanted by origin, where each of these files is now
 * @returns pairs of such a name and where its file is, in order
 */
export function* lowerLinks<T>(
  directory: MergedDirectory,
  path: string,
  wanted: ReadonlyMap<string, T>,
): Generator<readonly [path: string, target: T]> {
  for (const name of namesIn(directory.parts.map(({ file }) => file))) {
    const file = directory.find(name);
    if (file === undefined) {
      continue;
    }
    try {
      if (file.type === "directory") {
        const child = directory.directory(name);
        yield* lowerLinks(child, `${path}${name}/`, wanted);
        child.close();
      }
      const target = file.nlink > 1 ? wanted.get(handleOf(file) ?? "") : undefined;
      if (target !== undefined) {
        yield [`${path}${name}`, target];
      }
    } finally {
      closeSync(file.fd);
    }
  }
}
