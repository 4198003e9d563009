interface Resident {
  bytes: number;
  /** Not only fetched ahead. */
  isUsed: boolean;
  /** Used again after it had come: a scan over many objects does not drive it out. */
  isProtected: boolean;
}

/** The part of the limit that objects used more than once may keep from those used once. */
const PROTECTED_PART = 0.8;

/**
 * Which files a cache has and which goes first: those used once, the longest unused first; then those used
 * again. What was used again and falls out of its part of the limit gets one more turn among the others.
 */
export class Residents {
  #limitBytes: number;
  readonly #configuredBytes: number;
  /** Both in the order of their last use. */
  readonly #once = new Map<string, Resident>();
  readonly #again = new Map<string, Resident>();
  #bytes = 0;
  #protectedBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
    this.#configuredBytes = limitBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get limitBytes(): number {
    return this.#limitBytes;
  }

  get isOver(): boolean {
    return this.#bytes > this.#limitBytes;
  }

  /** The disk has room for so much; never more than was configured. */
  limitTo(bytes: number): void {
    this.#limitBytes = Math.max(0, Math.min(bytes, this.#configuredBytes));
  }

  /** A file of a process before, in the order of their use. */
  addOld(path: string, bytes: number): void {
    if (!this.#once.has(path) && !this.#again.has(path)) {
      this.#once.set(path, { bytes, isUsed: true, isProtected: false });
      this.#bytes += bytes;
    }
  }

  /** A file is fetched before it is opened. */
  expect(path: string): void {
    if (!this.#once.has(path) && !this.#again.has(path)) {
      this.#once.set(path, { bytes: 0, isUsed: false, isProtected: false });
    }
  }

  /** A file is being opened. */
  use(path: string): void {
    const again = this.#again.get(path);
    const once = this.#once.get(path);
    if (again !== undefined) {
      this.#again.delete(path);
      this.#again.set(path, again);
    } else if (once?.isUsed !== true) {
      this.#once.delete(path);
      this.#once.set(path, { bytes: once?.bytes ?? 0, isUsed: true, isProtected: false });
    } else {
      this.#once.delete(path);
      once.isProtected = true;
      this.#again.set(path, once);
      this.#protectedBytes += once.bytes;
      this.#demote();
    }
  }

  /** A file has got larger by so much, and by `overhead` if it is its first. */
  grow(path: string, bytes: number, overhead: number): void {
    const resident = this.#once.get(path) ?? this.#again.get(path);
    if (resident === undefined) {
      return;
    }
    const growth = bytes + (resident.bytes === 0 ? overhead : 0);
    resident.bytes += growth;
    this.#bytes += growth;
    if (resident.isProtected) {
      this.#protectedBytes += growth;
      this.#demote();
    }
  }

  /** Forgets the file that is to go next among those that may; undefined: none may. */
  takeVictim(mayGo: (path: string) => boolean): string | undefined {
    for (const residents of [this.#once, this.#again]) {
      for (const [path, resident] of residents) {
        if (mayGo(path)) {
          residents.delete(path);
          this.#bytes -= resident.bytes;
          this.#protectedBytes -= resident.isProtected ? resident.bytes : 0;
          return path;
        }
      }
    }
    return undefined;
  }

  #demote(): void {
    for (const [path, resident] of this.#again) {
      if (this.#protectedBytes <= this.#limitBytes * PROTECTED_PART || this.#again.size === 1) {
        return;
      }
      this.#again.delete(path);
      resident.isProtected = false;
      this.#protectedBytes -= resident.bytes;
      this.#once.set(path, resident);
    }
  }
}
