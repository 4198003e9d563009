import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  applyRecord,
  emptyImage,
  type JournalImage,
  type JournalRecord,
  NOTHING,
} from "../../../backends/s3/staging/file-state.js";
import { Journal } from "../../../backends/s3/staging/journal.js";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "journal-"));
  path = join(folder, "journal");
});
afterEach(() => rmSync(folder, { recursive: true }));

/** An image as plain values. */
function plain({ files, removals, aborts }: JournalImage): object {
  return {
    files: [...files.values()].map(({ changed, ...fields }) => ({ ...fields, changed: [...changed] })),
    removals: [...removals],
    aborts: [...aborts.values()],
  };
}

const source = { key: "a", etag: '"1"', size: 1000 };
const id = fc.integer({ min: 1, max: 4 });
const key = fc.constantFrom("a", "b/c", "ü", 'quote"');
const offset = fc.integer({ min: 0, max: 2000 });
const record: fc.Arbitrary<JournalRecord> = fc.oneof(
  fc.record({ file: id, state: fc.record({ key, expect: fc.constantFrom(NOTHING, '"2"') }) }),
  fc.record({
    file: id,
    state: fc.record({ key, source: fc.constant(source), sourceLimit: offset, size: offset }),
  }),
  fc.record({ file: id, change: fc.tuple(offset, offset).map(([one, two]) => [one, one + two] as const) }),
  fc.record({ file: id, cut: offset }),
  fc.record({
    file: id,
    set: fc.record({
      key,
      attributes: fc.constantFrom(null, { metadata: { mode: "33188", mtime: "1.5" } }),
      upload: fc.constantFrom(null, {
        key: "a",
        uploadId: "u",
        sinceMs: 5,
        attributes: { metadata: {} },
        parts: [],
      }),
      leftovers: fc.constantFrom([], [{ key: "old", etag: '"3"' }]),
      removed: fc.boolean(),
    }),
  }),
  fc.record({
    file: id,
    part: fc.record({ partNumber: id, etag: fc.constant('"p"'), offset, length: offset }),
  }),
  fc.record({ file: id, stale: fc.array(id) }),
  fc.record({ file: id, gone: fc.constant(true as const) }),
  fc.record({ remove: key, etag: fc.constant('"4"') }),
  fc.record({ removed: key }),
  fc.record({ abort: key, uploadId: fc.constant("u"), sinceMs: id }),
  fc.record({ aborted: key, sinceMs: id }),
);
const batches = fc.array(fc.array(record, { minLength: 1, maxLength: 3 }), { maxLength: 12 });

/** What the files of an image that have a source say: without one, changes are not kept. */
function kept(image: JournalImage): object {
  for (const state of image.files.values()) {
    if (state.source === undefined) {
      state.changed.clear();
    }
  }
  return plain(image);
}

describe("the staging journal", () => {
  it("says after a restart what it said before", async () => {
    await fc.assert(
      fc.asyncProperty(batches, async (steps) => {
        rmSync(path, { force: true });
        const journal = Journal.open(path);
        for (const records of steps) {
          expect(journal.append(...records)).toBe(0);
        }
        const said = plain(journal.image);
        await journal.close();
        const again = Journal.open(path);
        expect(plain(again.image)).toEqual(said);
        await again.close();
      }),
      { numRuns: 50 },
    );
  });

  it("cut off anywhere, says what it said after its last whole batch", async () => {
    await fc.assert(
      fc.asyncProperty(batches, async (steps) => {
        rmSync(path, { force: true });
        const journal = Journal.open(path);
        const ends = [statSync(path).size];
        for (const records of steps) {
          journal.append(...records);
          ends.push(statSync(path).size);
        }
        await journal.close();
        const bytes = readFileSync(path);
        for (let length = 0; length <= bytes.length; length++) {
          writeFileSync(path, bytes.subarray(0, length));
          const whole = ends.findLastIndex((end) => end <= length);
          const image = emptyImage();
          for (const records of steps.slice(0, Math.max(whole, 0))) {
            for (const step of records) applyRecord(image, step);
          }
          const cut = Journal.open(path);
          expect(plain(cut.image)).toEqual(plain(image));
          // What follows the torn batch is found again.
          cut.append({ remove: "behind" });
          await cut.close();
          const after = Journal.open(path);
          expect(after.image.removals.has("behind")).toBe(true);
          await after.close();
        }
      }),
      { numRuns: 6 },
    );
  });

  it("ends at a damaged batch", async () => {
    const journal = Journal.open(path);
    journal.append({ remove: "first" });
    const length = statSync(path).size;
    journal.append({ remove: "second" });
    await journal.close();
    const bytes = readFileSync(path);
    bytes[length + 12] = (bytes[length + 12] as number) ^ 1;
    writeFileSync(path, bytes);
    const again = Journal.open(path);
    expect([...again.image.removals.keys()]).toEqual(["first"]);
    await again.close();
  });

  it("is written anew when it has grown, and says the same", async () => {
    const journal = Journal.open(path);
    journal.append({ file: 1, state: { key: "a", source, sourceLimit: 1000, size: 1000 } });
    journal.append({ file: 2, state: { key: "b", expect: NOTHING } });
    let largest = 0;
    for (let i = 0; i < 120_000; i++) {
      journal.append({ file: 1, change: [i * 10, i * 10 + 5] }, { file: 1, cut: 100 });
      if (i % 1000 === 0) {
        largest = Math.max(largest, statSync(path).size);
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    const said = kept(journal.image);
    await journal.close();
    expect(largest).toBeLessThan(10 * 2 ** 20);
    expect(statSync(path).size).toBeLessThan(10 * 2 ** 20);
    const again = Journal.open(path);
    expect(kept(again.image)).toEqual(said);
    await again.close();
  });

  it("refuses a file that is none", () => {
    writeFileSync(path, "something else entirely");
    expect(() => Journal.open(path)).toThrow(/no journal of this version/);
  });
});
