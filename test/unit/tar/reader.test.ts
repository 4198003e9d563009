import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { TarEntry } from "../../../src/tar/entry.js";
import { encodeHeader, type TarHeader } from "../../../src/tar/header.js";
import { TarReader } from "../../../src/tar/reader.js";
import { TarWriter } from "../../../src/tar/writer.js";
import { GatewayError } from "../../../src/vfs/gateway-error.js";

const ENTRY: TarEntry = {
  path: "f",
  type: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: { seconds: 5, nanoseconds: 6 },
  atime: undefined,
  linkPath: "",
  major: 0,
  minor: 0,
  xattrs: new Map(),
  size: 0n,
  extents: undefined,
};
const HEADER: TarHeader = {
  path: "f",
  mode: 0o644,
  uid: 1,
  gid: 2,
  size: 0n,
  mtime: 3,
  type: "0",
  linkPath: "",
  major: 0,
  minor: 0,
};

async function* pieces(bytes: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let start = 0; start < bytes.length; start += length) {
    yield bytes.subarray(start, start + length);
  }
}

/** All entries with their contents, the archive coming in pieces. */
async function readAll(archive: Buffer, pieceBytes = 700): Promise<[TarEntry, string][]> {
  const reader = new TarReader(pieces(archive, pieceBytes));
  const entries: [TarEntry, string][] = [];
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
    let contents = "";
    for (let piece = await reader.read(); piece.length > 0; piece = await reader.read()) {
      contents += piece.toString("latin1");
    }
    entries.push([entry, contents]);
  }
  return entries;
}

async function archiveOf(entries: readonly (readonly [TarEntry, string])[]): Promise<Buffer> {
  const written: Buffer[] = [];
  const writer = new TarWriter(async (bytes) => void written.push(Buffer.from(bytes)));
  for (const [entry, contents] of entries) {
    await writer.begin(entry);
    await writer.write(Buffer.from(contents, "latin1"));
    writer.end();
  }
  await writer.finish();
  return Buffer.concat(written);
}

const padded = (text: string) => Buffer.concat([Buffer.from(text), Buffer.alloc(-text.length & 511)]);
const END = Buffer.alloc(1024);

describe("archives", () => {
  it("come back as they were written, in pieces of any length", async () => {
    const entries: [TarEntry, string][] = [
      [{ ...ENTRY, path: "d/", type: "directory", uid: 2 ** 32 - 1, gid: 2_097_152 }, ""],
      [
        { ...ENTRY, path: `${"\xff".repeat(300)}\n`, size: 700n, atime: { seconds: -9, nanoseconds: 1 } },
        "x".repeat(700),
      ],
      [{ ...ENTRY, path: "l", type: "symlink", linkPath: "\xe9".repeat(150) }, ""],
      [{ ...ENTRY, path: "h", type: "link", linkPath: "d/f" }, ""],
      [{ ...ENTRY, path: "c", type: "character", major: 0xfff, minor: 0xfffff }, ""],
      [{ ...ENTRY, xattrs: new Map([["user.=%\n", Buffer.from([0, 10, 255])]]) }, ""],
      [
        {
          ...ENTRY,
          path: "sparse",
          size: 2n ** 63n - 1n,
          extents: [
            { offset: 512n, length: 3n },
            { offset: 2n ** 62n, length: 600n },
          ],
        },
        "s".repeat(603),
      ],
    ];
    const archive = await archiveOf(entries);
    for (const length of [1, 511, 512, 513, 100_000]) {
      const read = await readAll(archive, length);
      const plain = read.map(([entry, contents]) => [
        { ...entry, extents: entry.extents?.filter((extent) => extent.length > 0n) },
        contents,
      ]);
      expect(plain).toEqual(entries);
    }
  });

  it("may have entries unread", async () => {
    const archive = await archiveOf([
      [{ ...ENTRY, size: 1000n }, "x".repeat(1000)],
      [{ ...ENTRY, path: "g" }, ""],
    ]);
    const reader = new TarReader(pieces(archive, 512));
    await reader.next();
    expect((await reader.next())?.path).toBe("g");
    expect(await reader.next()).toBeUndefined();
  });

  it("of old and GNU kinds are read: long names, prefixes, names in base 256", async () => {
    const long = "n".repeat(300);
    const archive = Buffer.concat([
      encodeHeader({ ...HEADER, path: "././@LongLink", type: "L", size: 301n }),
      padded(`${long}\0`),
      encodeHeader({ ...HEADER, path: "cut" }),
      encodeHeader({ ...HEADER, path: "directory/", size: 0n }),
      END,
    ]);
    const read = await readAll(archive);
    expect(read.map(([entry]) => [entry.path, entry.type])).toEqual([
      [long, "file"],
      ["directory/", "directory"],
    ]);
  });

  it("may end without the blocks that say so", async () => {
    expect(await readAll(encodeHeader(HEADER))).toHaveLength(1);
  });
});

describe("refused:", () => {
  it.each<[string, Buffer, string]>([
    ["nothing", Buffer.alloc(0), "not a tar archive"],
    ["text", Buffer.alloc(2000, "text"), "not a tar archive"],
    ["half a block", encodeHeader(HEADER).subarray(0, 300), "not a tar archive"],
    ["contents cut off", encodeHeader({ ...HEADER, size: 10n }), "the archive is cut off"],
    ["a header cut off", Buffer.concat([encodeHeader(HEADER), Buffer.alloc(5, 1)]), "the archive is cut off"],
    [
      "garbage behind an entry",
      Buffer.concat([encodeHeader(HEADER), Buffer.alloc(512, 1)]),
      "malformed header",
    ],
    ["an unknown type", encodeHeader({ ...HEADER, type: "M" }), '"f": unknown type of entry "M"'],
    ["a huge extended header", encodeHeader({ ...HEADER, type: "x", size: 2n ** 32n }), "longer than 16 MiB"],
    [
      "a bad size",
      Buffer.concat([encodeHeader({ ...HEADER, type: "x", size: 10n }), padded("10 size=-1"), END]),
      "malformed extended header",
    ],
  ])("%s", async (_what, archive, message) => {
    const error = await readAll(archive).catch((err: unknown) => err);
    expect(error).toBeInstanceOf(GatewayError);
    expect((error as GatewayError).message).toContain(message);
  });

  it.each(["0\n1\n1\n", "2\n0\n1\n", "1\n5\n600\n", "2\n8\n4\n0\n4\n", "99999999999\n", "x\n"])(
    "a sparse map %j",
    async (map) => {
      const pax = "22 GNU.sparse.major=1\n27 GNU.sparse.realsize=500\n";
      const archive = Buffer.concat([
        encodeHeader({ ...HEADER, type: "x", size: BigInt(pax.length) }),
        padded(pax),
        encodeHeader({ ...HEADER, size: 1024n }),
        padded(map),
        Buffer.alloc(512),
        END,
      ]);
      await expect(readAll(archive)).rejects.toThrow("malformed map of a sparse file");
    },
  );

  it("or read, whatever was changed in an archive", async () => {
    const archive = await archiveOf([
      [{ ...ENTRY, path: "\xe9", size: 3n }, "abc"],
      [{ ...ENTRY, size: 9000n, extents: [{ offset: 4096n, length: 3n }] }, "abc"],
    ]);
    const change = fc.tuple(fc.nat(archive.length - 1), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 5 }), async (changes) => {
        const changed = Buffer.from(archive);
        for (const [position, byte] of changes) {
          changed[position] = byte;
        }
        const error = await readAll(changed).then(
          () => undefined,
          (err: unknown) => err,
        );
        expect(error === undefined || error instanceof GatewayError).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
