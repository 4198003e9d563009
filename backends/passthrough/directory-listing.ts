import { NOTE_WORDS, Note, posix } from "../../src/native/posix.js";
import { Attr, FUSE_ATTR_SUBMOUNT } from "../../src/vfs/attributes.js";
import { DIRENT_HEADER_BYTES, type DirectoryBuffer, ENTRY_BYTES } from "../../src/vfs/directory-buffer.js";
import type { Status } from "../../src/vfs/errno.js";
import { emptyIdentity, hasBirth, identityAt, isSubmount } from "./identity.js";
import type { DirectoryHandle, PassthroughNode } from "./node.js";
import type { NodeTable } from "./node-table.js";

/** Where `struct fuse_attr` lies in an entry with attributes. */
const ATTR_WORD = 10;
const NAME_BYTE = ENTRY_BYTES + DIRENT_HEADER_BYTES;
const NAME_LENGTH_WORD = ENTRY_BYTES / 4 + 4;

const seen = emptyIdentity();

/** Fills `sink` with the next entries; with `sink.plus` each gets its node, mostly a lazy one. */
export function listDirectory(nodes: NodeTable, handle: DirectoryHandle, sink: DirectoryBuffer): Status {
  const { offsetLow, offsetHigh, bytes, capacity } = sink;
  const used = posix.readDirectory(handle.fd, offsetLow, offsetHigh, sink.plus ? 1 : 0, bytes, capacity);
  return used < 0 ? used : addEntries(nodes, handle, sink, used, posix.notes);
}

/** Gives the entries that native code has stored in `sink` their nodes. */
export function addEntries(
  nodes: NodeTable,
  handle: DirectoryHandle,
  sink: DirectoryBuffer,
  used: number,
  notes: Uint32Array,
): Status {
  sink.length = used;
  const end = NOTE_WORDS * (1 + (notes[0] as number));
  for (let note = NOTE_WORDS; note < end; note += NOTE_WORDS) {
    const position = notes[note + Note.POSITION] as number;
    const node = entryNode(nodes, handle.node, sink, position, notes, note);
    if (node !== undefined) {
      nodes.know(node);
      sink.referenceAt(position, node);
    }
  }
  return 0;
}

/**
 * The node of an entry. Undefined where a lazy node would prove nothing, because the file system has
 * no birth times: the guest then looks the entry up.
 */
function entryNode(
  nodes: NodeTable,
  parent: PassthroughNode,
  sink: DirectoryBuffer,
  position: number,
  notes: Uint32Array,
  note: number,
): PassthroughNode | undefined {
  const dev = notes[note + Note.DEV] as number;
  const mount = notes[note + Note.MOUNT] as number;
  const birth = notes[note + Note.BIRTH] as number;
  const birthNsec = notes[note + Note.BIRTH_NSEC] as number;
  const attr = (position >>> 2) + ATTR_WORD;
  identityAt(sink.words, attr, dev, mount, birth, birthNsec, seen);
  if (isSubmount(seen, parent)) {
    sink.words[attr + Attr.FLAGS] = FUSE_ATTR_SUBMOUNT;
  }
  const node = nodes.match(seen);
  if (node === undefined) {
    return hasBirth(seen) ? nodes.addLazy(seen, parent, nameAt(sink, position)) : undefined;
  }
  if (nodes.needsPlace(node) && !isAt(node, parent, sink, position)) {
    nodes.locate(node, parent, nameAt(sink, position));
  }
  return node;
}

function nameAt(sink: DirectoryBuffer, position: number): string {
  const length = sink.words[(position >>> 2) + NAME_LENGTH_WORD] as number;
  const begin = position + NAME_BYTE;
  return sink.bytes.latin1Slice(begin, begin + length);
}

/** Whether the node was last seen under this very name; no string is made to find out. */
function isAt(
  node: PassthroughNode,
  parent: PassthroughNode,
  sink: DirectoryBuffer,
  position: number,
): boolean {
  const { name } = node;
  const { bytes, words } = sink;
  if (node.parent !== parent || name.length !== words[(position >>> 2) + NAME_LENGTH_WORD]) {
    return false;
  }
  const begin = position + NAME_BYTE;
  for (let i = 0; i < name.length; i++) {
    if (name.charCodeAt(i) !== bytes[begin + i]) {
      return false;
    }
  }
  return true;
}
