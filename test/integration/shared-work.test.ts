import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  Body,
  type Client,
  Opcode,
  Open,
  OUT_HEADER_BYTES,
  ok,
  type PlusEntry,
  ROOT,
} from "../support/frontend/index.js";
import { mount } from "../support/frontend-testing.js";

const MIB = 1 << 20;
const KIB = 1 << 10;

/** tmpfs, whose reads never wait, and the temporary directory's file system, whose reads may. */
const PLACES = ["/dev/shm", tmpdir()];

async function serve(place: string) {
  const sharedDir = mkdtempSync(join(place, "virtiofs-gateway-"));
  onTestFinished(() => rmSync(sharedDir, { recursive: true, force: true }));
  const fs = await mount({ sharedDir, memoryBytes: 64 * MIB, ringSize: 1024 });
  return { fs, sharedDir };
}

/** What an open directory has behind an offset, so many bytes a request. */
function rest(fs: Client, fh: bigint, from: bigint, size: number): PlusEntry[] {
  const all: PlusEntry[] = [];
  for (let part = ok(fs.readdirplus(ROOT, fh, from, size)).entries; part.length > 0; ) {
    all.push(...part);
    part = ok(fs.readdirplus(ROOT, fh, part.at(-1)?.off ?? 0n, size)).entries;
  }
  return all;
}

describe.each(PLACES)("large reads, which several threads share, in %s", (place) => {
  test("are whole, wherever they begin and the file ends", async () => {
    const { fs, sharedDir } = await serve(place);
    const model = randomBytes(2 * MIB + 12_345);
    writeFileSync(join(sharedDir, "data"), model);
    const { nodeid } = ok(fs.lookup(ROOT, "data"));
    const { fh } = ok(fs.open(nodeid, Open.RDONLY));
    for (const [offset, length] of [
      [0, MIB],
      [1, MIB],
      [4097, MIB - 1],
      [MIB - 1, 256 * KIB + 1],
      [2 * MIB - 128 * KIB, MIB], // ends in the second part
      [2 * MIB - 512 * KIB + 12_345, 512 * KIB], // ends with the file
      [2 * MIB + 12_344, MIB], // ends in the first part
      [2 * MIB + 12_345, MIB],
      [5 * MIB, MIB],
    ] as const) {
      for (const options of [{ segmentBytes: 4096 }, { segmentBytes: 4096, scatter: true }, {}]) {
        const { data } = ok(fs.read(nodeid, fh, offset, length, options));
        expect(data.equals(model.subarray(offset, offset + length)), `${length} at ${offset}`).toBe(true);
      }
    }
  });

  test("of many in flight each gets its own bytes", async () => {
    const { fs, sharedDir } = await serve(place);
    const model = randomBytes(8 * MIB);
    writeFileSync(join(sharedDir, "data"), model);
    const { nodeid } = ok(fs.lookup(ROOT, "data"));
    const { fh } = ok(fs.open(nodeid, Open.RDONLY));
    for (let round = 0; round < 20; round++) {
      const reads = Array.from({ length: 24 }, (_, i) => {
        const size = [4 * KIB, 128 * KIB, 300 * KIB, MIB][(i + round) % 4] as number;
        const offset = ((i * 7 + round) % 60) * 128 * KIB + i;
        const body = new Body().u64(fh, offset).u32(size, 0).u64(0).u32(0, 0).bytes;
        const options = { segmentBytes: 64 * KIB };
        const ticket = fs.submit(Opcode.READ, nodeid, body, OUT_HEADER_BYTES + size, options);
        return { ticket, offset, size };
      });
      for (const { ticket, offset, size } of reads) {
        const { error, body } = fs.wait(ticket);
        expect(error).toBeNull();
        expect(body.equals(model.subarray(offset, offset + size)), `${size} at ${offset}`).toBe(true);
      }
    }
  });

  test("of a file that gets shorter are short or whole, and never from elsewhere", async () => {
    const { fs, sharedDir } = await serve(place);
    const path = join(sharedDir, "data");
    const model = randomBytes(MIB);
    writeFileSync(path, model);
    const { nodeid } = ok(fs.lookup(ROOT, "data"));
    const { fh } = ok(fs.open(nodeid, Open.RDONLY));
    for (let size = MIB; size >= 0; size -= 50_000) {
      truncateSync(path, size);
      const { data } = ok(fs.read(nodeid, fh, 0, MIB));
      expect(data.equals(model.subarray(0, size))).toBe(true);
    }
  });

  test("a write-only handle cannot read, however much", async () => {
    const { fs, sharedDir } = await serve(place);
    writeFileSync(join(sharedDir, "data"), randomBytes(MIB));
    const { nodeid } = ok(fs.lookup(ROOT, "data"));
    const { fh } = ok(fs.open(nodeid, Open.WRONLY));
    expect(fs.read(nodeid, fh, 0, MIB).error).toBe("EBADF");
  });
});

describe.each(PLACES)("long listings with attributes, which several threads share, in %s", (place) => {
  test("each entry has its own", async () => {
    const { fs, sharedDir } = await serve(place);
    // Lengths of names that end records with and without padding.
    const names = Array.from({ length: 700 }, (_, i) => `${i}`.padEnd(1 + (i % 40), "x"));
    names.forEach((name, i) => {
      if (i % 7 === 0) mkdirSync(join(sharedDir, name));
      else writeFileSync(join(sharedDir, name), Buffer.alloc(i));
    });
    for (const size of [1000, 4096, 32 * KIB, MIB]) {
      const { fh } = ok(fs.opendir(ROOT));
      const seen = new Map<string, bigint>();
      for (const { name, entry, ino } of rest(fs, fh, 0n, size)) {
        if (name === "." || name === "..") continue;
        expect(entry.attr.ino).toBe(ino);
        const i = names.indexOf(name);
        if (i % 7 !== 0) expect(entry.attr.size).toBe(i);
        expect(ok(fs.getattr(entry.nodeid)).attr.ino).toBe(ino);
        expect(seen.has(name)).toBe(false);
        seen.set(name, ino);
      }
      ok(fs.releasedir(ROOT, fh));
      expect([...seen.keys()].sort()).toEqual([...names].sort());
    }
  });

  test("what is removed meanwhile is left out, and its neighbours are not", async () => {
    const { fs, sharedDir } = await serve(place);
    const names = Array.from({ length: 400 }, (_, i) => `entry-${i}`);
    for (const name of names) writeFileSync(join(sharedDir, name), name);
    const { fh } = ok(fs.opendir(ROOT));
    // Brings the names into the reader's buffer, a few of them answered.
    const first = ok(fs.readdirplus(ROOT, fh, 0, 1000)).entries;
    const gone = new Set(names.filter((_, i) => i % 3 === 0));
    for (const name of gone) unlinkSync(join(sharedDir, name));
    const listed = rest(fs, fh, first.at(-1)?.off ?? 0n, 32 * KIB);
    for (const { name, entry } of listed) {
      if (!name.startsWith(".")) expect(entry.attr.size).toBe(name.length);
    }
    expect(listed.filter(({ name }) => gone.has(name))).toEqual([]);
    const seen = [...first, ...listed].map(({ name }) => name);
    const kept = names.filter((name) => !gone.has(name));
    expect(seen.filter((name) => kept.includes(name)).sort()).toEqual(kept.sort());
  });
});
