/** Who skips no more entries than this still goes through a listing in order. */
const NEAR = 8;
const FIRST_WINDOW = 64;
/** Enough to keep all connections busy, and no more requests than others should wait for. */
const MAX_WINDOW = 256;

/**
 * Follows who asks for the entries of a listing by their positions. Whoever takes them in order gets what comes next
 * fetched ahead, in a window that doubles; a single entry fetches nothing else.
 */
export class LookAhead {
  #last = -1;
  #end = 0;
  #window = 0;

  /** Notes that a position of `length` is asked for. @returns the positions to fetch now */
  advance(position: number, length: number): { readonly from: number; readonly to: number } {
    const isNext = position > this.#last && position <= Math.max(this.#last + NEAR, this.#end);
    this.#last = position;
    if (!isNext) {
      this.#window = 0;
      this.#end = position + 1;
      return { from: position, to: position };
    }
    const from = Math.max(this.#end, position + 1);
    if (from - position <= this.#window / 2 || this.#window === 0) {
      this.#window = Math.min(Math.max(this.#window * 2, FIRST_WINDOW), MAX_WINDOW);
      this.#end = Math.max(Math.min(from + this.#window, length), from);
      return { from, to: this.#end };
    }
    return { from, to: from };
  }
}
