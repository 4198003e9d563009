import { type AttrRecord, S_IFDIR, S_IFLNK, S_IFREG } from "../../../src/vfs/attributes.js";
import { DIRENT_HEADER_BYTES, type DirectoryBuffer, ENTRY_BYTES } from "../../../src/vfs/directory-buffer.js";
import { type Awaitable, ENOENT, type Status } from "../../../src/vfs/errno.js";
import { VfsHandle } from "../../../src/vfs/node.js";
import { fillAttributes } from "../attributes/fill-attributes.js";
import { errnoOf } from "../errors.js";
import { type AnswerKind, AttributeDemand } from "./attribute-demand.js";
import type { ListedEntry } from "./directory-listing.js";
import { DirectoryStream, type StreamPage } from "./directory-stream.js";
import { hashKey } from "./inode-numbers.js";
import { isRcloneLink } from "./names.js";
import type { Namespace } from "./namespace.js";
import { type S3Directory, type S3Node, typeBits } from "./node.js";

const DOTS = 2;
const TYPE_SHIFT = 12;
const DIRECTORY_TYPE = S_IFDIR >>> TYPE_SHIFT;
const UNKNOWN_TYPE = 0;
/** Metadata that are fetched before the guest asks for their entries. */
const FETCH_AHEAD = 256;
/** A symbolic link's target is no longer: objects above are regular files. */
const LONGEST_TARGET = 4096;

/** An open directory. */
export class S3DirectoryHandle extends VfsHandle {
  declare readonly node: S3Directory;
  readonly stream: DirectoryStream;
  demand: AttributeDemand;

  constructor(node: S3Directory, namespace: Namespace) {
    super(node);
    this.stream = new DirectoryStream(namespace, node);
    this.demand = new AttributeDemand(node.lookedUp);
  }
}

function addDots(directory: S3Directory, sink: DirectoryBuffer): boolean {
  const { offset } = sink;
  const parent = directory.parent ?? directory;
  return (
    (offset >= 1 || addPlain(sink, ".", directory.ino, DIRECTORY_TYPE, 1)) &&
    (offset >= DOTS || addPlain(sink, "..", parent.ino, DIRECTORY_TYPE, DOTS))
  );
}

function addPlain(sink: DirectoryBuffer, name: string, ino: number, type: number, offset: number): boolean {
  return sink.add(name, ino % 2 ** 32, Math.floor(ino / 2 ** 32), type, offset);
}

function plainType(namespace: Namespace, directory: S3Directory, entry: ListedEntry): number {
  const { object } = entry;
  if (object === undefined) {
    return DIRECTORY_TYPE;
  }
  const live = directory.children.get(entry.name);
  if (live?.attributes !== undefined) {
    return typeBits(live) >>> TYPE_SHIFT;
  }
  if (isRcloneLink(entry.name, entry.component)) {
    return S_IFLNK >>> TYPE_SHIFT;
  }
  const isFile = object.size > LONGEST_TARGET || namespace.volume.options.dialect === "none";
  return isFile ? S_IFREG >>> TYPE_SHIFT : UNKNOWN_TYPE;
}

/** What an answer is made of. */
interface Answer {
  readonly namespace: Namespace;
  readonly handle: S3DirectoryHandle;
  readonly sink: DirectoryBuffer;
  readonly kind: AnswerKind;
  readonly scratch: AttrRecord;
}

/** Adds an entry, with its attributes where they are wanted and known. */
function addEntry(answer: Answer, entry: ListedEntry, nextOffset: number): boolean {
  const { namespace, handle, sink, kind, scratch } = answer;
  const directory = handle.node;
  const node = sink.plus && kind.known ? knownNode(namespace, directory, entry) : undefined;
  const added =
    node === undefined
      ? addBare(namespace, directory, sink, entry, nextOffset)
      : addKnown(sink, entry, node, nextOffset, scratch);
  if (node !== undefined) {
    namespace.drop(node);
  }
  if (added) {
    handle.demand.added(node !== undefined);
  }
  return added;
}

function addKnown(
  sink: DirectoryBuffer,
  { name }: ListedEntry,
  node: S3Node,
  nextOffset: number,
  scratch: AttrRecord,
): boolean {
  fillAttributes(node, scratch);
  const [low, high] = [scratch[0] as number, scratch[1] as number];
  return sink.add(name, low, high, typeBits(node) >>> TYPE_SHIFT, nextOffset, node, scratch);
}

function addBare(
  namespace: Namespace,
  directory: S3Directory,
  sink: DirectoryBuffer,
  entry: ListedEntry,
  nextOffset: number,
): boolean {
  const live = directory.children.get(entry.name);
  const suffix = entry.object === undefined ? "/" : "";
  const ino = live?.ino ?? hashKey(directory.key + entry.component + suffix);
  return addPlain(sink, entry.name, ino, plainType(namespace, directory, entry), nextOffset);
}

/** The inode of an entry if all that the guest is told of it is known. */
function knownNode(namespace: Namespace, directory: S3Directory, entry: ListedEntry): S3Node | undefined {
  if (!directory.children.has(entry.name) && !namespace.knowsAttributes(directory, entry)) {
    return undefined;
  }
  const child = namespace.peek(directory, entry.name);
  if (child === undefined) {
    return undefined;
  }
  if (!namespace.isLoaded(child)) {
    namespace.drop(child);
    return undefined;
  }
  return child;
}

function fill(answer: Answer, page: StreamPage): Awaitable<Status> {
  const { handle, sink } = answer;
  let number = Math.max(sink.offset - DOTS, 0);
  let current = page;
  for (;;) {
    for (; number < current.first + current.entries.length; number++) {
      const entry = current.entries[number - current.first] as ListedEntry;
      if (!addEntry(answer, entry, number + DOTS + 1)) {
        return 0;
      }
    }
    // Something has been found: what else there is may take its time.
    if (current.isLast || sink.length > 0) {
      return 0;
    }
    const next = handle.stream.pageAt(number);
    if (next instanceof Promise) {
      return next.then((later) => fill(answer, later));
    }
    current = next;
  }
}

/** Fetches the metadata that the guest will get, and sets out to fetch those for its next requests. */
function fetchWanted(
  { namespace, handle, sink, kind }: Answer,
  page: StreamPage,
): Promise<unknown> | undefined {
  if (!sink.plus || !kind.fetches) {
    return undefined;
  }
  const { node } = handle;
  const from = Math.max(sink.offset - DOTS, 0) - page.first;
  const count = Math.ceil(sink.capacity / (ENTRY_BYTES + DIRENT_HEADER_BYTES));
  const wanted = namespace.prefetch(node, page.entries.slice(from, from + count));
  void namespace.prefetch(node, page.entries.slice(from + count, from + count + FETCH_AHEAD));
  return wanted;
}

/** readdir and readdirplus. -ENOENT after rmdir. */
export function readDirectory(
  namespace: Namespace,
  handle: S3DirectoryHandle,
  sink: DirectoryBuffer,
  scratch: AttrRecord,
): Awaitable<Status> {
  const { node, stream } = handle;
  if (node.removed) {
    return -ENOENT;
  }
  if (sink.offset === 0) {
    stream.rewind();
    handle.demand = new AttributeDemand(node.lookedUp);
  }
  if (!addDots(node, sink)) {
    return 0;
  }
  const answer = { namespace, handle, sink, kind: handle.demand.begin(node.lookedUp), scratch };
  const page = stream.pageAt(Math.max(sink.offset - DOTS, 0));
  const finish = (found: StreamPage): Awaitable<Status> => {
    const fetching = fetchWanted(answer, found);
    const rest = () => fill(answer, found);
    return fetching === undefined ? rest() : fetching.then(rest);
  };
  const status = page instanceof Promise ? page.then(finish) : finish(page);
  if (!(status instanceof Promise)) {
    return status;
  }
  return status.catch((error: unknown) => errnoOf(error, namespace.volume.options.logger));
}
