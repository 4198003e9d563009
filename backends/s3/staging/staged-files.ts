import { KeyTree } from "./key-tree.js";
import type { LocalFile } from "./local-file.js";
import type { StagedChild } from "./staging.js";

/** The staged files that have names, by key and by directory, and who waits for their last references. */
export class StagedFiles {
  readonly #files = new Map<string, LocalFile>();
  readonly #tree = new KeyTree();
  readonly #waiting = new Map<LocalFile, (() => void)[]>();

  get(key: string): LocalFile | undefined {
    return this.#files.get(key);
  }

  has(key: string): boolean {
    return this.#files.has(key);
  }

  /** All of them as they are now. */
  all(): LocalFile[] {
    return [...this.#files.values()];
  }

  /** Names in a directory: its prefix with "/", or "". */
  childrenOf(prefix: string): ReadonlyMap<string, StagedChild> {
    const children = new Map<string, StagedChild>();
    for (const name of this.#tree.names(prefix)) {
      children.set(name, { file: this.#files.get(prefix + name) });
    }
    return children;
  }

  hasBelow(prefix: string): boolean {
    return this.#tree.hasBelow(prefix);
  }

  /** The files of a directory and of those in it. */
  below(prefix: string): LocalFile[] {
    return [...this.#tree.below(prefix)].map((key) => this.#files.get(key) as LocalFile);
  }

  /** Under the key that it has now. */
  place(file: LocalFile): void {
    this.#files.set(file.key, file);
    this.#tree.add(file.key);
  }

  /** Before its key changes, or because it has no name any more. */
  unplace(file: LocalFile): void {
    if (this.#files.get(file.key) === file) {
      this.#files.delete(file.key);
      this.#tree.delete(file.key);
    }
  }

  /** Resolves when nobody refers to the file; undefined when nobody does. */
  untilReleased(file: LocalFile): Promise<void> | undefined {
    if (file.references === 0) {
      return undefined;
    }
    return new Promise((resolve) => {
      this.#waiting.set(file, [...(this.#waiting.get(file) ?? []), resolve]);
    });
  }

  /** The last reference is gone. */
  released(file: LocalFile): void {
    for (const resolve of this.#waiting.get(file) ?? []) {
      resolve();
    }
    this.#waiting.delete(file);
  }
}
