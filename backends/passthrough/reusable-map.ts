/** Removed keys that are kept before the map is made anew. */
const LEAST_REMOVED = 32;

/**
 * A Map whose keys may be removed and added again at any rate. V8's own leaves a removed key's place in
 * its chain until the whole table is full: a file that is created and deleted again and again in a large
 * directory, with the same name or inode number, would cost more with each turn (100 µs at 100,000 keys).
 */
export class ReusableMap<Key, Value extends object> {
  #map = new Map<Key, Value | undefined>();
  #removed = 0;

  get size(): number {
    return this.#map.size - this.#removed;
  }

  get(key: Key): Value | undefined {
    return this.#map.get(key);
  }

  set(key: Key, value: Value): void {
    if (this.#removed > 0 && this.#map.get(key) === undefined && this.#map.has(key)) {
      this.#removed--;
    }
    this.#map.set(key, value);
  }

  delete(key: Key): void {
    if (this.#map.get(key) === undefined) {
      return;
    }
    this.#map.set(key, undefined);
    this.#removed++;
    if (this.#removed > LEAST_REMOVED && this.#removed > this.size) {
      this.#renew();
    }
  }

  *values(): Generator<Value> {
    for (const value of this.#map.values()) {
      if (value !== undefined) {
        yield value;
      }
    }
  }

  #renew(): void {
    const kept = new Map<Key, Value | undefined>();
    for (const [key, value] of this.#map) {
      if (value !== undefined) {
        kept.set(key, value);
      }
    }
    this.#map = kept;
    this.#removed = 0;
  }
}
