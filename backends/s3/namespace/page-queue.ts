import type { ListingPage } from "./directory-listing.js";
import { isBehind, type PageRange } from "./lister.js";

/** Pages on their way to who reads a listing for the first time: each has to come before the next can be asked for. */
const PAGES_AHEAD = 3;
/** The same where it is known where they begin. */
const KNOWN_PAGES_AHEAD = 8;
/** A page that nobody has come for in so long is asked for again. */
const LASTS_MS = 10_000;

/**
 * The pages of a listing in their order, asked for ahead of who takes them: side by side where they are expected to begin
 * at `boundaries`. Should keys have come since, what does not fit on a page is asked for when that is seen.
 */
export class PageQueue {
  readonly #fetch: (range: PageRange) => Promise<ListingPage>;
  readonly #boundaries: readonly string[];
  readonly #ahead: number;
  /** What is on its way or has come, and was not taken, by where it begins. */
  readonly #pages = new Map<string, Promise<ListingPage>>();
  /** Pages that were taken. */
  #turn = 0;

  constructor(fetch: (range: PageRange) => Promise<ListingPage>, boundaries: readonly string[]) {
    this.#fetch = fetch;
    this.#boundaries = boundaries;
    this.#ahead = boundaries.length > 0 ? KNOWN_PAGES_AHEAD : PAGES_AHEAD;
  }

  /** The page behind `after` ("": the first). Rejects with a StoreError. */
  async take(after: string): Promise<ListingPage> {
    const coming = this.#pages.get(after) ?? this.#ask(after);
    for (const start of this.#pages.keys()) {
      if (!isBehind(start, after)) {
        this.#pages.delete(start);
      }
    }
    for (let i = this.#indexBehind(after); i < this.#boundaries.length && this.#hasRoom; i++) {
      const start = this.#boundaries[i] as string;
      if (!this.#pages.has(start)) {
        void this.#ask(start);
      }
    }
    void this.#follow(coming);
    const page = await coming;
    return performance.now() - page.askedMs < LASTS_MS ? page : this.#fetch(this.#rangeBehind(after));
  }

  get #hasRoom(): boolean {
    return this.#pages.size < this.#ahead;
  }

  #ask(after: string): Promise<ListingPage> {
    const page = this.#fetch(this.#rangeBehind(after));
    this.#pages.set(after, page);
    // Whoever wants it after all asks again.
    page.catch(() => {
      if (this.#pages.get(after) === page) {
        this.#pages.delete(after);
      }
    });
    return page;
  }

  #rangeBehind(after: string): PageRange {
    return {
      after: after === "" ? undefined : after,
      until: this.#boundaries[this.#indexBehind(after)],
    };
  }

  /** Asks for the pages behind one as soon as it is known where they begin, until the next one is taken. */
  async #follow(page: Promise<ListingPage>): Promise<void> {
    const turn = ++this.#turn;
    try {
      let { next } = await page;
      while (next !== undefined && turn === this.#turn) {
        const known = this.#pages.get(next);
        if (known === undefined && !this.#hasRoom) {
          return;
        }
        ({ next } = await (known ?? this.#ask(next)));
      }
    } catch {
      // Whoever wants the page hears of it.
    }
  }

  /** The first boundary behind a key. */
  #indexBehind(after: string): number {
    let low = 0;
    let high = this.#boundaries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBehind(this.#boundaries[middle] as string, after)) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }
}
