import { mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { CachedObject, ObjectVersion } from "../../backends/s3/cache/cached-object.js";
import { MemoryBudget } from "../../backends/s3/cache/memory-budget.js";
import { ObjectCache } from "../../backends/s3/cache/object-cache.js";
import { ReadAhead } from "../../backends/s3/cache/read-ahead.js";
import { type FakeS3, startFakeS3 } from "../support/s3/server.mjs";
import { openStore } from "./support/connect.js";

const KIB = 1024;
const MIB = 2 ** 20;
const BLOCK = 128 * KIB;
const FIRST = MIB + BLOCK;
const SIZE = 64 * MIB;
const BUDGET = 128 * MIB;

let server: FakeS3;
let store: Awaited<ReturnType<typeof openStore>>;
let folder: string;
let version: ObjectVersion;
/** What was asked for: [offset, length] of each GET. */
let ranges: [number, number][];

beforeEach(async () => {
  server = await startFakeS3({ buckets: ["bucket"] });
  // Nothing is asked twice because the machine is slow.
  store = await openStore(server.endpoint, { pathStyle: true, timeoutMs: 60_000 });
  folder = mkdtempSync(join(tmpdir(), "cache-"));
  server.bucket("bucket").addSynthetic(["object"], { size: SIZE });
  const { key, etag, size } = await store.head("object");
  version = { key, etag, size };
  ranges = [];
  server.onRequest = (operation, _key, { headers }) => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? [];
    if (operation === "GetObject") ranges.push([Number(first), Number(last) - Number(first) + 1]);
  };
});
afterEach(async () => {
  await store.close();
  await server.close();
  rmSync(folder, { recursive: true });
});

function openCache(limitBytes = 1024 * MIB): ObjectCache {
  const budget = new MemoryBudget(BUDGET);
  return new ObjectCache(store, "bucket", folder, limitBytes, budget, pino({ level: "silent" }));
}

/** A reader as an open file is one. */
class Reader {
  readonly #ahead: ReadAhead;
  constructor(readonly object: CachedObject) {
    this.#ahead = new ReadAhead(object, BUDGET);
  }
  async read(offset: number, length = BLOCK): Promise<void> {
    const into = Buffer.alloc(length);
    this.#ahead.advance(offset, length, BUDGET);
    expect(await this.object.read(offset, into)).toBe(length);
    const data = server
      .bucket("bucket")
      .find("object")
      ?.data.slice(offset, offset + length);
    expect(into.equals(Buffer.concat([...(data?.read() ?? [])]))).toBe(true);
  }
}

async function idle({ object }: Reader): Promise<void> {
  await expect.poll(() => object.busy, { timeout: 30_000 }).toBe(false);
}

describe("a reader", () => {
  it("in order gets a small first request, then a window in parts that doubles when it has to wait", async () => {
    const cache = openCache();
    const reader = new Reader(cache.open(version));
    for (let offset = 0; offset < FIRST / 2 - BLOCK; offset += BLOCK) await reader.read(offset);
    expect(ranges).toEqual([[0, FIRST]]);
    await reader.read(4 * BLOCK);
    await idle(reader);
    const parts = ranges.slice(1);
    expect(parts.length).toBeGreaterThanOrEqual(7);
    for (const [, length] of parts) expect(length).toBeLessThanOrEqual(MIB);
    // It runs into what nobody has fetched.
    const end = Math.max(...ranges.map(([offset, length]) => offset + length));
    ranges.length = 0;
    await reader.read(end);
    await idle(reader);
    expect(ranges.reduce((sum, [, length]) => sum + length, 0)).toBeGreaterThan(14 * MIB);
    cache.close();
  });

  it("to the end fetches every byte once", async () => {
    const cache = openCache();
    const reader = new Reader(cache.open(version));
    for (let offset = 0; offset < SIZE; offset += BLOCK) await reader.read(offset);
    // A request that is slower than others is made twice.
    const different = new Map(ranges.map((range) => [String(range), range]));
    expect([...different.values()].reduce((sum, [, length]) => sum + length, 0)).toBe(SIZE);
    expect(ranges.length - different.size).toBeLessThanOrEqual(store.counts.hedges);
    ranges.length = 0;
    for (let offset = 0; offset < SIZE; offset += BLOCK) await reader.read(offset);
    expect(ranges).toEqual([]);
    cache.close();
  });

  it("here and there gets blocks alone, and after three misses the rest of 8 MiB", async () => {
    const cache = openCache();
    const reader = new Reader(cache.open(version));
    await reader.read(40 * MIB);
    await reader.read(20 * MIB);
    ranges.length = 0;
    await reader.read(56 * MIB);
    await reader.read(3 * MIB);
    await reader.read(57 * MIB + BLOCK);
    // What is around the last one is on its way, and may have been quicker.
    expect(ranges.filter(([, length]) => length === BLOCK)).toEqual([
      [56 * MIB, BLOCK],
      [3 * MIB, BLOCK],
      [57 * MIB + BLOCK, BLOCK],
    ]);
    await reader.read(62 * MIB);
    await idle(reader);
    const around = ranges.filter(([offset]) => offset >= 56 * MIB);
    // A block that was there between two that were not came once more.
    expect(around.reduce((sum, [, length]) => sum + length, 0)).toBeLessThanOrEqual(8 * MIB + 2 * BLOCK);
    ranges.length = 0;
    await reader.read(59 * MIB);
    expect(ranges).toEqual([]);
    cache.close();
  });

  it.each([
    [true, 4096 * MIB],
    [false, 1024 * MIB],
  ])(
    "here and there for long enough gets all of it (%s), where it is a quarter of %d bytes at most",
    async (all, limit) => {
      const size = 512 * MIB;
      server.bucket("bucket").addSynthetic(["big"], { size });
      const { key, etag } = await store.head("big");
      const cache = openCache(limit);
      const object = cache.open({ key, etag, size });
      const ahead = new ReadAhead(object, BUDGET);
      for (let i = 0; i < 20; i++) {
        const offset = ((i * 11) % 64) * 8 * MIB;
        ahead.advance(offset, BLOCK, BUDGET);
        await object.wait(offset, BLOCK);
      }
      await expect.poll(() => object.busy, { timeout: 30_000 }).toBe(false);
      expect(object.has(0, size)).toBe(all);
      const fetched = ranges.reduce((sum, [, length]) => sum + length, 0);
      expect(fetched).toBeLessThan(all ? size * 1.1 : 20 * MIB);
      cache.close();
    },
  );

  it("fetches neighbours that are missing together, across a few that are there", async () => {
    const cache = openCache();
    const object = cache.open(version);
    await object.wait(2 * BLOCK, BLOCK);
    ranges.length = 0;
    await object.wait(0, 5 * BLOCK);
    expect(ranges).toEqual([[0, 5 * BLOCK]]);
    cache.close();
  });
});

describe("a cache on disk", () => {
  it("has what it had before a restart, except for blocks that have changed", async () => {
    const before = openCache();
    await before.open(version).wait(0, 4 * BLOCK);
    before.close();
    const [path = ""] = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
      /^objects\/..\/./.test(name),
    );
    const file = await open(join(folder, path), "r+");
    await file.write(Buffer.from("x"), 0, 1, BLOCK + 1000);
    await file.close();
    ranges = [];
    const after = openCache();
    const reader = new Reader(after.open(version));
    for (const block of [0, 1, 2, 3]) await reader.object.wait(block * BLOCK, BLOCK);
    expect(ranges).toEqual([[BLOCK, BLOCK]]);
    after.close();
  });

  it.each([true, false])("keeps a small file that it takes over, be it open or not: %s", async (isOpen) => {
    const path = join(folder, "published");
    writeFileSync(path, "contents");
    const small = { key: "small", etag: '"e"', size: 8 };
    const cache = openCache();
    expect(cache.adopt({ path, fd: isOpen ? openSync(path, "r+") : undefined }, small)).toBe(true);
    cache.close();
    const after = openCache();
    ranges = [];
    const into = Buffer.alloc(8);
    expect(await after.open(small).read(0, into)).toBe(8);
    expect(into.toString()).toBe("contents");
    expect(ranges).toEqual([]);
    after.close();
  });

  it("can be closed while it takes over what was published", async () => {
    const published = join(folder, "published");
    writeFileSync(published, Buffer.alloc(4 * MIB));
    const cache = openCache();
    expect(
      cache.adopt({ path: published, fd: undefined }, { key: "published", etag: '"e"', size: 4 * MIB }),
    ).toBe(true);
    const object = cache.open({ key: "published", etag: '"e"', size: 4 * MIB });
    const added = object.addAll();
    cache.close();
    await expect(added).resolves.toBeUndefined();
  });

  it("keeps to its size, files that nobody reads first, then the oldest blocks of what is read", async () => {
    const cache = openCache(16 * MIB);
    server.bucket("bucket").addSynthetic(["other"], { size: SIZE });
    const { key, etag, size } = await store.head("other");
    const other = cache.open({ key, etag, size });
    await other.wait(0, 8 * MIB);
    cache.release(other);
    const object = cache.open(version);
    await object.wait(0, 8 * MIB);
    await object.wait(8 * MIB, 4 * MIB);
    expect(object.has(0, 12 * MIB)).toBe(true);
    ranges = [];
    await cache.open({ key, etag, size }).wait(0, BLOCK);
    expect(ranges).toEqual([[0, BLOCK]]);
    await object.wait(12 * MIB, 8 * MIB);
    expect(object.has(0, BLOCK)).toBe(false);
    expect(object.has(12 * MIB, 8 * MIB)).toBe(true);
    cache.close();
  });
});
