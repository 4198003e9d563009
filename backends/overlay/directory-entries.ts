import { DIRENT_HEADER_BYTES, DirectoryBuffer } from "../../src/vfs/directory-buffer.js";
import type { Result } from "../../src/vfs/errno.js";
import type { VfsNode } from "../../src/vfs/node.js";
import { type Layer, OVERLAY } from "./layers.js";
import { type Steps, wait } from "./steps.js";

const BUFFER_BYTES = 65_536;

/** An entry of a directory of a layer. */
export interface DirectoryEntry {
  readonly name: string;
  /** S_IFMT bits; 0 when the layer does not say. */
  readonly type: number;
  readonly inoLow: number;
  readonly inoHigh: number;
}

/**
 * All entries of a directory of a layer but "." and "..".
 * @param most how many are enough: not much more are read
 */
export function* readEntries(
  layer: Layer,
  directory: VfsNode,
  most = Number.POSITIVE_INFINITY,
): Steps<Result<DirectoryEntry[]>> {
  const { backend } = layer;
  const handle = yield* wait(backend.opendir(OVERLAY, directory));
  if (typeof handle === "number") {
    return handle;
  }
  const sink = new DirectoryBuffer(BUFFER_BYTES, { referenceEntry: () => {} });
  const entries: DirectoryEntry[] = [];
  let [low, high] = [0, 0];
  try {
    for (;;) {
      sink.begin(false, low, high, BUFFER_BYTES);
      const status = yield* wait(backend.readdir(OVERLAY, handle, sink));
      if (status < 0 || sink.length === 0 || entries.length > most) {
        return status < 0 ? status : entries;
      }
      [low, high] = takeEntries(sink, entries);
    }
  } finally {
    yield* wait(backend.releasedir(handle));
  }
}

/** Reads the records of a buffer; the offset of the last. */
function takeEntries(sink: DirectoryBuffer, entries: DirectoryEntry[]): [number, number] {
  const { words, bytes } = sink;
  let offset: [number, number] = [0, 0];
  for (let position = 0; position < sink.length; ) {
    const word = position >>> 2;
    const begin = position + DIRENT_HEADER_BYTES;
    const end = begin + (words[word + 4] as number);
    const name = bytes.latin1Slice(begin, end);
    offset = [words[word + 2] as number, words[word + 3] as number];
    if (name !== "." && name !== "..") {
      const type = (words[word + 5] as number) << 12;
      entries.push({ name, type, inoLow: words[word] as number, inoHigh: words[word + 1] as number });
    }
    position = (end + 7) & ~7;
  }
  return offset;
}
