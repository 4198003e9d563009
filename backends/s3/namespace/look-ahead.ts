import { NumberedNames } from "./numbered-names.js";

/** Who skips no more entries than this still goes through a listing in order. */
const NEAR = 8;
/** Who has asked for so many entries out of order will ask for most of them... */
const SCATTERED = 16;
/** ...and gets so many more for each that he asks for, from the beginning on. */
const SWEPT_AT_ONCE = 8;

/** What is wanted soon: positions of a listing from the first to before the second, or names that it may have. */
export type Wanted = { readonly from: number; readonly to: number } | readonly string[];

/**
 * Follows who asks for the entries of a listing. Whoever takes them in order, or in the order of numbers in their names, gets
 * what comes next fetched ahead, in a window that doubles; a few entries here and there fetch nothing else, many of them
 * all by and by.
 */
export class LookAhead {
  readonly #firstWindow: number;
  readonly #maxWindow: number;
  readonly #numbered: NumberedNames;
  /** Who begins with the first entry goes through in order. */
  #last = -NEAR;
  #end = 0;
  #window = 0;
  #scattered = 0;
  #swept = 0;

  constructor(firstWindow: number, maxWindow: number) {
    this.#firstWindow = firstWindow;
    this.#maxWindow = maxWindow;
    this.#numbered = new NumberedNames(firstWindow, maxWindow);
  }

  /** Notes that `name` is asked for, which has a position of `length`. @returns what to fetch now */
  advance(name: string, position: number, length: number): Wanted {
    const isNext = position > this.#last && position <= Math.max(this.#last + NEAR, this.#end);
    this.#last = position;
    if (!isNext) {
      this.#window = 0;
      this.#end = position + 1;
      return this.#numbered.next(name) ?? this.#sweep(position, length);
    }
    const from = Math.max(this.#end, position + 1);
    if (from - position <= this.#window / 2 || this.#window === 0) {
      this.#window = Math.min(Math.max(this.#window * 2, this.#firstWindow), this.#maxWindow);
      this.#end = Math.max(Math.min(from + this.#window, length), from);
      return { from, to: this.#end };
    }
    return { from, to: from };
  }

  #sweep(position: number, length: number): Wanted {
    if (++this.#scattered < SCATTERED || this.#swept >= length) {
      return { from: position, to: position };
    }
    const from = this.#swept;
    this.#swept = Math.min(from + SWEPT_AT_ONCE, length);
    return { from, to: this.#swept };
  }
}
