import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  ARENA_MAX_FILE_BYTES,
  ARENA_PAGE_BYTES,
  type Arena,
  ArenaTime,
  ArenaWord,
  openArena,
} from "../../../src/native/arena.js";
import { EBADF, EFBIG, EINVAL, ENOSPC, ENXIO, EOPNOTSUPP } from "../../../src/vfs/errno.js";
import { ArenaFiles, KEEP_SIZE, PUNCH_HOLE, pattern, ZERO_RANGE } from "./arena-files.js";

const PAGE = ARENA_PAGE_BYTES;
const COLLAPSE_RANGE = 8;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

let arena: Arena;
let files: ArenaFiles;

beforeEach(() => {
  arena = openArena(64);
  files = new ArenaFiles(arena);
});
afterEach(() => {
  arena.close();
});

describe("an arena file", () => {
  it("returns what was written and zeros for what was not", () => {
    const file = arena.createFile();
    expect(files.write(file, 5000, pattern(10_000, 1))).toBe(10_000);
    expect(files.size(file)).toBe(15_000);
    expect(files.pages(file)).toBe(3);
    expect(files.read(file, 0, 5000)).toEqual(new Uint8Array(5000));
    expect(files.read(file, 5000, 20_000)).toEqual(pattern(10_000, 1));
    expect(files.read(file, 15_000, 10)).toEqual(new Uint8Array(0));
  });

  it("reaches to 2^63 - 1 bytes and not further", () => {
    const file = arena.createFile();
    expect(files.truncate(file, ARENA_MAX_FILE_BYTES)).toBe(0);
    expect(files.write(file, ARENA_MAX_FILE_BYTES - 3n, pattern(8, 2))).toBe(3);
    expect(files.read(file, ARENA_MAX_FILE_BYTES - 4n, 100)).toEqual(
      Uint8Array.from([0, ...pattern(8, 2).subarray(0, 3)]),
    );
    expect(files.write(file, ARENA_MAX_FILE_BYTES, pattern(1, 1))).toBe(-EFBIG);
    expect(files.truncate(file, ARENA_MAX_FILE_BYTES + 1n)).toBe(-EFBIG);
    expect(files.allocate(file, 0, ARENA_MAX_FILE_BYTES, 1)).toBe(-EFBIG);
    expect(files.pages(file)).toBe(1);
    expect(files.truncate(file, 0)).toBe(0);
    expect(arena.usedPages()).toBe(0);
  });

  it("counts pages against the limit: short write, then ENOSPC, then room again", () => {
    const first = arena.createFile();
    const second = arena.createFile();
    expect(files.write(first, 0, pattern(60 * PAGE, 1))).toBe(60 * PAGE);
    expect(files.write(second, 100, pattern(10 * PAGE, 2))).toBe(4 * PAGE - 100);
    expect(files.size(second)).toBe(4 * PAGE);
    expect(files.write(second, 4 * PAGE, pattern(1, 2))).toBe(-ENOSPC);
    expect(files.write(second, 0, pattern(PAGE, 3))).toBe(PAGE);
    expect(arena.usedPages()).toBe(64);
    expect(files.truncate(first, PAGE + 1)).toBe(0);
    expect(arena.usedPages()).toBe(6);
    expect(files.write(second, 4 * PAGE, pattern(58 * PAGE, 4))).toBe(58 * PAGE);
    expect(Buffer.compare(files.read(second, 4 * PAGE, 58 * PAGE) as Uint8Array, pattern(58 * PAGE, 4))).toBe(
      0,
    );
  });

  it("shows zeros behind a size that shrank and grew", () => {
    const file = arena.createFile();
    files.write(file, 0, pattern(2 * PAGE, 1));
    files.truncate(file, 100);
    files.truncate(file, 2 * PAGE);
    expect(files.read(file, 0, 100)).toEqual(pattern(2 * PAGE, 1).subarray(0, 100));
    expect(files.read(file, 100, 2 * PAGE)).toEqual(new Uint8Array(2 * PAGE - 100));
  });

  it("reserves, punches and zeroes", () => {
    const file = arena.createFile();
    expect(files.allocate(file, KEEP_SIZE, 0, 10 * PAGE)).toBe(0);
    expect([files.size(file), files.pages(file)]).toEqual([0, 10]);
    expect(files.allocate(file, 0, 0, 100 * PAGE)).toBe(-ENOSPC);
    expect(files.pages(file)).toBe(10);
    files.write(file, 0, pattern(4 * PAGE, 1));
    expect(files.allocate(file, PUNCH_HOLE | KEEP_SIZE, 10, 2 * PAGE)).toBe(0);
    expect(files.pages(file)).toBe(9);
    const expected = pattern(4 * PAGE, 1).fill(0, 10, 10 + 2 * PAGE);
    expect(files.read(file, 0, 4 * PAGE)).toEqual(expected);
    expect(files.allocate(file, ZERO_RANGE, 2 * PAGE, 3 * PAGE)).toBe(0);
    expect(files.size(file)).toBe(5 * PAGE);
    const zeroed = new Uint8Array(5 * PAGE);
    zeroed.set(expected.subarray(0, 10));
    expect(files.read(file, 0, 5 * PAGE)).toEqual(zeroed);
    expect(files.allocate(file, PUNCH_HOLE, 0, 1)).toBe(-EOPNOTSUPP);
    expect(files.allocate(file, COLLAPSE_RANGE, 0, PAGE)).toBe(-EOPNOTSUPP);
    expect(files.allocate(file, 0, 0, 0)).toBe(-EINVAL);
  });

  it("finds data and holes", () => {
    const file = arena.createFile();
    files.write(file, 3 * PAGE, pattern(PAGE + 1, 1));
    files.truncate(file, 20 * PAGE);
    files.allocate(file, 0, 10 * PAGE, PAGE);
    expect(files.seek(file, SEEK_DATA, 0)).toBe(3 * PAGE);
    expect(files.seek(file, SEEK_DATA, 3 * PAGE + 5)).toBe(3 * PAGE + 5);
    expect(files.seek(file, SEEK_HOLE, 0)).toBe(0);
    expect(files.seek(file, SEEK_HOLE, 3 * PAGE)).toBe(5 * PAGE);
    expect(files.seek(file, SEEK_DATA, 5 * PAGE)).toBe(-ENXIO);
    expect(files.seek(file, SEEK_HOLE, 20 * PAGE)).toBe(-ENXIO);
    expect(files.seek(file, 0, 0)).toBe(-EINVAL);
  });

  it("copies ranges, holes as holes", () => {
    const from = arena.createFile();
    const to = arena.createFile();
    files.write(from, 2 * PAGE, pattern(PAGE, 1));
    files.write(to, 0, pattern(3 * PAGE, 2));
    expect(files.copy(from, 0, to, 0, 10 * PAGE)).toBe(3 * PAGE);
    expect(files.read(to, 0, 4 * PAGE)).toEqual(files.read(from, 0, 4 * PAGE));
    expect(files.pages(to)).toBe(1);
    expect(files.copy(from, 2 * PAGE, from, 2 * PAGE + 10, 100)).toBe(-EINVAL);
    expect(files.copy(from, 2 * PAGE, from, 3 * PAGE, 50)).toBe(50);
    expect(files.copy(from, 100 * PAGE, to, 0, 1)).toBe(0);
  });

  it("stamps writes and reads as relatime", () => {
    const file = arena.createFile();
    const { words } = arena;
    words[ArenaWord.ATIME] = 50;
    words[ArenaWord.MTIME] = 10;
    words[ArenaWord.MTIME_NSEC] = 7;
    words[ArenaWord.CTIME] = 20;
    arena.setTimes(file, ArenaTime.ATIME | ArenaTime.MTIME | ArenaTime.CTIME);
    words.fill(0);
    arena.stat(file);
    expect([words[ArenaWord.ATIME], words[ArenaWord.MTIME], words[ArenaWord.MTIME_NSEC]]).toEqual([
      50, 10, 7,
    ]);
    files.write(file, 0, pattern(1, 1));
    arena.now();
    const now = words[ArenaWord.RESULT] as number;
    arena.stat(file);
    expect(words[ArenaWord.ATIME]).toBe(50);
    expect(now - (words[ArenaWord.MTIME] as number)).toBeLessThan(5);
    expect(words[ArenaWord.CTIME_NSEC]).toBe(words[ArenaWord.MTIME_NSEC]);
    arena.read(file, 0, 0, new Uint8Array(1), 1);
    arena.stat(file);
    expect(words[ArenaWord.ATIME]).toBe(50);
    files.read(file, 0, 1);
    arena.stat(file);
    expect(words[ArenaWord.ATIME]).toBeGreaterThanOrEqual(now);
  });

  it("has numbers that are checked and reused", () => {
    const file = arena.createFile();
    files.write(file, 0, pattern(PAGE, 1));
    expect(arena.dropFile(file)).toBe(0);
    expect(arena.usedPages()).toBe(0);
    expect(arena.dropFile(file)).toBe(-EBADF);
    expect(files.read(4_000_000_000, 0, 1)).toBe(-EBADF);
    expect(arena.createFile()).toBe(file);
    expect(files.size(file)).toBe(0);
    arena.close();
    expect(arena.stat(file)).toBe(-EBADF);
    expect(arena.createFile()).toBe(-EBADF);
  });

  it("counts what the share keeps elsewhere", () => {
    const file = arena.createFile();
    expect(arena.charge(60)).toBe(0);
    expect(arena.charge(5)).toBe(-ENOSPC);
    expect(files.write(file, 0, pattern(10 * PAGE, 1))).toBe(4 * PAGE);
    expect(arena.charge(-60)).toBe(0);
    expect(arena.usedPages()).toBe(4);
  });
});

describe("large files", () => {
  it("give their pages back in the background and take them again", async () => {
    const large = openArena(4096);
    const big = new ArenaFiles(large);
    const bytes = Buffer.concat(new Array(4096).fill(pattern(PAGE, 3)));
    for (let round = 0; round < 6; round++) {
      const file = large.createFile();
      expect(big.write(file, 0, bytes)).toBe(bytes.length);
      expect(big.write(large.createFile(), 0, bytes)).toBe(-ENOSPC);
      expect(Buffer.compare(big.read(file, 0, bytes.length) as Uint8Array, bytes)).toBe(0);
      large.dropFile(file);
      expect(large.usedPages()).toBe(0);
      if (round % 2 === 1) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    large.close();
  });

  it("refuse a limit without address space", () => {
    expect(() => openArena(2 ** 50)).toThrow(/cannot reserve memory/);
    expect(() => openArena(0)).toThrow(/cannot reserve memory/);
  });
});
