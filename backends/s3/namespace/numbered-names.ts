/** Who skips no more numbers than this still counts on. */
const NEAR = 8;
/** Steps before it is taken for counting. */
const STEPS = 2;

/**
 * Follows who goes through names that differ in a number without leading zeros: 2, 3, ... 10, 11. That is not the order of
 * a listing, where 10 is before 2.
 */
export class NumberedNames {
  readonly #firstWindow: number;
  readonly #maxWindow: number;
  #parts: readonly string[] = [];
  #steps = 0;
  #window = 0;
  /** The first number that was not given out. */
  #end = 0;

  constructor(firstWindow: number, maxWindow: number) {
    this.#firstWindow = firstWindow;
    this.#maxWindow = maxWindow;
  }

  /** Notes that a name is asked for. @returns the names that will be asked for soon, each once; undefined if it does not count on */
  next(name: string): string[] | undefined {
    const parts: readonly string[] = name.match(/\d+|\D+/g) ?? [];
    const place = this.#placeOfStep(parts);
    this.#parts = parts;
    if (place < 0) {
      this.#steps = 0;
      this.#window = 0;
      this.#end = 0;
      return undefined;
    }
    if (++this.#steps < STEPS) {
      return undefined;
    }
    const number = Number(parts[place]);
    const from = Math.max(this.#end, number + 1);
    if (from - number > this.#window / 2 && this.#window > 0) {
      return [];
    }
    this.#window = Math.min(Math.max(this.#window * 2, this.#firstWindow), this.#maxWindow);
    this.#end = from + this.#window;
    return Array.from({ length: this.#window }, (_, i) => parts.with(place, String(from + i)).join(""));
  }

  /** Which part is a number that is a little higher than before, while all others are the same; -1: none. */
  #placeOfStep(parts: readonly string[]): number {
    const before = this.#parts;
    if (parts.length !== before.length) {
      return -1;
    }
    const place = parts.findIndex((part, i) => part !== before[i]);
    const isOnly = place >= 0 && parts.every((part, i) => i === place || part === before[i]);
    const step = isOnly && isNumber(parts[place]) ? Number(parts[place]) - Number(before[place]) : 0;
    return isOnly && isNumber(before[place]) && step > 0 && step <= NEAR ? place : -1;
  }
}

function isNumber(part: string | undefined): boolean {
  return part !== undefined && /^(0|[1-9]\d{0,14})$/.test(part);
}
