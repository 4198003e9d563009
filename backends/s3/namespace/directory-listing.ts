import type { ListedObject } from "../store/object-store.js";
import type { LookAhead } from "./look-ahead.js";

/** How Hadoop's older file systems mark a directory: of what a name can stand for, the last in the order of keys. */
export const FOLDER_SUFFIX = "_$folder$";

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
  /** What it is behind; undefined on the first one. */
  readonly after: string | undefined;
  /** Where the next page goes on; undefined on the last one. */
  readonly next: string | undefined;
  /** When it was asked for, in ms of performance.now(). */
  readonly askedMs: number;
}

/** Pages that are remembered: of a larger directory, pages are listed again. */
const MAX_PAGES = 12;
/** What the bucket puts on a page. */
const KEYS_OF_PAGE = 1000;
/** So many times as many pages as there have to be are taken as they are. */
const MOST_WORN = 1.5;
/** Look-ups of a page that are asked one by one, before it is listed again to answer them all. */
const MISSES_BEFORE_LISTING = 2;

/** In the order of a listing. */
function isBefore(one: string, other: string): boolean {
  return Buffer.compare(Buffer.from(one), Buffer.from(other)) < 0;
}

interface KnownPage {
  readonly entries: Map<string, ListedEntry>;
  readonly listed: ListingPage;
  /** Where names are in `listed.entries`. */
  readonly positions: ReadonlyMap<string, number>;
  /** Position of the first entry in the whole listing. */
  readonly first: number;
}

/** Where a page begins. */
interface PageStart {
  /** "" on the first page. */
  readonly after: string;
  readonly first: number;
}

/**
 * What is known of a directory's entries by listing it, with what this share changed since. The last pages only,
 * so that a directory of millions takes no memory; of the others it is known where they begin.
 */
export class DirectoryListing {
  readonly #pages: KnownPage[] = [];
  /** In the order of keys, without gaps. */
  readonly #starts: PageStart[] = [];
  /** What is behind it was not listed. */
  #end: string | undefined = "";
  #length = 0;
  #missedPage = Number.NEGATIVE_INFINITY;
  #misses = 0;
  #complete = false;
  #dropped = false;

  /** All entries are known: a name that is not among them does not exist. */
  get complete(): boolean {
    return this.#complete;
  }

  get size(): number {
    return this.#pages.reduce((sum, page) => sum + page.entries.size, 0);
  }

  /**
   * Where the pages behind the first one begin, in the order of keys: who lists the directory again can ask for them side
   * by side. None if they have become many for what is in them, as they do when pages that are full get more entries.
   */
  get boundaries(): readonly string[] {
    const isWorn = this.#starts.length > 2 + (this.#length / KEYS_OF_PAGE) * MOST_WORN;
    return isWorn ? [] : this.#starts.slice(1).map(({ after }) => after);
  }

  /** The age of the oldest page counts. */
  get askedMs(): number {
    const times = this.#pages.map(({ listed }) => listed.askedMs);
    return times.length === 0 ? Number.NEGATIVE_INFINITY : Math.min(...times);
  }

  /** Takes the next page, or one that was listed again. */
  append(page: ListingPage): void {
    const after = page.after ?? "";
    const start = this.#starts.find((candidate) => candidate.after === after);
    const known: KnownPage = {
      entries: new Map(page.entries.map((entry) => [entry.name, entry])),
      listed: page,
      positions: new Map(page.entries.map(({ name }, position) => [name, position])),
      first: start?.first ?? this.#length,
    };
    const old = this.#pages.findIndex(({ listed }) => listed.after === page.after);
    const [replaced] = old < 0 ? [] : this.#pages.splice(old, 1);
    this.#pages.push(known);
    if (this.#pages.length > MAX_PAGES) {
      this.#pages.shift();
      this.#dropped = true;
    }
    if (start === undefined) {
      this.#starts.push({ after, first: this.#length });
      this.#length += page.entries.length;
      this.#end = page.next;
      this.#complete = page.next === undefined && !this.#dropped;
    } else {
      this.#complete &&= replaced !== undefined && replaced.listed.next === page.next;
    }
  }

  /**
   * Notes that a key was asked for whose page is no longer believed, or was not listed.
   * @returns behind which key to list that page ("": the first) for who goes on asking for its keys; otherwise undefined
   */
  missed(key: string): string | undefined {
    const isBehind = this.#end !== undefined && key > this.#end;
    const page = isBehind ? this.#starts.length : this.#starts.findLastIndex(({ after }) => after < key);
    const isNear = page === this.#missedPage || page === this.#missedPage + 1;
    this.#missedPage = page;
    this.#misses = isNear ? this.#misses + 1 : 1;
    if (this.#misses <= MISSES_BEFORE_LISTING) {
      return undefined;
    }
    // Should the page not have it, the keys are not asked for in order.
    this.#misses = 0;
    return isBehind ? this.#end : this.#starts[page]?.after;
  }

  /**
   * When the bucket said that there is no entry with this name, whose object would have this key: in ms of
   * performance.now(), -Infinity if it did not. All that the name can stand for has to be on one page.
   */
  absentAt(name: string, key: string): number {
    const last = key + FOLDER_SUFFIX;
    const page = this.#pages.findLast(
      ({ listed: { after, next } }) =>
        isBefore(after ?? "", key) && (next === undefined || !isBefore(next, last)),
    );
    return page === undefined || this.find(name) !== undefined
      ? Number.NEGATIVE_INFINITY
      : page.listed.askedMs;
  }

  /** The entry and when the bucket said so. */
  find(name: string): { readonly entry: ListedEntry; readonly askedMs: number } | undefined {
    for (let i = this.#pages.length - 1; i >= 0; i--) {
      const { entries, listed } = this.#pages[i] as KnownPage;
      const entry = entries.get(name);
      if (entry !== undefined) {
        return { entry, askedMs: listed.askedMs };
      }
    }
    return undefined;
  }

  /** Entries that will be wanted soon by who is followed, now that `name` is; each of them once for who goes on in an order. */
  ahead(name: string, follower: LookAhead): readonly ListedEntry[] {
    for (const { positions, first } of this.#pages) {
      const position = positions.get(name);
      if (position !== undefined) {
        const wanted = follower.advance(name, first + position, this.#length);
        return "from" in wanted
          ? this.#slice(wanted.from, wanted.to)
          : wanted.flatMap((next) => this.find(next)?.entry ?? []);
      }
    }
    return [];
  }

  #slice(from: number, to: number): readonly ListedEntry[] {
    return this.#pages.flatMap(({ first, listed }) =>
      listed.entries.slice(Math.max(from - first, 0), Math.max(to - first, 0)),
    );
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
