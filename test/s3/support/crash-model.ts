/** Every block of a file says whose it is, so that an object is recognised wherever it is. */
export const BLOCK_BYTES = 64 * 1024;
const NUMBERS = 4;

/** A file as the share's user knows it. */
export interface ModelFile {
  readonly id: number;
  /** Version of each block that was written, and that an fsync has acknowledged; -1: none. */
  written: number[];
  acknowledged: number[];
  /** Where it may be after a crash; the last one is where it is now. Undefined: it was removed. */
  paths: (string | undefined)[];
}

/** The bytes of a version of a block. */
export function block(file: number, index: number, version: number): Buffer {
  const bytes = Buffer.alloc(BLOCK_BYTES);
  for (let at = 0; at < BLOCK_BYTES; at += NUMBERS * 4) {
    bytes.writeUInt32LE(file, at);
    bytes.writeUInt32LE(index, at + 4);
    bytes.writeUInt32LE(version, at + 8);
    bytes.writeUInt32LE(at, at + 12);
  }
  return bytes;
}

/** What an object says of itself. Throws when a block is torn or not in its place. */
export function readObject(key: string, data: Buffer): { id: number; versions: number[] } {
  if (data.length % BLOCK_BYTES !== 0) throw new Error(`${key} has ${data.length} bytes`);
  const id = data.readUInt32LE(0);
  const versions: number[] = [];
  for (let index = 0; index * BLOCK_BYTES < data.length; index++) {
    const start = index * BLOCK_BYTES;
    const bytes = data.subarray(start, start + BLOCK_BYTES);
    const version = bytes.readUInt32LE(8);
    if (!bytes.equals(block(id, index, version))) throw new Error(`${key}: block ${index} is torn`);
    versions.push(version);
  }
  return { id, versions };
}

/** All files of a run, with what is certain and what is possible. */
export class CrashModel {
  readonly files = new Map<number, ModelFile>();
  #nextId = 1;
  #nextVersion = 1;

  create(path: string): ModelFile {
    const file: ModelFile = { id: this.#nextId++, written: [], acknowledged: [], paths: [undefined, path] };
    this.files.set(file.id, file);
    return file;
  }

  nextVersion(): number {
    return this.#nextVersion++;
  }

  /** Files by the path they have now. */
  byPath(): Map<string, ModelFile> {
    const paths = new Map<string, ModelFile>();
    for (const file of this.files.values()) {
      const path = file.paths.at(-1);
      if (path !== undefined) paths.set(path, file);
    }
    return paths;
  }

  /** An fsync of the file succeeded. */
  acknowledge(file: ModelFile): void {
    file.acknowledged = [...file.written];
    file.paths = file.paths.filter((path) => path !== undefined || file.paths.at(-1) === undefined);
  }

  /** A sync of everything succeeded. */
  acknowledgeAll(): void {
    for (const file of this.files.values()) {
      const path = file.paths.at(-1);
      if (path === undefined) this.files.delete(file.id);
      else file.paths = [path];
      file.acknowledged = [...file.written];
    }
  }

  /** Compares with the bucket, and goes on from what is there. @returns what is wrong */
  check(objects: ReadonlyMap<string, Buffer>): string[] {
    const wrong: string[] = [];
    const found = new Map<number, string>();
    for (const [key, data] of objects) {
      if (key.endsWith("/")) continue;
      if (data.length === 0) {
        // Created, and nothing of it was acknowledged.
        const created = [...this.files.values()].find(
          (file) => file.paths.includes(key) && file.acknowledged.length === 0 && !found.has(file.id),
        );
        if (created === undefined) {
          wrong.push(`${key} is empty`);
        } else {
          created.written = [];
          found.set(created.id, key);
        }
        continue;
      }
      const { id, versions } = readObject(key, data);
      const file = this.files.get(id);
      if (file === undefined) {
        wrong.push(`${key} is a file that was removed for good: ${id}`);
        continue;
      }
      if (found.has(id)) wrong.push(`file ${id} is at ${key} and at ${found.get(id)}`);
      found.set(id, key);
      if (!file.paths.includes(key)) wrong.push(`file ${id} is at ${key}, not at ${file.paths.join(", ")}`);
      wrong.push(...this.#compare(file, key, versions));
      file.written = versions;
    }
    for (const file of this.files.values()) {
      const isRequired = file.acknowledged.length > 0 && !file.paths.includes(undefined);
      if (isRequired && !found.has(file.id)) {
        wrong.push(`file ${file.id} is lost: ${file.paths.join(", ")}`);
      }
      file.paths = [found.get(file.id)];
    }
    this.acknowledgeAll();
    return wrong;
  }

  #compare(file: ModelFile, key: string, versions: readonly number[]): string[] {
    const wrong: string[] = [];
    if (versions.length < file.acknowledged.length || versions.length > file.written.length) {
      wrong.push(
        `${key} has ${versions.length} blocks, not ${file.acknowledged.length} to ${file.written.length}`,
      );
    }
    for (const [index, version] of versions.entries()) {
      const least = file.acknowledged[index] ?? 0;
      if (version < least || version > (file.written[index] ?? 0)) {
        wrong.push(`${key}: block ${index} has version ${version}, not ${least} to ${file.written[index]}`);
      }
    }
    return wrong;
  }
}
