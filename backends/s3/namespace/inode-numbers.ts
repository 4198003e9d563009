const FIRST = 2;
const SPACE = 2 ** 53 - FIRST;

/** The inode number of the root. */
export const ROOT_INO = 1;

/** A hash of 53 bits (cyrb53): the same key has the same number in every life of the share. */
export function hashKey(key: string): number {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < key.length; i++) {
    const code = key.charCodeAt(i);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  const hash = 4294967296 * (2097151 & b) + (a >>> 0);
  return FIRST + (hash % SPACE);
}

/**
 * Inode numbers of living inodes: the hash of the key, and the next free number where that is taken, by an
 * inode that was renamed since or by a collision.
 */
export class InodeNumbers {
  readonly #taken = new Set<number>();

  take(key: string): number {
    let ino = hashKey(key);
    while (this.#taken.has(ino)) {
      ino = ino < SPACE ? ino + 1 : FIRST;
    }
    this.#taken.add(ino);
    return ino;
  }

  release(ino: number): void {
    this.#taken.delete(ino);
  }
}
