import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MemoryBackend } from "../../../backends/memory/memory-backend.js";
import type { PassthroughBackend } from "../../../backends/passthrough/passthrough-backend.js";
import { EOPNOTSUPP } from "../../../src/vfs/errno.js";
import type { VfsHandle } from "../../../src/vfs/node.js";
import { CALLER, must, openBackend, record, WHOLE } from "./cloning.js";

const HOLE_BYTES = 64 << 20;
// The disk's copies are made on the I/O pool, those of a memory file system at once.
describe.each([tmpdir(), "/dev/shm"])("a copy of a file in %s", (place) => {
  let directory: string;
  let from: PassthroughBackend;
  let to: PassthroughBackend;

  beforeEach(() => {
    directory = mkdtempSync(join(place, "clone-"));
    for (const name of ["from", "to"]) mkdirSync(join(directory, name));
    [from, to] = [openBackend(join(directory, "from")), openBackend(join(directory, "to"))];
  });
  afterEach(() => {
    from.stop();
    to.stop();
    rmSync(directory, { recursive: true });
  });

  /** Copies a file and gives the copy the name "copy"; its path. */
  async function clone(name: string, options = WHOLE): Promise<string> {
    const [source, target] = [from.start(), to.start()];
    const node = must(await from.lookup(CALLER, source, name, record()));
    const handle: VfsHandle = must(await to.cloneFile(from, node, target, options, record()));
    must(to.link(CALLER, handle.node as never, target, "copy", record()));
    to.discard(handle as never);
    return join(directory, "to/copy");
  }

  it("has its data, mode, times and attributes, but those to be skipped", async () => {
    const path = join(directory, "from/file");
    writeFileSync(path, "contents");
    const attributes = ["user.comment", "user.mine.secret", "user.mine.not.secret"];
    for (const name of attributes) execFileSync("setfattr", ["-n", name, "-v", "x", path]);
    chmodSync(path, 0o4711);
    utimesSync(path, 1000.25, 2000.5);
    const copy = await clone("file");
    const { mode, atimeMs, mtimeMs, nlink } = statSync(copy);
    expect({ mode, atimeMs, mtimeMs, nlink }).toEqual({
      mode: 0o104711,
      atimeMs: 1000250,
      mtimeMs: 2000500,
      nlink: 1,
    });
    expect(readFileSync(copy, "utf8")).toBe("contents");
    const kept = execFileSync("getfattr", ["-d", "--absolute-names", copy], { encoding: "utf8" });
    expect(kept.split("\n").slice(1, -2).sort()).toEqual([
      'user.comment="x"',
      'user.mark="made"',
      'user.mine.not.secret="x"',
    ]);
  });

  it("has its holes", async () => {
    const path = join(directory, "from/sparse");
    writeFileSync(path, "begin");
    truncateSync(path, HOLE_BYTES);
    writeFileSync(path, "end", { flag: "a" });
    truncateSync(path, 2 * HOLE_BYTES);
    const { size, blocks } = statSync(await clone("sparse"));
    expect(size).toBe(2 * HOLE_BYTES);
    expect(blocks).toBeLessThan(64);
    expect(readFileSync(join(directory, "to/copy")).equals(readFileSync(path))).toBe(true);
  });

  it("ends where it is wanted to", async () => {
    writeFileSync(join(directory, "from/file"), "contents");
    expect(readFileSync(await clone("file", { ...WHOLE, size: 3 }), "utf8")).toBe("con");
  });

  it("of another store is not made", async () => {
    const memory = new MemoryBackend({ sizeBytes: 1 << 20 });
    const root = await memory.start();
    const file = must(memory.mknod(CALLER, root, "file", 0o100644, 0, record()));
    expect(to.cloneFile(memory, file, to.start(), WHOLE, record())).toBe(-EOPNOTSUPP);
  });
});
