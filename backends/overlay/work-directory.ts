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
  const node = yield* wait(layer.lookup(parent, name, attrRecord()));
  if (typeof node === "number") {
    return node;
  }
  const emptied = yield* emptyDirectory(layer, node);
  const status = emptied < 0 ? emptied : yield* wait(backend.rmdir(OVERLAY, parent, name));
  layer.release(node);
  return status;
}

/** What Linux leaves in the work directory of a volatile overlay; it refuses to go on where it finds it. */
const VOLATILE_MARK = ["incompat", "volatile"] as const;

/**
 * Empties the work directory, where a crash may have left something, and marks it for a volatile overlay.
 * @returns "lost" when the overlay was volatile before and not ended
 */
export function* prepareWork(upper: UpperLayer, isVolatile: boolean): Steps<Status | "lost"> {
  const { backend, work } = upper;
  const [outer, inner] = VOLATILE_MARK;
  const mark = yield* wait(upper.lookup(work, outer, attrRecord()));
  if (typeof mark !== "number") {
    const found = yield* wait(upper.lookup(mark, inner, attrRecord()));
    upper.release(mark);
    if (typeof found !== "number") {
      return "lost";
    }
  }
  const emptied = yield* emptyDirectory(upper, work);
  if (emptied < 0 || !isVolatile) {
    return emptied;
  }
  let directory = work;
  for (const name of VOLATILE_MARK) {
    const made = yield* wait(upper.hold(backend.mkdir(OVERLAY, directory, name, 0o700, attrRecord())));
    if (typeof made === "number") {
      return made;
    }
    directory = made;
  }
  return 0;
}

/** Writes a volatile layer to disk, so that it can be used again. */
export function* finishVolatile(upper: UpperLayer): Steps<Status> {
  const synced = yield* wait(upper.backend.syncfs(upper.root));
  return synced < 0 ? synced : yield* emptyDirectory(upper, upper.work);
}
