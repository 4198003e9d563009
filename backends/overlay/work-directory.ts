import { S_IFDIR } from "../../src/vfs/attributes.js";
import { ENOENT, ENOTEMPTY, type Status } from "../../src/vfs/errno.js";
import type { VfsNode } from "../../src/vfs/node.js";
import { type DirectoryEntry, readEntries } from "./directory-entries.js";
import { attrRecord, type Layer, OVERLAY, type UpperLayer } from "./layers.js";
import { type Steps, wait } from "./steps.js";

/** Removes what was built in the work directory, or moved there to be removed. */
export function* discardWork(upper: UpperLayer, name: string, type: number): Steps<Status> {
  return yield* removeEntry(upper, upper.work, { name, type, inoLow: 0, inoHigh: 0 });
}

/** Removes everything in a directory of a layer. */
export function* emptyDirectory(layer: Layer, directory: VfsNode): Steps<Status> {
  const entries = yield* readEntries(layer, directory);
  if (typeof entries === "number") {
    return entries;
  }
  for (const entry of entries) {
    const status = yield* removeEntry(layer, directory, entry);
    if (status < 0 && status !== -ENOENT) {
      return status;
    }
  }
  return 0;
}

function* removeEntry(layer: Layer, parent: VfsNode, { name, type }: DirectoryEntry): Steps<Status> {
  const { backend } = layer;
  if (type !== S_IFDIR) {
    return yield* wait(backend.unlink(OVERLAY, parent, name));
  }
  const removed = yield* wait(backend.rmdir(OVERLAY, parent, name));
  if (removed !== -ENOTEMPTY) {
    return removed;
  }
  const node = yield* wait(backend.lookup(OVERLAY, parent, name, attrRecord()));
  if (typeof node === "number") {
    return node;
  }
  const emptied = yield* emptyDirectory(layer, node);
  const status = emptied < 0 ? emptied : yield* wait(backend.rmdir(OVERLAY, parent, name));
  layer.drop(node);
  return status;
}
