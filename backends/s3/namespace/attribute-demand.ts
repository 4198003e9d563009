/** Entries of a listing whose attributes are at hand are given with them, so many before anybody has looked at one. */
const UNASKED_ENTRIES = 16_384;
/** Answers with attributes at most, before one without tells whether they are still wanted. */
const MOST_ANSWERS = 64;

/** What an answer to READDIRPLUS is to bring. */
export interface AnswerKind {
  /** Attributes of all entries, asked for where they are not at hand. */
  readonly fetches: boolean;
  /** Attributes of the entries where they are at hand. */
  readonly known: boolean;
}

/**
 * Finds out whether who reads a listing looks at its entries. The guest asks with READDIRPLUS in any case: entries that it
 * got without attributes and wants to look at it has to look up, and that tells. Then the next answers bring attributes,
 * twice as many each time, with one without behind them.
 */
export class AttributeDemand {
  #lookups: number;
  /** Entries of the last answer that came without attributes. */
  #bare = 0;
  #unasked = UNASKED_ENTRIES;
  #answers = 0;
  #nextAnswers = 1;
  #fetches = false;

  /** @param lookups in the directory so far */
  constructor(lookups: number) {
    this.#lookups = lookups;
  }

  /** Begins an answer. @param lookups in the directory so far */
  begin(lookups: number): AnswerKind {
    const isWanted = this.#bare > 0 && lookups - this.#lookups >= this.#bare / 2;
    this.#lookups = lookups;
    if (isWanted) {
      this.#answers = this.#nextAnswers;
      this.#nextAnswers = Math.min(this.#nextAnswers * 2, MOST_ANSWERS);
    } else if (this.#bare > 0) {
      this.#nextAnswers = 1;
    }
    this.#bare = 0;
    this.#fetches = this.#answers > 0;
    this.#answers -= this.#fetches ? 1 : 0;
    return { fetches: this.#fetches, known: this.#fetches || this.#unasked > 0 };
  }

  /** An entry was added to the answer, with its attributes or without. */
  added(withAttributes: boolean): void {
    if (!withAttributes) {
      this.#bare++;
    } else if (!this.#fetches) {
      this.#unasked--;
    }
  }
}
