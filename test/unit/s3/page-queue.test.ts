import { setTimeout as delay } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { ListingPage } from "../../../backends/s3/namespace/directory-listing.js";
import { listPage } from "../../../backends/s3/namespace/lister.js";
import { PageQueue } from "../../../backends/s3/namespace/page-queue.js";
import type { ListOptions, ListPage, ObjectStore } from "../../../backends/s3/store/object-store.js";

const PAGE_KEYS = 5;

/** A bucket whose pages have few keys. */
class Bucket {
  keys: string[];
  lists = 0;
  atATime = 0;
  #running = 0;

  constructor(keys: readonly string[]) {
    this.keys = [...keys];
  }

  async list({ prefix, delimiter, startAfter = "", maxKeys = PAGE_KEYS }: ListOptions): Promise<ListPage> {
    this.lists++;
    this.atATime = Math.max(this.atATime, ++this.#running);
    await new Promise((resolve) => setImmediate(resolve));
    this.#running--;
    const names = new Set<string>();
    for (const key of this.keys) {
      const end = delimiter === undefined ? -1 : key.indexOf(delimiter, prefix.length);
      if (key.startsWith(prefix)) names.add(end < 0 ? key : key.slice(0, end + 1));
    }
    const behind = [...names].filter((name) => name > startAfter).sort();
    const page = behind.slice(0, maxKeys);
    const object = (key: string) => ({ key, size: 1, etag: '"1"', lastModifiedMs: 0 });
    const isPrefix = (name: string) => delimiter !== undefined && name.endsWith(delimiter);
    return {
      objects: page.filter((name) => !isPrefix(name)).map(object),
      commonPrefixes: page.filter(isPrefix),
      continuationToken: behind.length > page.length ? "more" : undefined,
    };
  }

  /** Reads all pages. */
  async walk(boundaries: readonly string[]): Promise<{ names: string[]; found: string[] }> {
    const found: string[] = [];
    this.lists = 0;
    const store = this as unknown as ObjectStore;
    const queue = new PageQueue((range) => listPage(store, "d/", range), boundaries);
    const names: string[] = [];
    for (let after: string | undefined = ""; after !== undefined; ) {
      const page: ListingPage = await queue.take(after);
      names.push(...page.entries.map(({ name }) => name));
      after = page.next;
      if (after !== undefined) found.push(after);
    }
    return { names, found };
  }
}

const KEYS = Array.from({ length: 43 }, (_, i) => `d/${String(i).padStart(3, "0")}`);

test("where pages begin is known the second time: they come side by side, one request for each", async () => {
  const bucket = new Bucket(KEYS);
  const { names, found } = await bucket.walk([]);
  expect(names).toEqual(KEYS.map((key) => key.slice(2)));
  expect([bucket.lists, bucket.atATime]).toEqual([found.length + 1, 1]);
  expect(await bucket.walk(found)).toEqual({ names, found });
  expect(bucket.lists).toBe(found.length + 1);
  expect(bucket.atATime).toBeGreaterThan(5);
});

test("what has come on a page that was full costs one request more", async () => {
  const bucket = new Bucket(KEYS);
  const { names, found } = await bucket.walk([]);
  bucket.keys.splice(20, 0, "d/0195");
  const again = await bucket.walk(found);
  expect(again.names).toEqual([...names.slice(0, 20), "0195", ...names.slice(20)]);
  expect(bucket.lists).toBe(found.length + 2);
});

test.each([
  [
    ["1", "2", "3", "4", "4/a", "5"],
    ["%:4%!", "1", "2", "3", "4", "5"],
  ],
  [
    ["1", "2", "3", "4", "4-/a", "5"],
    ["1", "2", "3", "4", "4-", "5"],
  ],
])("an object of which the last name of a page reminds is listed: %j", async (keys, names) => {
  const bucket = new Bucket(keys.map((each) => `d/${each}`));
  expect((await bucket.walk([])).names.sort()).toEqual(names);
});

test("a page that could not be had is asked for again", async () => {
  let asked = 0;
  const queue = new PageQueue(async ({ after }) => {
    if (after === "b" && ++asked === 1) throw new Error("lost");
    return { entries: [], after, next: after === undefined ? "b" : undefined, askedMs: performance.now() };
  }, []);
  await queue.take("");
  await new Promise((resolve) => setImmediate(resolve));
  expect(await queue.take("b")).toMatchObject({ after: "b" });
  expect(asked).toBe(2);
});

test("pages that were taken take no memory, and no more than some are asked for ahead", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const used = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const [pages, pageBytes] = [100, 2 ** 19];
  let asked = 0;
  const queue = new PageQueue(async ({ after }) => {
    asked++;
    await delay(1);
    const name = Buffer.alloc(pageBytes, Number(after ?? 100)).toString("latin1");
    const entries = [{ name, component: "", object: undefined }];
    return { entries, after, next: String(Number(after ?? 100) + 1), askedMs: performance.now() };
  }, []);
  const before = used();
  for (let i = 0; i < pages; i++) {
    await queue.take(i === 0 ? "" : String(100 + i));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(used() - before).toBeLessThan((pages / 4) * pageBytes);
  await delay(20);
  expect(asked - pages).toBeLessThan(5);
});

test("a directory is listed as it is, whatever the boundaries", async () => {
  const key = fc.string({ unit: fc.constantFrom("a", "b", "-", "0", "/"), minLength: 1, maxLength: 4 });
  const keys = fc.uniqueArray(
    key.filter((each) => !each.includes("//") && !each.startsWith("/")),
    { maxLength: 40 },
  );
  await fc.assert(
    fc.asyncProperty(keys, fc.uniqueArray(key, { maxLength: 8 }), async (below, some) => {
      const bucket = new Bucket(below.map((each) => `d/${each}`));
      const plain = await bucket.walk([]);
      const boundaries = some.map((each) => `d/${each.replace(/\/.*/, "/\u{10FFFF}")}`).sort();
      const { names } = await bucket.walk([...new Set(boundaries)]);
      expect([...names].sort()).toEqual([...plain.names].sort());
      expect(new Set(names).size).toBe(names.length);
    }),
  );
});
