import type { AttrRecord } from "../../src/vfs/attributes.js";
import { S_IFDIR } from "../../src/vfs/attributes.js";
import type { DirectoryBuffer } from "../../src/vfs/directory-buffer.js";
import { ENOENT, type Status } from "../../src/vfs/errno.js";
import type { MemoryDirectoryHandle } from "./nodes.js";
import type { MemoryStore } from "./store.js";
import { highWord, lowWord } from "./words.js";

const DOT_OFFSET = 1;
const DOT_DOT_OFFSET = 2;
const DIRECTORY_TYPE = S_IFDIR >>> 12;

function addDot(sink: DirectoryBuffer, name: string, ino: number, offset: number): boolean {
  return sink.offset >= offset || sink.add(name, lowWord(ino), highWord(ino), DIRECTORY_TYPE, offset);
}

/** readdir and readdirplus. `scratch` holds one entry's attributes at a time. -ENOENT after rmdir. */
export function fillDirectory(
  store: MemoryStore,
  { node: directory, keepsAtime }: MemoryDirectoryHandle,
  sink: DirectoryBuffer,
  scratch: AttrRecord,
): Status {
  if (directory.removed) {
    return -ENOENT;
  }
  const hasDots =
    addDot(sink, ".", directory.ino, DOT_OFFSET) && addDot(sink, "..", directory.parent.ino, DOT_DOT_OFFSET);
  if (!hasDots) {
    return 0;
  }
  const { plus } = sink;
  directory.entries.visitAfter(sink.offset, (entry, node) => {
    const [low, high, type] = [lowWord(node.ino), highWord(node.ino), node.mode >>> 12];
    if (!plus) {
      return sink.add(entry.name, low, high, type, entry.offset);
    }
    store.fillAttributes(node, scratch);
    return sink.add(entry.name, low, high, type, entry.offset, node, scratch);
  });
  if (!keepsAtime) {
    store.touchRead(directory);
  }
  return 0;
}
