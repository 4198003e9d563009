import type { VfsHandle } from "./node.js";

/** What an open handle is. */
export type HandleKind = "file" | "directory";

/**
 * Open files and directories by the number the guest was given: a dense index (low half) and its
 * generation (high half). The index is also the place of a bound file in native code.
 */
export class HandleTable {
  readonly #handles: (VfsHandle | undefined)[] = [];
  readonly #kinds: HandleKind[] = [];
  readonly #generations: number[] = [];
  readonly #free: number[] = [];
  #size = 0;

  /** Handles that are open. */
  get size(): number {
    return this.#size;
  }

  /** Opens a place for a handle. @returns its index, also in `handle.tableIndex` */
  add(handle: VfsHandle, kind: HandleKind): number {
    const index = this.#free.pop() ?? this.#handles.length;
    if (index === this.#handles.length) {
      this.#generations.push(1);
    }
    this.#handles[index] = handle;
    this.#kinds[index] = kind;
    handle.tableIndex = index;
    this.#size++;
    return index;
  }

  /** High half of the number of an open handle. */
  generationAt(index: number): number {
    return this.#generations[index] ?? 0;
  }

  /** The open handle of this number and kind, or undefined. */
  get(low: number, high: number, kind: HandleKind): VfsHandle | undefined {
    const handle = this.#handles[low];
    const valid = handle !== undefined && this.#generations[low] === high && this.#kinds[low] === kind;
    return valid ? handle : undefined;
  }

  /** Closes the place of an open handle. */
  remove(handle: VfsHandle): void {
    const index = handle.tableIndex;
    if (index < 0 || this.#handles[index] !== handle) {
      return;
    }
    this.#handles[index] = undefined;
    this.#generations[index] = ((this.#generations[index] as number) + 1) >>> 0;
    this.#free.push(index);
    this.#size--;
    handle.tableIndex = -1;
  }

  /** All open handles with their kinds. */
  *entries(): Generator<[VfsHandle, HandleKind]> {
    for (let index = 0; index < this.#handles.length; index++) {
      const handle = this.#handles[index];
      if (handle !== undefined) {
        yield [handle, this.#kinds[index] as HandleKind];
      }
    }
  }
}
