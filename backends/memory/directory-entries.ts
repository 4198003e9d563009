/** A name in a directory. */
export interface DirectoryEntry<Node> {
  readonly name: string;
  /** Place in the directory's order, what telldir shows: never reused, never changed. */
  readonly offset: number;
  /** What the name stands for; undefined once the entry is removed. */
  node: Node | undefined;
}

/** Offsets 1 and 2 are those of "." and "..". */
const FIRST_OFFSET = 3;
const TOMBSTONES_KEPT = 32;

/** Entries that one directory takes; a Map of V8 ends a little above. */
export const MAX_DIRECTORY_ENTRIES = 16_000_000;

/**
 * The entries of a directory by name and in the order they were made. Offsets count up, so reading
 * goes on behind any offset with a binary search, whatever was created or removed meanwhile: an
 * entry that stays is met exactly once.
 */
export class DirectoryEntries<Node> {
  /**
   * Removed names stay with their entry. Deleting from a Map leaves a tombstone in the chain of its
   * hash, so a name that comes and goes in a large directory would make its own look-ups slow.
   */
  #byName: Map<string, DirectoryEntry<Node>> | undefined;
  /** By offset; removed entries stay until there are more of them than others. */
  #ordered: DirectoryEntry<Node>[] = [];
  #size = 0;
  /** All entries before this index are removed. */
  #head = 0;
  #nextOffset = FIRST_OFFSET;

  get size(): number {
    return this.#size;
  }

  get(name: string): DirectoryEntry<Node> | undefined {
    const entry = this.#byName?.get(name);
    return entry?.node === undefined ? undefined : entry;
  }

  /** Adds a name that is not there. */
  add(name: string, node: Node): void {
    const entry: DirectoryEntry<Node> = { name, offset: this.#nextOffset++, node };
    this.#byName ??= new Map();
    this.#byName.set(name, entry);
    this.#ordered.push(entry);
    this.#size++;
  }

  /** Removes an entry that is there. */
  remove(entry: DirectoryEntry<Node>): void {
    entry.node = undefined;
    this.#size--;
    const tombstones = this.#ordered.length - this.#size;
    if (tombstones > TOMBSTONES_KEPT && tombstones > this.#size) {
      this.#ordered = this.#ordered.filter((kept) => kept.node !== undefined);
      this.#byName = new Map(this.#ordered.map((kept) => [kept.name, kept]));
      this.#head = 0;
    }
  }

  /**
   * Calls `visit` for the entries behind `offset` in order, until it returns false. `visit` must not
   * change the directory.
   */
  visitAfter(offset: number, visit: (entry: DirectoryEntry<Node>, node: Node) => boolean): void {
    const ordered = this.#ordered;
    for (let index = this.#indexAfter(offset); index < ordered.length; index++) {
      const entry = ordered[index] as DirectoryEntry<Node>;
      if (entry.node !== undefined && !visit(entry, entry.node)) {
        return;
      }
    }
  }

  #indexAfter(offset: number): number {
    const ordered = this.#ordered;
    while (this.#head < ordered.length && ordered[this.#head]?.node === undefined) {
      this.#head++;
    }
    let low = this.#head;
    let high = ordered.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ordered[middle] as DirectoryEntry<Node>).offset <= offset) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}
