import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Client, InitFlag, Open, ok, ROOT } from "../support/frontend/index.js";
import { mount } from "../support/frontend-testing.js";

const NO_OPEN_SUPPORT = 1n << 17n;
const NO_OPENDIR_SUPPORT = 1n << 24n;
const EVERYTHING = (1n << 64n) - 1n;
const WITHOUT = "--no-open-requests";
/** The handle of who has none. */
const NONE = 0n;

interface Overlay {
  readonly fs: Client;
  readonly lower: string;
  readonly upper: string;
}

/** An overlay whose guest does not open files, and what its lower layer holds. */
async function overlay(
  files: Record<string, string>,
  upperOption?: string,
  ...args: string[]
): Promise<Overlay> {
  const directory = mkdtempSync(join(tmpdir(), "unopened-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const [lower, upper] = [join(directory, "lower"), join(directory, "upper")];
  for (const layer of [lower, upper]) mkdirSync(layer);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(lower, name), content);
  const layers = ["--backend", "overlay", "--lower", lower, "--upper", upperOption ?? upper];
  const fs = await mount({ serve: () => [...layers, ...args], init: { flags: EVERYTHING } });
  return { fs, lower, upper };
}

const text = (fs: Client, nodeid: bigint, size = 4096): string =>
  ok(fs.read(nodeid, NONE, 0, size)).data.toString("latin1");

describe.each([undefined, "memory:64MiB"])("a guest that opens nothing, upper layer %s", (upperOption) => {
  test("reads lower files by their nodes, and is told that it may", async () => {
    const { fs } = await overlay({ file: "content", large: "x".repeat(1 << 20) }, upperOption, WITHOUT);
    const { nodeid } = ok(fs.lookup(ROOT, "file"));
    expect(fs.open(nodeid, Open.RDONLY).error).toBe("ENOSYS");
    expect(text(fs, nodeid)).toBe("content");
    expect(text(fs, nodeid)).toBe("content");
    expect(text(fs, ok(fs.lookup(ROOT, "large")).nodeid, 1 << 20)).toHaveLength(1 << 20);
    expect(fs.read(ROOT, NONE, 0, 10).error).toBe("EISDIR");
    expect(fs.read(nodeid + 1000n, NONE, 0, 10).error).toBe("ESTALE");
    expect(fs.release(nodeid, NONE).error).toBeNull();
    expect(fs.flush(nodeid, NONE).error).toBe("ENOSYS");
  });

  test("copies a file up when it first writes", async () => {
    const { fs, lower, upper } = await overlay({ file: "content" }, upperOption, WITHOUT);
    const { nodeid } = ok(fs.lookup(ROOT, "file"));
    expect(text(fs, nodeid)).toBe("content");
    expect(existsSync(join(upper, "file"))).toBe(false);
    expect(ok(fs.write(nodeid, NONE, 0, "C")).size).toBe(1);
    expect(ok(fs.write(nodeid, NONE, 7, "!")).size).toBe(1);
    expect(text(fs, nodeid)).toBe("Content!");
    expect(readFileSync(join(lower, "file"), "utf8")).toBe("content");
    expect(ok(fs.getattr(nodeid, NONE)).attr.size).toBe(8);
    expect(ok(fs.setattr(nodeid, { size: 3, fh: NONE })).attr.size).toBe(3);
    expect(text(fs, nodeid)).toBe("Con");
  });

  test("makes files, and writes them as synchronously as it says", async () => {
    const { fs } = await overlay({}, upperOption, WITHOUT);
    const { nodeid, fh } = ok(fs.create(ROOT, "made", Open.WRONLY | Open.CREAT));
    expect(fh).toBe(NONE);
    expect(ok(fs.write(nodeid, fh, 0, "one")).size).toBe(3);
    for (const flags of [0o10000, 0o4010000]) {
      expect(ok(fs.write(nodeid, fh, 3, "two", { flags })).size).toBe(3);
    }
    expect(text(fs, nodeid)).toBe("onetwo");
    expect(fs.fsync(nodeid, NONE).error).toBeNull();
    expect(fs.fallocate(nodeid, NONE, 0, 10_000).error).toBeNull();
    expect(ok(fs.lseek(nodeid, NONE, 0, 3)).offset).toBe(0);
    const other = ok(fs.create(ROOT, "other"));
    const from = { nodeid, fh: NONE, offset: 0 };
    const copied = fs.copyFileRange(from, { nodeid: other.nodeid, fh: NONE, offset: 0 }, 6);
    expect(copied.error).toBeOneOf([null, "EOPNOTSUPP"]);
    if (copied.error === null) expect(text(fs, other.nodeid)).toBe("onetwo");
  });

  test("goes on with a file that has no name any more, however many others it uses meanwhile", async () => {
    const { fs } = await overlay({ lower: "below" }, upperOption, WITHOUT);
    const made = ok(fs.create(ROOT, "made"));
    ok(fs.write(made.nodeid, NONE, 0, "data"));
    const lower = ok(fs.lookup(ROOT, "lower"));
    expect(fs.unlink(ROOT, "made").error).toBeNull();
    expect(fs.unlink(ROOT, "lower").error).toBeNull();
    for (let i = 0; i < 600; i++) {
      const { nodeid } = ok(fs.create(ROOT, `file${i}`));
      ok(fs.write(nodeid, NONE, 0, `${i}`));
    }
    expect(text(fs, made.nodeid)).toBe("data");
    ok(fs.write(made.nodeid, NONE, 4, "!"));
    expect(text(fs, made.nodeid)).toBe("data!");
    expect(text(fs, lower.nodeid)).toBe("below");
    ok(fs.write(lower.nodeid, NONE, 0, "B"));
    expect(text(fs, lower.nodeid)).toBe("Below");
    expect(text(fs, ok(fs.lookup(ROOT, "file0")).nodeid)).toBe("0");
    expect(ok(fs.getattr(made.nodeid)).attr.nlink).toBe(0);
  });

  test("lists directories by their nodes, each reader as the directory was when he began", async () => {
    const names = Array.from({ length: 300 }, (_, index) => `file${index}`);
    const { fs } = await overlay(Object.fromEntries(names.map((name) => [name, name])), upperOption, WITHOUT);
    expect(fs.opendir(ROOT).error).toBe("ENOSYS");
    const list = (offset: bigint | number) => ok(fs.readdir(ROOT, NONE, offset)).entries;
    const seen: string[] = [];
    let page = list(0);
    for (let removed = 0; page.length > 0; removed++) {
      seen.push(...page.map(({ name }) => `${name}`));
      const next = page.at(-1)?.off ?? 0n;
      // Another reader begins, and what was listed already goes.
      expect(list(0).length).toBeGreaterThan(0);
      if (removed === 0) ok(fs.create(ROOT, "new"));
      page = list(next);
    }
    expect(seen.filter((name) => name.startsWith("file")).sort()).toEqual([...names].sort());
    expect(new Set(seen).size).toBe(seen.length);
    expect(fs.releasedir(ROOT, NONE).error).toBeNull();
    expect(fs.fsyncdir(ROOT, NONE).error).toBeNull();
  });

  test("finds nothing of it after it has begun anew", async () => {
    const { fs } = await overlay({ file: "content" }, upperOption, WITHOUT);
    const { nodeid } = ok(fs.lookup(ROOT, "file"));
    expect(text(fs, nodeid)).toBe("content");
    fs.forget(nodeid);
    expect(fs.read(nodeid, NONE, 0, 10).error).toBe("ESTALE");
    ok(fs.init({ flags: EVERYTHING }));
    const again = ok(fs.lookup(ROOT, "file"));
    expect(text(fs, again.nodeid)).toBe("content");
    ok(fs.init({ flags: EVERYTHING & ~NO_OPEN_SUPPORT & ~NO_OPENDIR_SUPPORT }));
    const opened = ok(fs.open(ok(fs.lookup(ROOT, "file")).nodeid, Open.RDONLY));
    expect(opened.fh).not.toBe(NONE);
  });
});

test.each([
  [[], NO_OPENDIR_SUPPORT],
  [[WITHOUT], NO_OPEN_SUPPORT | NO_OPENDIR_SUPPORT],
  [["--open-requests"], 0n],
  [[WITHOUT, "--file-locks"], NO_OPENDIR_SUPPORT],
  [[WITHOUT, "--cache=never"], 0n],
  [["--readonly"], NO_OPENDIR_SUPPORT],
] as const)("%o: INIT says which opens are needless", async (args, expected) => {
  const { fs } = await overlay({}, undefined, ...args);
  const flags = fs.initReply?.flags ?? 0n;
  expect(flags & (NO_OPEN_SUPPORT | NO_OPENDIR_SUPPORT)).toBe(expected);
  // Nobody would hear of an O_TRUNC.
  expect((flags & InitFlag.ATOMIC_O_TRUNC) === 0n).toBe((expected & NO_OPEN_SUPPORT) !== 0n);
});

test("--no-open-requests means nothing where others may change files", async () => {
  const fs = await mount({ args: [WITHOUT, "--cache=always"], init: { flags: EVERYTHING } });
  expect((fs.initReply?.flags ?? 0n) & NO_OPEN_SUPPORT).toBe(0n);
});

test("the warm-up leaves nothing behind, not even of one that a crash ended", async () => {
  // Of a process that there cannot be.
  const left = "/dev/shm/virtiofs-gateway-warm-up-4194305-crash";
  mkdirSync(join(left, "upper"), { recursive: true });
  onTestFinished(() => rmSync(left, { recursive: true, force: true }));
  const { fs } = await overlay({});
  const { pid } = fs.gateway;
  ok(fs.create(ROOT, "file"));
  await expect.poll(() => existsSync(left), { timeout: 10_000 }).toBe(false);
  expect(await fs.unmount()).toBe(0);
  const own = readdirSync("/dev/shm").filter((name) => name.startsWith(`virtiofs-gateway-warm-up-${pid}-`));
  expect(own).toEqual([]);
});
