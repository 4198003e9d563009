import type { ListedObject } from "../store/object-store.js";

/** What a listing says of a name in its directory. */
export interface ListedEntry {
  readonly name: string;
  readonly component: string;
  /** Undefined for a directory. */
  readonly object: ListedObject | undefined;
}

/** A page of a listing. */
export interface ListingPage {
  readonly entries: readonly ListedEntry[];
  /** Where the next page goes on; undefined on the last one. */
  readonly next: string | undefined;
  /** When it was asked for, in ms of performance.now(). */
  readonly askedMs: number;
}

/** Pages that are remembered: a larger directory is listed anew each time. */
const MAX_PAGES = 12;

interface KnownPage {
  readonly entries: Map<string, ListedEntry>;
  readonly askedMs: number;
  readonly order: readonly ListedEntry[];
}

/**
 * What is known of a directory's entries by listing it, with what this share changed since. The last pages only,
 * so that a directory of millions takes no memory.
 */
export class DirectoryListing {
  readonly #pages: KnownPage[] = [];
  #complete = false;
  #dropped = false;

  /** All entries are known: a name that is not among them does not exist. */
  get complete(): boolean {
    return this.#complete;
  }

  get size(): number {
    return this.#pages.reduce((sum, page) => sum + page.entries.size, 0);
  }

  /** The age of the oldest page counts. */
  get askedMs(): number {
    return this.#pages[0]?.askedMs ?? Number.NEGATIVE_INFINITY;
  }

  /** Takes the next page. */
  append(page: ListingPage): void {
    const entries = new Map(page.entries.map((entry) => [entry.name, entry]));
    this.#pages.push({ entries, askedMs: page.askedMs, order: page.entries });
    if (this.#pages.length > MAX_PAGES) {
      this.#pages.shift();
      this.#dropped = true;
    }
    this.#complete = page.next === undefined && !this.#dropped;
  }

  /** The entry and when the bucket said so. */
  find(name: string): { readonly entry: ListedEntry; readonly askedMs: number } | undefined {
    for (let i = this.#pages.length - 1; i >= 0; i--) {
      const page = this.#pages[i] as KnownPage;
      const entry = page.entries.get(name);
      if (entry !== undefined) {
        return { entry, askedMs: page.askedMs };
      }
    }
    return undefined;
  }

  /** Entries that were listed behind `name`, at most `count`: who asks for one often asks for them next. */
  behind(name: string, count: number): readonly ListedEntry[] {
    for (const { order, entries } of this.#pages) {
      if (entries.has(name)) {
        const at = order.findIndex((entry) => entry.name === name);
        return order.slice(at + 1, at + 1 + count);
      }
    }
    return [];
  }

  *entries(): Generator<ListedEntry> {
    for (const page of this.#pages) {
      yield* page.entries.values();
    }
  }

  /** A change by this share. */
  put(entry: ListedEntry): void {
    const page = this.#pages.find(({ entries }) => entries.has(entry.name)) ?? this.#pages.at(-1);
    page?.entries.set(entry.name, entry);
  }

  remove(name: string): void {
    for (const page of this.#pages) {
      page.entries.delete(name);
    }
  }
}
