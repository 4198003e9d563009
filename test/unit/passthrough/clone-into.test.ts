import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
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
import type { PassthroughBackend } from "../../../backends/passthrough/passthrough-backend.js";
import { Attr } from "../../../src/vfs/attributes.js";
import { EEXIST, EOPNOTSUPP, type Result } from "../../../src/vfs/errno.js";
import type { VfsNode } from "../../../src/vfs/node.js";
import { CALLER, must, openBackend, record, WHOLE } from "./cloning.js";

let directory: string;
let from: PassthroughBackend;
let to: PassthroughBackend;

function begin(place: string): void {
  directory = mkdtempSync(join(place, "clone-into-"));
  for (const name of ["from", "to", "to/work", "to/shown"]) mkdirSync(join(directory, name));
  [from, to] = [openBackend(join(directory, "from")), openBackend(join(directory, "to"))];
}

function end(): void {
  from.stop();
  to.stop();
  rmSync(directory, { recursive: true });
}

/** Copies a file of "from" to "to/shown/copy". */
async function cloneInto(
  name: string,
  { namesApart = false, options = WHOLE, out = record() } = {},
): Promise<Result<VfsNode>> {
  const source = must(await from.lookup(CALLER, from.start(), name, record()));
  const root = to.start();
  const [work, shown] = await Promise.all(
    ["work", "shown"].map(async (each) => must(await to.lookup(CALLER, root, each, record()))),
  );
  const place = { work, directory: shown, name: "copy", namesApart } as never;
  return to.cloneInto(from, source, place, options, out);
}

const source = () => join(directory, "from/file");
const copy = () => join(directory, "to/shown/copy");

describe("a copy with a name", () => {
  beforeEach(() => begin("/dev/shm"));
  afterEach(end);

  it("is the file, and its directory does not show it by its times", async () => {
    writeFileSync(source(), "contents");
    for (const name of ["user.comment", "user.mine.not.secret"]) {
      execFileSync("setfattr", ["-n", name, "-v", "x", source()]);
    }
    chmodSync(source(), 0o4711);
    utimesSync(source(), 1000.25, 2000.5);
    utimesSync(join(directory, "to/shown"), 3000.25, 4000.5);
    const out = record();
    const node = must(await cloneInto("file", { out }));
    const { mode, atimeMs, mtimeMs, nlink, ino } = statSync(copy());
    expect({ mode, atimeMs, mtimeMs, nlink }).toEqual({
      mode: 0o104711,
      atimeMs: 1000250,
      mtimeMs: 2000500,
      nlink: 1,
    });
    expect([out[Attr.INO], out[Attr.NLINK], out[Attr.MTIME]]).toEqual([ino, 1, 2000]);
    const later = record();
    expect([to.getattr(CALLER, node as never, undefined, later), later[Attr.INO]]).toEqual([0, ino]);
    expect(readFileSync(copy(), "utf8")).toBe("contents");
    const kept = execFileSync("getfattr", ["-d", "--absolute-names", copy()], { encoding: "utf8" });
    expect(kept.split("\n").slice(1, -2).sort()).toEqual([
      'user.comment="x"',
      'user.mark="made"',
      'user.mine.not.secret="x"',
    ]);
    const shown = statSync(join(directory, "to/shown"));
    expect([shown.atimeMs, shown.mtimeMs]).toEqual([3000250, 4000500]);
    expect(readdirSync(join(directory, "to/work"))).toEqual([]);
  });

  it("is not made of a file with attributes that are to be left out", async () => {
    writeFileSync(source(), "contents");
    execFileSync("setfattr", ["-n", "user.mine.secret", "-v", "x", source()]);
    expect(await cloneInto("file")).toBe(-EOPNOTSUPP);
    expect(readdirSync(join(directory, "to/shown"))).toEqual([]);
  });

  it("ends where it is wanted to", async () => {
    writeFileSync(source(), "contents");
    must(await cloneInto("file", { options: { ...WHOLE, size: 3 } }));
    expect(readFileSync(copy(), "utf8")).toBe("con");
  });

  it("is not made of a file with other names, unless they go apart", async () => {
    writeFileSync(source(), "contents");
    linkSync(source(), join(directory, "from/other"));
    expect(await cloneInto("file")).toBe(-EOPNOTSUPP);
    expect(readdirSync(join(directory, "to/shown"))).toEqual([]);
    must(await cloneInto("file", { namesApart: true }));
    expect(readFileSync(copy(), "utf8")).toBe("contents");
  });

  it("is not made of more data than can be copied at once", async () => {
    writeFileSync(source(), "");
    truncateSync(source(), 1 << 20);
    expect(await cloneInto("file")).toBe(-EOPNOTSUPP);
    must(await cloneInto("file", { options: { ...WHOLE, size: 10 } }));
    expect(statSync(copy()).size).toBe(10);
  });

  it("leaves alone what has its name", async () => {
    writeFileSync(source(), "contents");
    writeFileSync(copy(), "another");
    expect(await cloneInto("file")).toBe(-EEXIST);
    expect(readFileSync(copy(), "utf8")).toBe("another");
  });
});

describe("a copy with a name on a disk", () => {
  beforeEach(() => begin(tmpdir()));
  afterEach(end);

  it("is not made at once", async () => {
    writeFileSync(source(), "contents");
    expect(await cloneInto("file")).toBe(-EOPNOTSUPP);
    expect(readdirSync(join(directory, "to/shown"))).toEqual([]);
  });
});
