import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ImportResult, importLayers } from "../../../src/layer/import.js";
import { GatewayError } from "../../../src/vfs/gateway-error.js";
import { manifest } from "../../support/manifest.js";
import { type ArchiveEntry, archiveOf, directory, file } from "./archives.js";

const isRoot = process.getuid?.() === 0;
const CAPABILITY = Buffer.from("0100000200200000000000000000000000000000", "hex");

let folder: string;
let output: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gateway-layers-"));
  output = join(folder, "output");
});
afterEach(() => rmSync(folder, { recursive: true }));

async function importArchives(archives: readonly Buffer[], maxSizeBytes = 2 ** 40): Promise<ImportResult> {
  const sources = archives.map((archive, index) => {
    const path = join(folder, `${index}.tar`);
    writeFileSync(path, archive);
    return path;
  });
  return importLayers({ sources, output, platform: "linux/amd64", image: undefined, maxSizeBytes });
}

/** Imports layers, base first, and describes the last of them. */
async function importLast(...layers: readonly (readonly ArchiveEntry[])[]): Promise<string[]> {
  const archives = await Promise.all(layers.map((entries) => archiveOf(...entries)));
  const { layers: paths } = await importArchives(archives);
  return manifest(paths.at(-1) as string, { times: () => true });
}

describe.skipIf(!isRoot)("a layer is unpacked", () => {
  it("with types, owners, modes, times, devices and attributes", async () => {
    const mtime = { seconds: -2, nanoseconds: 5 };
    const xattrs = new Map([["security.capability", CAPABILITY]]);
    const lines = await importLast([
      directory("./", { mode: 0o700, mtime }),
      directory("d/", { mode: 0o1777, uid: 7, mtime }),
      file("d/f", "text", { mode: 0o4755, uid: 5, gid: 6, mtime, xattrs }),
      { path: "d/s", type: "symlink", linkPath: "/etc/passwd", uid: 8, mtime },
      { path: "d/null", type: "character", major: 1, minor: 3, mode: 0o666, mtime },
      { path: "d/disk", type: "block", major: 259, minor: 300, mtime },
      { path: "d/pipe", type: "fifo", mtime },
      { path: "d/l", type: "link", linkPath: "d/f" },
      { path: "d/\xff\n", mtime },
    ]);
    const capability = `security.capability=${CAPABILITY.toString("hex")}`;
    expect(lines).toEqual([
      "/ directory 700 0:0 mtime -2.5",
      "/d directory 1777 7:0 mtime -2.5",
      `/d/disk block 644 0:0 device ${(259 << 8) | (300 & 0xff) | ((300 & 0xfff00) << 12)} mtime -2.5`,
      `/d/f file 4755 5:6 4 982d9e3eb996f559 mtime -2.5 2 links, as /d/f ${capability}`,
      `/d/l file 4755 5:6 4 982d9e3eb996f559 mtime -2.5 2 links, as /d/f ${capability}`,
      "/d/null character 666 0:0 device 259 mtime -2.5",
      "/d/pipe fifo 644 0:0 mtime -2.5",
      "/d/s symlink 777 8:0 -> /etc/passwd mtime -2.5",
      "/d/\xff\n file 644 0:0 0 e3b0c44298fc1c14 mtime -2.5",
    ]);
  });

  it("with whiteouts and opaque directories as overlayfs has them", async () => {
    const lines = await importLast([
      directory("d"),
      file("d/.wh.gone"),
      directory("o"),
      file("o/.wh.gone"),
      file("o/new"),
      file("o/.wh..wh..opq"),
      file("o/.wh.more"),
      file(".wh..wh.plnk"),
    ]);
    expect(lines.map((line) => line.split(" mtime")[0])).toEqual([
      "/ directory 755 0:0",
      "/d directory 755 0:0",
      "/d/gone character 0 0:0 device 0",
      "/o directory 755 0:0",
      "/o/new file 644 0:0 0 e3b0c44298fc1c14",
    ]);
    expect(lines[3]).toContain("trusted.overlay.opaque=79");
  });

  it("hiding only what is below: a whiteout spares what its own layer has", async () => {
    const lines = await importLast([
      file("d/kept"),
      file(".wh.d"),
      file("f"),
      file(".wh.f"),
      file(".wh.g"),
      file("g/kept"),
      file("h"),
      directory("h"),
    ]);
    expect(lines.map((line) => line.replace(/ mtime \S+/, "").replace(/ file .*/, ""))).toEqual([
      "/ directory 755 0:0",
      "/d directory 755 0:0 trusted.overlay.opaque=79",
      "/d/kept",
      "/f",
      "/g directory 755 0:0 trusted.overlay.opaque=79",
      "/g/kept",
      "/h directory 755 0:0 trusted.overlay.opaque=79",
    ]);
  });

  it("with attributes that look like marks escaped", async () => {
    const xattrs = new Map([
      ["trusted.overlay.redirect", Buffer.from("/etc")],
      ["user.overlay.opaque", Buffer.from("y")],
    ]);
    const [, line] = await importLast([directory("d", { xattrs })]);
    expect(line).toContain(" trusted.overlay.overlay.redirect=2f657463 user.overlay.opaque=79");
  });

  it("later entries replacing earlier ones", async () => {
    const lines = await importLast([
      file("a", "1"),
      file("a", "22"),
      file("d/x/y"),
      directory("d", { mode: 0o700 }),
      directory("e/f/g"),
      { path: "e", type: "symlink", linkPath: "d" },
      file("l"),
      { path: "l", type: "link", linkPath: "l" },
      { path: "a2", type: "link", linkPath: "a" },
      { path: "a2", type: "link", linkPath: "/a" },
    ]);
    expect(lines.map((line) => line.split(" ").slice(0, 5).join(" "))).toEqual([
      "/ directory 755 0:0 mtime",
      "/a file 644 0:0 2",
      "/a2 file 644 0:0 2",
      "/d directory 700 0:0 mtime",
      "/d/x directory 755 0:0 mtime",
      "/d/x/y file 644 0:0 0",
      "/e symlink 777 0:0 ->",
      "/l file 644 0:0 0",
    ]);
  });

  it("taking directories that it only implies from the layers below", async () => {
    const xattrs = new Map([["user.x", Buffer.from("1")]]);
    const mtime = { seconds: 3, nanoseconds: 4 };
    const below = [
      directory("./", { mode: 0o711, mtime }),
      directory("a", { mode: 0o750, uid: 9, mtime, xattrs }),
      directory("a/b", { mode: 0o701, mtime }),
    ];
    const lines = await importLast(below, [file(".wh.z")], [file("a/b/c"), file("new/f")]);
    expect(lines[0]).toBe("/ directory 711 0:0 mtime 3.4");
    expect(lines[1]).toBe("/a directory 750 9:0 mtime 3.4 user.x=31");
    expect(lines[2]).toBe("/a/b directory 701 0:0 mtime 3.4");
    expect(lines[4]).toBe("/new directory 755 0:0 mtime 0.0");
  });

  it("with the holes of sparse files", async () => {
    const size = 1n << 40n;
    const extents = [{ offset: 1n << 30n, length: 4n }];
    const archive = await archiveOf({ path: "s", size, extents, contents: "data" });
    const { layers } = await importArchives([archive]);
    const { size: actual, blocks } = statSync(join(layers[0] as string, "s"));
    expect(actual).toBe(2 ** 40);
    expect(blocks).toBeLessThanOrEqual(16);
  });
});

describe("archives are unpacked, packed with", () => {
  it.each(["gzip", "zstd"])("%s", async (kind) => {
    const archive = await archiveOf(file("f", "a".repeat(100_000)));
    const packed = kind === "gzip" ? gzipSync(archive) : zstdRaw(archive);
    const { layers } = await importArchives([packed]);
    expect(readFileSync(join(layers[0] as string, "f"), "latin1")).toBe("a".repeat(100_000));
  });

  it("and the layers are only their owner's, the base being the first", async () => {
    const { layers } = await importArchives([await archiveOf(file("a")), await archiveOf(file("b"))]);
    expect(layers).toEqual([join(output, "0001"), join(output, "0002")]);
    expect(readdirSync(output)).toEqual(["0001", "0002"]);
    expect(statSync(output).mode & 0o777).toBe(0o700);
  });
});

describe("refused, and nothing is left:", () => {
  const link = (path: string, linkPath: string): ArchiveEntry => ({ path, type: "link", linkPath });
  const symlink = (path: string, linkPath: string): ArchiveEntry => ({ path, type: "symlink", linkPath });
  it.each<[string, ArchiveEntry[], string]>([
    ["..", [file("../evil")], 'entry "../evil": "../evil" leads out of the layer'],
    [".. in the middle", [file("a/../../evil")], "leads out of the layer"],
    ["an absolute path", [file("/evil")], 'entry "/evil": an absolute path'],
    ["a path through a link", [symlink("a", "/"), file("a/evil")], '"a" on its path is a symbolic link'],
    ["a path through a file", [file("a"), file("a/evil")], '"a" on its path is no directory'],
    ["a link out", [link("a", "../../etc/passwd")], "leads out of the layer"],
    [
      "a link to nothing",
      [link("a", "etc/passwd")],
      'a hard link to "etc/passwd", which is not in this layer',
    ],
    ["a link through a link", [symlink("a", "/etc"), link("b", "a/passwd")], "is a symbolic link"],
    ["a link to a directory", [directory("d"), link("b", "d")], "which is no file"],
    ["a link to a whiteout", [file(".wh.a"), link("b", "a")], "which is no file"],
    ["a device 0:0", [{ path: "a", type: "character" }], "a device 0:0, which would hide what is below"],
    ["a long name", [file("n".repeat(256))], "a name of 256 bytes: 255 is the limit"],
    ["a long path", [file("n/".repeat(2049))], "a path of 4098 bytes: 4096 is the limit"],
    ["a name with NUL", [file("a\0b")], "is not a name that a file can have"],
    ["a whiteout of nothing", [file(".wh.")], '"" is not a name'],
    ["a whiteout of ..", [file("d/.wh...")], '".." is not a name'],
    ["a file in a whiteout", [file(".wh.a/b")], "something in the place of a whiteout"],
    ["a root that is a file", [file(".")], "only a directory can be the root"],
    ["an empty symbolic link", [symlink("a", "")], "not a target that a symbolic link can have"],
  ])("%s", async (_what, entries, message) => {
    const archive = await archiveOf(...entries);
    const error = await importArchives([await archiveOf(file("first")), archive]).catch(
      (err: unknown) => err,
    );
    expect(error).toBeInstanceOf(GatewayError);
    expect((error as Error).message).toContain(message);
    expect((error as Error).message).toMatch(/^\/.*1\.tar: entry /);
    expect(readdirSync(output)).toEqual([]);
  });

  it("what unpacks to more than --max-size", async () => {
    const bomb = gzipSync(await archiveOf(file("zeros", "\0".repeat(1 << 20))));
    await expect(importArchives([bomb], 1 << 16)).rejects.toThrow("unpacks to more than --max-size");
  });

  it.each<[string, (packed: Buffer) => Buffer, string]>([
    ["gzip data that is cut off", (packed) => packed.subarray(0, -20), "damaged gzip data"],
    ["gzip data that was changed", (packed) => packed.fill(0, 30, 40), "damaged gzip data"],
    ["zstd data that is none", () => Buffer.from("28b52ffdffffffffffff", "hex"), "damaged zstd data"],
    ["text", () => Buffer.alloc(5000, "text"), "not a tar archive"],
  ])("%s", async (_what, damage, message) => {
    const packed = gzipSync(await archiveOf(file("f", String(Math.PI).repeat(1000))));
    await expect(importArchives([damage(packed)])).rejects.toThrow(message);
  });

  it("a directory that is not empty, which stays as it is", async () => {
    mkdirSync(output);
    writeFileSync(join(output, "mine"), "");
    await expect(importArchives([await archiveOf(file("f"))])).rejects.toThrow("--output: ");
    expect(readdirSync(output)).toEqual(["mine"]);
  });

  it("nothing outside is touched through links that an archive made", async () => {
    const outside = join(folder, "outside");
    mkdirSync(outside);
    symlinkSync(outside, join(folder, "link"));
    const entries = [symlink("a", outside), file("a/evil"), directory("a")];
    await importArchives([await archiveOf(...entries)]).catch(() => undefined);
    expect(readdirSync(outside)).toEqual([]);
  });
});

/** A zstd frame of stored blocks: what any decoder reads. */
function zstdRaw(bytes: Buffer): Buffer {
  const frame: Buffer[] = [Buffer.from("28b52ffd", "hex"), Buffer.from([0x00, 0x58])];
  const BLOCK_BYTES = 1 << 17;
  for (let start = 0; start < bytes.length; start += BLOCK_BYTES) {
    const block = bytes.subarray(start, start + BLOCK_BYTES);
    const isLast = start + BLOCK_BYTES >= bytes.length ? 1 : 0;
    const header = Buffer.alloc(3);
    header.writeUIntLE((block.length << 3) | isLast, 0, 3);
    frame.push(header, block);
  }
  return Buffer.concat(frame);
}
