import { type CachedObject, MIN_PART_BYTES, PART_BYTES } from "./cached-object.js";

/** The first request of a reader is small, so that its first answer comes soon. */
const FIRST_BYTES = 2 ** 20 + 128 * 1024;
/** A reader for whom parts are on their way already is still sequential when he skips no more than this. */
const SKIP_BYTES = 16 * 2 ** 20;
/** A reader that comes back no more than this is, too. */
const BACK_BYTES = 2 ** 20;
/** This many reads out of order in a row are a pattern, and as many in order end it. */
const PATTERN_READS = 2;
/** A window comes in this many parts side by side, as long as they are neither too small nor too large. */
const PARTS_OF_WINDOW = 16;
const PARTS_OF_REGION = 4;

/**
 * What to fetch ahead of one reader. Nothing until half of the first request was read; then parts side by side
 * in a window that doubles whenever the reader had to wait. Parts are small at first, because nothing of a part can
 * be read before all of it is there. Who reads here and there gets what is around where he has been before.
 */
export class ReadAhead {
  readonly #object: CachedObject;
  readonly #largestWindow: number;
  /** Where the next read of a sequential reader begins. */
  #next = 0;
  /** Where the first request of this sequence began, and how far has been asked for. */
  #start = 0;
  #requested = 0;
  #window = 0;
  #randomReads = 0;
  /** In a row, while there is a pattern of reads out of order. */
  #orderlyReads = 0;
  /** The block where this reader is to be heard of again, although native code could read it. */
  #markedBlock: number | undefined;

  /** `largestWindow` is in bytes. */
  constructor(object: CachedObject, largestWindow: number) {
    this.#object = object;
    this.#largestWindow = Math.max(PART_BYTES, largestWindow);
  }

  /**
   * The reader wants this range now: begins to fetch it and what it may want next. `left` is memory for it. Of reads that
   * native code answers nothing is heard, until they come to where more has to be fetched.
   */
  advance(offset: number, length: number, left: number): void {
    this.unmark();
    this.#advance(offset, length, left);
    this.#mark();
  }

  /** The reader goes on without notice. */
  unmark(): void {
    if (this.#markedBlock !== undefined) {
      this.#object.map.unmark(this.#markedBlock);
      this.#markedBlock = undefined;
    }
  }

  #mark(): void {
    const { map } = this.#object;
    const left = map.size - this.#requested;
    if (this.#isRandom || left <= 0) {
      return;
    }
    const at =
      this.#window === 0
        ? this.#start + FIRST_BYTES / 2
        : this.#requested + Math.min(this.#partBytes, left) - this.#window;
    this.#markedBlock = Math.floor(Math.max(at, this.#next) / map.blockBytes);
    map.mark(this.#markedBlock);
  }

  #advance(offset: number, length: number, left: number): void {
    const had = this.#object.has(offset, length);
    this.#follow(offset);
    this.#next = offset + length;
    if (this.#isRandom) {
      this.#fetchAround(offset, length, had, left);
      return;
    }
    if (this.#requested <= this.#start) {
      const first = Math.max(length, FIRST_BYTES);
      this.#object.fetch(offset, first);
      this.#requested = offset + first;
      return;
    }
    if (!had) {
      this.#object.fetch(offset, length);
    }
    this.#fetchAhead(!had, left);
  }

  get #isRandom(): boolean {
    return this.#randomReads >= PATTERN_READS;
  }

  /** Finds out whether the reader goes on in order. */
  #follow(offset: number): void {
    const distance = offset - this.#next;
    const isOrderly = distance >= -BACK_BYTES && distance <= (this.#window > 0 ? SKIP_BYTES : FIRST_BYTES);
    this.#orderlyReads = isOrderly ? this.#orderlyReads + 1 : 0;
    if (isOrderly && !this.#isRandom) {
      this.#randomReads = 0;
    } else if (!isOrderly || this.#orderlyReads >= PATTERN_READS) {
      this.#randomReads = isOrderly ? 0 : this.#randomReads + 1;
      this.#window = 0;
      this.#start = offset;
      this.#requested = offset;
    }
  }

  #fetchAround(offset: number, length: number, had: boolean, left: number): void {
    this.#requested = offset + length;
    if (!had) {
      this.#object.fetch(offset, length);
      const region = this.#object.missed(offset);
      if (region !== undefined && region.length <= left) {
        this.#object.fetch(region.offset, region.length, region.length / PARTS_OF_REGION);
      }
    }
  }

  /** Of the requests for a window. */
  get #partBytes(): number {
    return Math.min(Math.max(this.#window / PARTS_OF_WINDOW, MIN_PART_BYTES), PART_BYTES);
  }

  #fetchAhead(stalled: boolean, left: number): void {
    const read = this.#next - this.#start;
    if (this.#window === 0 && read < FIRST_BYTES / 2) {
      return;
    }
    if (this.#window === 0) {
      this.#window = PART_BYTES;
    } else if (stalled) {
      this.#window = Math.min(this.#window * 2, this.#largestWindow);
    }
    if (left < PART_BYTES) {
      this.#window = Math.max(PART_BYTES, this.#window / 2);
      return;
    }
    const partBytes = this.#partBytes;
    const end = Math.min(this.#object.map.size, this.#next + this.#window);
    if (end - this.#requested >= Math.min(partBytes, this.#object.map.size - this.#requested)) {
      this.#object.fetch(this.#requested, end - this.#requested, partBytes);
      this.#requested = end;
    }
  }
}
