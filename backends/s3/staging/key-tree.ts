/** What is staged directly in a directory, by name, and how much below each name. */
type Children = Map<string, number>;

/** The directory that holds a key or a prefix, with its "/"; "" at the top. The marker "a/b/" is in "a/b/". */
function directoryOf(key: string): string {
  return key.slice(0, key.lastIndexOf("/") + 1);
}

/**
 * Keys by directory: each directory has those directly in it and, ending in "/", the directories that exist because of
 * keys further below.
 */
export class KeyTree {
  readonly #directories = new Map<string, Children>();

  add(key: string): void {
    this.#count(key, 1);
  }

  delete(key: string): void {
    this.#count(key, -1);
  }

  /** Names in a directory (a prefix with its "/", or ""), without the prefix; its own marker is "". */
  names(prefix: string): Iterable<string> {
    return this.#directories.get(prefix)?.keys() ?? [];
  }

  /** Whether any key has the prefix, which ends in "/" or is "". */
  hasBelow(prefix: string): boolean {
    return this.#directories.has(prefix);
  }

  /** All keys with the prefix, which ends in "/" or is "". They may be deleted meanwhile. */
  *below(prefix: string): Generator<string> {
    for (const name of [...this.names(prefix)]) {
      if (name.endsWith("/")) {
        yield* this.below(prefix + name);
      } else {
        yield prefix + name;
      }
    }
  }

  #count(key: string, by: 1 | -1): void {
    let directory = directoryOf(key);
    let name = key.slice(directory.length);
    for (;;) {
      const children = this.#directories.get(directory) ?? new Map<string, number>();
      const count = (children.get(name) ?? 0) + by;
      if (count > 0) {
        children.set(name, count);
        this.#directories.set(directory, children);
      } else {
        children.delete(name);
        if (children.size === 0) {
          this.#directories.delete(directory);
        }
      }
      if (directory === "") {
        return;
      }
      const parent = directoryOf(directory.slice(0, -1));
      name = directory.slice(parent.length);
      directory = parent;
    }
  }
}
