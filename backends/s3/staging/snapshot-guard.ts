import { type Extent, ExtentSet } from "./extent-set.js";

/** Bytes that are being sent: whether they were changed since they were read. */
export interface SentRange {
  readonly start: number;
  readonly end: number;
  stale: boolean;
}

/** Keeps what a publication has not read yet as it is, and knows what was changed since it began. */
export class SnapshotGuard {
  readonly #sent = new Set<SentRange>();
  /** Since the publication under way began: what was changed, and the smallest size. */
  #changes: ExtentSet | undefined;
  #smallestSize = Number.POSITIVE_INFINITY;
  /** Bytes that the publication under way has not read yet, and who waits for that. */
  readonly #unread = new ExtentSet();
  #waiting: (() => void)[] = [];

  /** A publication is under way. */
  get isActive(): boolean {
    return this.#changes !== undefined;
  }

  /** Until {@link end}, bytes below `size` that {@link markRead} does not name are not to be changed. */
  begin(size: number): void {
    this.#changes = new ExtentSet();
    this.#smallestSize = Number.POSITIVE_INFINITY;
    this.#unread.clear();
    this.#unread.add(0, size);
  }

  /** The publication has read these bytes, or needs none of the file's own there. */
  markRead(start: number, end: number): void {
    this.#unread.remove(start, end);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) {
      wake();
    }
  }

  /** The publication has ended, either way. */
  end(): void {
    this.#changes = undefined;
    this.markRead(0, Number.POSITIVE_INFINITY);
  }

  /** Whether a change has to wait: see {@link untilRead}. */
  isUnread(start: number, end: number): boolean {
    return this.#unread.intersects(start, end);
  }

  /** Resolves when the publication under way, if any, does not need these bytes any more. */
  async untilRead(start: number, end: number): Promise<void> {
    while (this.#unread.intersects(start, end)) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** What differs from the snapshot by now: ranges, and below which offset the rest is as it was. */
  changes(): { readonly changed: readonly Extent[]; readonly limit: number } {
    return { changed: [...(this.#changes ?? [])], limit: this.#smallestSize };
  }

  /** From now on `stale` of the answer says whether these bytes were changed, until {@link untrack}. */
  track(start: number, end: number): SentRange {
    const range = { start, end, stale: false };
    this.#sent.add(range);
    return range;
  }

  untrack(range: SentRange): void {
    this.#sent.delete(range);
  }

  /** These bytes were changed. */
  change(start: number, end: number): void {
    this.#changes?.add(start, end);
    for (const range of this.#sent) {
      range.stale ||= range.start < end && range.end > start;
    }
  }

  /** The file was cut, or lengthened, to `size`: beside {@link change} of what is behind. */
  cut(size: number): void {
    this.#smallestSize = Math.min(this.#smallestSize, size);
    this.#changes?.remove(size, Number.POSITIVE_INFINITY);
  }
}
