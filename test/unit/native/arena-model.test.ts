import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ARENA_PAGE_BYTES, openArena } from "../../../src/native/arena.js";
import { EINVAL, ENOSPC } from "../../../src/vfs/errno.js";
import { ArenaFiles, KEEP_SIZE, PUNCH_HOLE, pattern, ZERO_RANGE } from "./arena-files.js";

const PAGE = ARENA_PAGE_BYTES;
const SPACE_PAGES = 40;
const LIMIT_PAGES = 24;

type PageState = "reserved" | "written";

/** A file as plain bytes and the state of each page; holes are absent. */
class ModelFile {
  bytes = new Uint8Array(0);
  readonly pages = new Map<number, PageState>();

  resize(size: number): void {
    const bytes = new Uint8Array(size);
    bytes.set(this.bytes.subarray(0, size));
    this.bytes = bytes;
  }

  punch(offset: number, end: number): void {
    this.bytes.fill(0, offset, end);
    for (let page = Math.ceil(offset / PAGE); page < Math.floor(end / PAGE); page++) {
      this.pages.delete(page);
    }
  }

  truncate(size: number): void {
    if (size <= this.bytes.length) {
      for (const page of [...this.pages.keys()]) {
        if (page >= Math.ceil(size / PAGE)) {
          this.pages.delete(page);
        }
      }
    }
    this.resize(size);
  }

  isWritten(offset: number): boolean {
    return this.pages.get(Math.floor(offset / PAGE)) === "written";
  }
}

/** What an arena should do, in the plainest way. */
class Model {
  readonly files = [new ModelFile(), new ModelFile(), new ModelFile()];

  get used(): number {
    return this.files.reduce((sum, file) => sum + file.pages.size, 0);
  }

  write(file: ModelFile, offset: number, bytes: Uint8Array): number {
    let count = 0;
    while (count < bytes.length) {
      const page = Math.floor((offset + count) / PAGE);
      if (!file.pages.has(page) && this.used === LIMIT_PAGES) {
        break;
      }
      file.pages.set(page, "written");
      count = Math.min(bytes.length, (page + 1) * PAGE - offset);
    }
    if (count === 0) {
      return -ENOSPC;
    }
    file.resize(Math.max(file.bytes.length, offset + count));
    file.bytes.set(bytes.subarray(0, count), offset);
    return count;
  }

  reserve(file: ModelFile, offset: number, end: number, zero: boolean): number {
    const first = Math.floor(offset / PAGE);
    const pages = Array.from({ length: Math.ceil(end / PAGE) - first }, (_, i) => first + i);
    if (this.used + pages.filter((page) => !file.pages.has(page)).length > LIMIT_PAGES) {
      return -ENOSPC;
    }
    if (zero) {
      file.punch(offset, end);
    }
    for (const page of pages) {
      file.pages.set(page, file.pages.get(page) ?? "reserved");
    }
    file.resize(Math.max(file.bytes.length, end));
    return 0;
  }

  copy(from: ModelFile, offset: number, to: ModelFile, target: number, length: number): number {
    const total = Math.min(length, from.bytes.length - offset);
    if (total <= 0) {
      return 0;
    }
    if (from === to && offset < target + total && target < offset + total) {
      return -EINVAL;
    }
    let done = 0;
    while (done < total) {
      const written = from.isWritten(offset + done);
      let end = done;
      while (end < total && from.isWritten(offset + end) === written) {
        end = Math.min(total, (Math.floor((offset + end) / PAGE) + 1) * PAGE - offset);
      }
      if (written) {
        const count = this.write(to, target + done, from.bytes.slice(offset + done, offset + end));
        if (count !== end - done) {
          return done + Math.max(count, 0) || count;
        }
      } else {
        to.resize(Math.max(to.bytes.length, target + end));
        to.punch(target + done, target + end);
      }
      done = end;
    }
    return done;
  }
}

const offsetArbitrary = fc.oneof(
  fc.nat({ max: SPACE_PAGES * PAGE }),
  fc.nat({ max: SPACE_PAGES }).map((page) => page * PAGE),
);
const actionArbitrary = fc.record({
  kind: fc.constantFrom("write", "write", "write", "truncate", "punch", "zero", "reserve", "copy", "drop"),
  file: fc.nat({ max: 2 }),
  other: fc.nat({ max: 2 }),
  offset: offsetArbitrary,
  target: offsetArbitrary,
  length: fc.oneof(
    fc.integer({ min: 1, max: 20 }),
    fc.integer({ min: 1, max: 12 * PAGE }),
    fc.integer({ min: 1, max: 12 }).map((pages) => pages * PAGE),
  ),
});
type Action = typeof actionArbitrary extends fc.Arbitrary<infer T> ? T : never;

/** An arena of three files beside its model. */
class Comparison {
  readonly arena = openArena(LIMIT_PAGES);
  readonly files = new ArenaFiles(this.arena);
  readonly numbers = [0, 1, 2].map(() => this.arena.createFile());
  readonly model = new Model();
  #seed = 0;

  /** Does one thing to both; returns what the arena and the model answered. */
  step({ kind, file, other, offset, target, length }: Action): [number, number] {
    const number = this.numbers[file] as number;
    const model = this.model.files[file] as ModelFile;
    const end = offset + length;
    switch (kind) {
      case "write": {
        const bytes = pattern(length, ++this.#seed);
        return [this.files.write(number, offset, bytes), this.model.write(model, offset, bytes)];
      }
      case "truncate":
        model.truncate(offset);
        return [this.files.truncate(number, offset), 0];
      case "punch":
        model.punch(offset, end);
        return [this.files.allocate(number, PUNCH_HOLE | KEEP_SIZE, offset, length), 0];
      case "zero":
      case "reserve": {
        const mode = kind === "zero" ? ZERO_RANGE : 0;
        const expected = this.model.reserve(model, offset, end, kind === "zero");
        return [this.files.allocate(number, mode, offset, length), expected];
      }
      case "copy": {
        const to = this.model.files[other] as ModelFile;
        const expected = this.model.copy(model, offset, to, target, length);
        return [this.files.copy(number, offset, this.numbers[other] as number, target, length), expected];
      }
      case "drop":
        this.arena.dropFile(number);
        this.numbers[file] = this.arena.createFile();
        this.model.files[file] = new ModelFile();
        return [0, 0];
    }
  }

  check(): void {
    expect(this.arena.usedPages()).toBe(this.model.used);
    this.model.files.forEach((model, index) => {
      const file = this.numbers[index] as number;
      expect([this.files.size(file), this.files.pages(file)]).toEqual([model.bytes.length, model.pages.size]);
      const read = this.files.read(file, 0, model.bytes.length + 10) as Uint8Array;
      expect(Buffer.compare(read, model.bytes)).toBe(0);
    });
  }
}

describe("an arena against plain arrays", () => {
  it("answers and holds the same after any sequence of operations", () => {
    fc.assert(
      fc.property(fc.array(actionArbitrary, { maxLength: 40 }), (actions) => {
        const comparison = new Comparison();
        for (const action of actions) {
          const [result, expected] = comparison.step(action);
          expect(result).toBe(expected);
          comparison.check();
        }
        comparison.arena.close();
      }),
      { numRuns: 300 },
    );
  });
});
