/** Bytes from the first number up to, not including, the second. */
export type Extent = readonly [start: number, end: number];

/** A set of bytes, kept as sorted ranges that neither overlap nor touch. */
export class ExtentSet {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  #bytes = 0;

  constructor(extents: Iterable<Extent> = []) {
    for (const [start, end] of extents) {
      this.add(start, end);
    }
  }

  /** How many bytes are in the set. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many ranges the set has. */
  get count(): number {
    return this.#starts.length;
  }

  /** Behind the last byte; 0 when the set is empty. */
  get end(): number {
    return this.#ends.at(-1) ?? 0;
  }

  /** @returns how many bytes were not in the set before */
  add(start: number, end: number): number {
    if (start >= end) {
      return 0;
    }
    const starts = this.#starts;
    const ends = this.#ends;
    // Everything that overlaps or touches becomes one range.
    const first = this.#firstEndingAtOrAfter(start);
    let last = first;
    let merged = 0;
    let from = start;
    let to = end;
    for (; last < starts.length && (starts[last] as number) <= end; last++) {
      from = Math.min(from, starts[last] as number);
      to = Math.max(to, ends[last] as number);
      merged += (ends[last] as number) - (starts[last] as number);
    }
    if (last === first + 1) {
      starts[first] = from;
      ends[first] = to;
    } else {
      starts.splice(first, last - first, from);
      ends.splice(first, last - first, to);
    }
    const added = to - from - merged;
    this.#bytes += added;
    return added;
  }

  /** @returns how many bytes were in the set before */
  remove(start: number, end: number): number {
    const starts = this.#starts;
    const ends = this.#ends;
    let first = this.#firstEndingAtOrAfter(start + 1);
    let removed = 0;
    while (start < end && first < starts.length && (starts[first] as number) < end) {
      const from = starts[first] as number;
      const to = ends[first] as number;
      removed += Math.min(to, end) - Math.max(from, start);
      const rest: Extent[] = [];
      if (from < start) rest.push([from, start]);
      if (to > end) rest.push([end, to]);
      starts.splice(first, 1, ...rest.map((extent) => extent[0]));
      ends.splice(first, 1, ...rest.map((extent) => extent[1]));
      first += rest.length;
    }
    this.#bytes -= removed;
    return removed;
  }

  clear(): void {
    this.#starts.length = 0;
    this.#ends.length = 0;
    this.#bytes = 0;
  }

  /** Whether all of the bytes are in the set. */
  covers(start: number, end: number): boolean {
    const at = this.#firstEndingAtOrAfter(start + 1);
    return start >= end || ((this.#starts[at] ?? end) <= start && (this.#ends[at] as number) >= end);
  }

  /** Whether any of the bytes is in the set. */
  intersects(start: number, end: number): boolean {
    return start < end && (this.#starts[this.#firstEndingAtOrAfter(start + 1)] ?? end) < end;
  }

  /** The ranges of the set within these bytes, in order. */
  *within(start: number, end: number): Generator<Extent> {
    for (let at = this.#firstEndingAtOrAfter(start + 1); at < this.#starts.length; at++) {
      const from = Math.max(this.#starts[at] as number, start);
      if (from >= end) {
        return;
      }
      yield [from, Math.min(this.#ends[at] as number, end)];
    }
  }

  /** The ranges within these bytes that are not in the set, in order. */
  *gaps(start: number, end: number): Generator<Extent> {
    let from = start;
    for (const [next, to] of this.within(start, end)) {
      if (from < next) {
        yield [from, next];
      }
      from = to;
    }
    if (from < end) {
      yield [from, end];
    }
  }

  [Symbol.iterator](): Generator<Extent> {
    return this.within(0, Number.POSITIVE_INFINITY);
  }

  /** Index of the first range whose end is not in front of `offset`. */
  #firstEndingAtOrAfter(offset: number): number {
    const ends = this.#ends;
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ends[middle] as number) < offset) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}
