import { readdirSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Client, ok, ROOT } from "../support/frontend/index.js";
import { pattern } from "../support/s3/data.mjs";
import { CREDENTIALS_ENV, FakeProcess } from "../support/s3/fake-process.js";

const MIB = 2 ** 20;
const SIZE = 12 * MIB + 777;
const PIECE = 128 * 1024;
const SMALL = 300;

/** The bytes of the large objects. */
function expected(offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(Math.max(0, Math.min(length, SIZE - offset)));
  for (let at = 0; at < bytes.length; ) {
    const from = (offset + at) % MIB;
    at += pattern().copy(bytes, at, from);
  }
  return bytes;
}

/** Reads the first `count` of the small files, one after the other. */
function readSmallFiles(fs: Client, count: number): void {
  const directory = ok(fs.lookup(ROOT, "small")).nodeid;
  const names = fs.list(directory).map(({ name }) => name.toString());
  for (const name of names.filter((each) => /^\d+$/.test(each)).slice(0, count)) {
    const { nodeid } = ok(fs.lookup(directory, name));
    const { fh } = ok(fs.open(nodeid));
    expect(ok(fs.read(nodeid, fh, 0, PIECE)).data.equals(pattern().subarray(0, 4096))).toBe(true);
    ok(fs.release(nodeid, fh));
  }
}

/** A share with a cache on disk that has room for a part of each object. */
describe("the disk cache of a share", () => {
  let fake: FakeProcess;
  let fs: Client;

  beforeAll(async () => {
    fake = await FakeProcess.start();
    await fake.command("synthetic", { bucket: "test", prefix: "large/", count: 6, size: SIZE });
    await fake.command("synthetic", { bucket: "test", prefix: "small/", count: SMALL, size: 4096 });
    fs = await Client.mount({
      serve: (directory) => [...fake.shareArgs(directory), "--consistency", "cached"],
      args: ["--cache-size", "20MiB"],
      gateway: { env: CREDENTIALS_ENV },
    });
  });
  beforeEach(() => fake.command("reset-counts"));
  afterAll(async () => {
    expect(await fs.unmount()).toBe(0);
    await fake.close();
  });

  async function gets(): Promise<number> {
    return (await fake.command("counts")).operations.GetObject ?? 0;
  }

  function open(path: string, flags = 0) {
    const { nodeid } = ok(fs.walk(path));
    const { fh } = ok(fs.open(nodeid, flags));
    return {
      read: (offset: number, length: number) => ok(fs.read(nodeid, fh, offset, length)).data,
      write: (offset: number, data: string) => ok(fs.write(nodeid, fh, offset, data)),
      close: () => ok(fs.release(nodeid, fh)),
    };
  }

  function readAll(path: string): void {
    const file = open(path);
    for (let offset = 0; offset < SIZE; offset += PIECE) {
      expect(file.read(offset, PIECE).equals(expected(offset, PIECE))).toBe(true);
    }
    file.close();
  }

  test("what was read once costs no request again, up to the last byte of the object", async () => {
    readAll("large/00000000");
    const first = await gets();
    expect(first).toBeGreaterThan(0);
    readAll("large/00000000");
    const file = open("large/00000000");
    expect(file.read(SIZE - 10, 4096).equals(expected(SIZE - 10, 10))).toBe(true);
    expect(file.read(SIZE, 4096)).toHaveLength(0);
    expect(file.read(SIZE + 5000, 4096)).toHaveLength(0);
    file.close();
    expect(await gets()).toBe(first);
  });

  test("readers of more than the cache has room for get the right bytes", () => {
    const files = ["1", "2", "3", "4"].map((name) => open(`large/0000000${name}`));
    let state = 7;
    for (let i = 0; i < 400; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      const offset = state % SIZE;
      const file = files[i % files.length] as (typeof files)[0];
      expect(file.read(offset, PIECE).equals(expected(offset, PIECE))).toBe(true);
    }
    for (const file of files) file.close();
  });

  test("who has a cached file open sees what is written to it", () => {
    readAll("large/00000005");
    const reader = open("large/00000005");
    expect(reader.read(MIB, 5).equals(expected(MIB, 5))).toBe(true);
    const writer = open("large/00000005", 2);
    writer.write(MIB, "hello");
    expect(reader.read(MIB, 5).toString()).toBe("hello");
    expect(reader.read(MIB + 5, 5).equals(expected(MIB + 5, 5))).toBe(true);
    writer.close();
    reader.close();
  });

  test.each([100, 3 * MIB + 5])(
    "a file of %d bytes is read without a request after it was written",
    async (size) => {
      const name = `written-${size}`;
      const { nodeid, fh } = ok(fs.create(ROOT, name));
      const bytes = expected(12345, size);
      for (let at = 0; at < size; at += PIECE) ok(fs.write(nodeid, fh, at, bytes.subarray(at, at + PIECE)));
      ok(fs.fsync(nodeid, fh));
      expect(ok(fs.read(nodeid, fh, 0, PIECE)).data.equals(bytes.subarray(0, PIECE))).toBe(true);
      ok(fs.release(nodeid, fh));
      await expect.poll(() => readdirSync(fs.hostPath("staging", "data"))).toEqual([]);
      const file = open(name);
      for (let at = 0; at < size; at += PIECE) {
        expect(file.read(at, PIECE).equals(bytes.subarray(at, at + PIECE))).toBe(true);
      }
      file.close();
      expect(await gets()).toBe(0);
    },
  );

  test("who reads small files one after the other gets each with one GET", async () => {
    readSmallFiles(fs, SMALL);
    // A few may be asked twice, where the machine is slow.
    expect(await gets()).toBeLessThanOrEqual(SMALL * 1.1);
  });

  test("a reader that goes here and there has what is around fetched, after some misses", async () => {
    const file = open("large/00000000");
    for (let i = 0; i < 64; i++) {
      const offset = ((i * 37) % 96) * PIECE;
      expect(file.read(offset, PIECE).equals(expected(offset, PIECE))).toBe(true);
    }
    file.close();
    expect(await gets()).toBeLessThan(40);
  });
});

test("small files of a bucket with versions are fetched ahead, too, and each once", async () => {
  const fake = await FakeProcess.start();
  await fake.command("settings", { versioning: { test: "Enabled" } });
  await fake.command("synthetic", { bucket: "test", prefix: "small/", count: SMALL, size: 4096 });
  const fs = await Client.mount({
    serve: (directory) => [...fake.shareArgs(directory), "--consistency", "cached"],
    gateway: { env: CREDENTIALS_ENV },
  });
  const gets = async () => (await fake.command("counts")).operations.GetObject;
  readSmallFiles(fs, 50);
  expect(await gets()).toBeGreaterThan(50);
  readSmallFiles(fs, SMALL);
  expect(await gets()).toBeLessThanOrEqual(SMALL * 1.1);
  expect(await fs.unmount()).toBe(0);
  await fake.close();
});
