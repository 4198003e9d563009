import { DirectoryListing, type ListedEntry } from "./directory-listing.js";
import { linkBase, nameOf } from "./names.js";
import type { Namespace } from "./namespace.js";
import type { S3Directory } from "./node.js";
import { PageQueue } from "./page-queue.js";

/** Entries by their number in the stream, page by page. */
export interface StreamPage {
  /** Number of the first entry. */
  readonly first: number;
  readonly entries: readonly ListedEntry[];
  readonly isLast: boolean;
  /** Which page it is, from 0. */
  readonly index: number;
}

/** Where a page begins, so that it can be listed again. */
interface Cookie {
  readonly first: number;
  /** Undefined: local names, which come first. */
  readonly after: string | undefined;
}

/**
 * The entries of a directory for one open handle: what is only local first, then what the bucket lists, a page at a
 * time with the next ones on their way. An entry keeps its number while the handle is open. Pages behind the reader
 * are forgotten and listed again if it goes back.
 */
export class DirectoryStream {
  readonly #namespace: Namespace;
  readonly #directory: S3Directory;
  #local: readonly ListedEntry[] | undefined;
  #localNames: ReadonlySet<string> = new Set();
  #cookies: Cookie[] = [];
  #page: StreamPage | undefined;
  #queue: PageQueue | undefined;
  #listing = new DirectoryListing();

  constructor(namespace: Namespace, directory: S3Directory) {
    this.#namespace = namespace;
    this.#directory = directory;
  }

  /** Begins anew: rewinddir(3). */
  rewind(): void {
    this.#local = undefined;
    this.#cookies = [];
    this.#page = undefined;
    this.#queue = undefined;
    this.#listing = new DirectoryListing();
  }

  /** The page with entry `number`, or the last one. Rejects with a StoreError. */
  pageAt(number: number): StreamPage | Promise<StreamPage> {
    const page = this.#page;
    if (
      page !== undefined &&
      number >= page.first &&
      (page.isLast || number < page.first + page.entries.length)
    ) {
      return page;
    }
    return this.#seek(number);
  }

  async #seek(number: number): Promise<StreamPage> {
    this.#begin();
    let page = this.#page as StreamPage;
    if (number < page.first) {
      page = await this.#load(this.#cookies.findLastIndex(({ first }) => first <= number));
    }
    while (!page.isLast && number >= page.first + page.entries.length) {
      page = await this.#load(page.index + 1);
    }
    this.#page = page;
    return page;
  }

  #begin(): void {
    if (this.#local !== undefined) {
      return;
    }
    const { listing } = this.#directory;
    const { volume } = this.#namespace;
    this.#local = this.#localEntries();
    this.#localNames = new Set(this.#local.map(({ name }) => name));
    const isKnown = listing?.complete === true && volume.isFresh(listing.askedMs);
    const known = isKnown ? this.#notLocal([...listing.entries()]) : [];
    const entries = [...this.#local, ...known];
    this.#page = { first: 0, entries, isLast: isKnown, index: 0 };
    this.#cookies = [{ first: 0, after: undefined }];
    if (!isKnown) {
      this.#cookies.push({ first: entries.length, after: "" });
    }
  }

  #localEntries(): ListedEntry[] {
    const { area } = this.#namespace.volume;
    const entries: ListedEntry[] = [];
    for (const [text, { file }] of area.childrenOf(this.#directory.key)) {
      const isDirectory = text.endsWith("/");
      const component = isDirectory ? text.slice(0, -1) : text;
      if (component !== "" || isDirectory) {
        const object =
          isDirectory || file === undefined
            ? undefined
            : { key: file.key, size: file.size, etag: "", lastModifiedMs: file.modifiedMs };
        const base = isDirectory ? undefined : linkBase(component);
        const isLink = base !== undefined && area.find(this.#directory.key + base) === undefined;
        entries.push({ name: nameOf(isLink ? base : component), component, object });
      }
    }
    return entries;
  }

  /** What was local when the stream began has been shown. */
  #notLocal(entries: readonly ListedEntry[]): readonly ListedEntry[] {
    return entries.filter(({ name }) => !this.#localNames.has(name));
  }

  async #load(index: number): Promise<StreamPage> {
    const { first, after } = this.#cookies[index] as Cookie;
    if (after === undefined) {
      return { first, entries: this.#local ?? [], isLast: false, index };
    }
    const listing = this.#listing;
    const page = await this.#pages.take(after);
    const listed = this.#namespace.keep(this.#directory, page, listing);
    const entries = this.#notLocal(listed.entries);
    if (listed.next !== undefined && this.#cookies.length === index + 1) {
      this.#cookies.push({ first: first + entries.length, after: listed.next });
    }
    return { first, entries, isLast: listed.next === undefined, index };
  }

  /** What the bucket has, expected to be much as the last listing found it. */
  get #pages(): PageQueue {
    const directory = this.#directory;
    this.#queue ??= new PageQueue(
      (range) => this.#namespace.fetchPage(directory, range),
      directory.listing?.boundaries ?? [],
    );
    return this.#queue;
  }
}
