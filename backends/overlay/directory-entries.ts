import { type AttrRecord, FUSE_ATTR_WORDS } from "../../src/vfs/attributes.js";
import { DIRENT_HEADER_BYTES, DirectoryBuffer, ENTRY_BYTES } from "../../src/vfs/directory-buffer.js";
import type { Result } from "../../src/vfs/errno.js";
import type { VfsHandle, VfsNode } from "../../src/vfs/node.js";
import { type Layer, OVERLAY } from "./layers.js";
import { type Steps, wait } from "./steps.js";

const BUFFER_BYTES = 65_536;
/** Where `struct fuse_attr` lies in an entry with attributes, in words. */
export const ENTRY_ATTR_WORD = 10;

/** An entry of a directory of a layer. */
export interface DirectoryEntry {
  readonly name: string;
  /** S_IFMT bits; 0 when the layer does not say. */
  readonly type: number;
  readonly inoLow: number;
  readonly inoHigh: number;
}

/** What a listing with attributes has shown of an entry. The node is held. */
export interface SeenEntry {
  readonly layer: Layer;
  readonly node: VfsNode;
  /** What the layer has listed, this entry among others, and where its `struct fuse_attr` begins. */
  readonly words: Uint32Array;
  readonly attrWord: number;
}

/** Memory for listings, to be used again. */
const spare: ArrayBuffer[] = [];

/**
 * All entries of a directory of a layer but "." and "..".
 * @param most how many are enough: not many more are read
 * @param seen takes nodes and attributes by name, as far as the layer lists them
 */
export function* readEntries(
  layer: Layer,
  directory: VfsNode,
  most = Number.POSITIVE_INFINITY,
  seen?: Map<string, SeenEntry>,
): Steps<Result<DirectoryEntry[]>> {
  const { backend } = layer;
  const handle = yield* wait(backend.opendir(OVERLAY, directory));
  if (typeof handle === "number") {
    return handle;
  }
  const memory = spare.pop() ?? new ArrayBuffer(BUFFER_BYTES);
  try {
    return yield* readAll(layer, handle, memory, most, seen);
  } finally {
    spare.push(memory);
    yield* wait(backend.releasedir(handle));
  }
}

function* readAll(
  layer: Layer,
  handle: VfsHandle,
  memory: ArrayBuffer,
  most: number,
  seen: Map<string, SeenEntry> | undefined,
): Steps<Result<DirectoryEntry[]>> {
  const nodes = new Map<number, VfsNode>();
  const sink = new DirectoryBuffer(memory, {
    referenceEntry: (node, _words, word) => {
      layer.retain(node);
      nodes.set(word, node);
    },
  });
  const entries: DirectoryEntry[] = [];
  let [low, high] = [0, 0];
  for (;;) {
    sink.begin(seen !== undefined, low, high, BUFFER_BYTES);
    const status = yield* wait(layer.backend.readdir(OVERLAY, handle, sink));
    if (status < 0 || sink.length === 0 || entries.length > most) {
      return status < 0 ? status : entries;
    }
    const words = seen === undefined ? sink.words : sink.words.slice(0, sink.length >>> 2);
    [low, high] = takeEntries(sink, entries, (name, word) => {
      const node = nodes.get(word);
      if (node !== undefined) {
        seen?.set(name, { layer, node, words, attrWord: word + ENTRY_ATTR_WORD });
      }
    });
    nodes.clear();
  }
}

/** Fills a record with the attributes that were listed. */
export function copySeenAttributes({ words, attrWord }: SeenEntry, out: AttrRecord): void {
  for (let i = 0; i < FUSE_ATTR_WORDS; i++) {
    out[i] = words[attrWord + i] as number;
  }
  out.fill(0, FUSE_ATTR_WORDS);
}

/** Reads the records of a buffer; the offset of the last. */
function takeEntries(
  { words, bytes, length, plus }: DirectoryBuffer,
  entries: DirectoryEntry[],
  see: (name: string, word: number) => void,
): [number, number] {
  let offset: [number, number] = [0, 0];
  const prefix = plus ? ENTRY_BYTES : 0;
  for (let position = 0; position < length; ) {
    const word = (position + prefix) >>> 2;
    const begin = position + prefix + DIRENT_HEADER_BYTES;
    const end = begin + (words[word + 4] as number);
    const name = bytes.latin1Slice(begin, end);
    offset = [words[word + 2] as number, words[word + 3] as number];
    if (name !== "." && name !== "..") {
      const type = (words[word + 5] as number) << 12;
      entries.push({ name, type, inoLow: words[word] as number, inoHigh: words[word + 1] as number });
      see(name, position >>> 2);
    }
    position = (end + 7) & ~7;
  }
  return offset;
}

/** Lets go of what nobody has asked for. */
export function releaseSeen(seen: Map<string, SeenEntry>): void {
  for (const { layer, node } of seen.values()) {
    layer.release(node);
  }
  seen.clear();
}
