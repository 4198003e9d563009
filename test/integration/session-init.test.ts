import { describe, expect, test } from "vitest";
import {
  DEFAULT_INIT_FLAGS,
  FUSE_MAJOR,
  InitFlag,
  Opcode,
  OUT_HEADER_BYTES,
  ok,
  ROOT,
} from "../support/frontend/index.js";
import { expectServes, makeFile, mount } from "../support/frontend-testing.js";

const GONE = ["ESTALE", "EINVAL", "ENOENT", "EBADF"];

describe("INIT", () => {
  test("agrees on flags that both sides know", async () => {
    const fs = await mount();
    const init = ok(fs.init());
    expect(init.major).toBe(FUSE_MAJOR);
    expect(init.minor).toBeGreaterThanOrEqual(31);
    expect(init.replyBytes).toBe(64);
    expect(init.flags & ~DEFAULT_INIT_FLAGS, "flags that were not offered").toBe(0n);
    const { ASYNC_READ, BIG_WRITES, MAX_PAGES, DO_READDIRPLUS, INIT_EXT } = InitFlag;
    const wanted = ASYNC_READ | BIG_WRITES | MAX_PAGES | DO_READDIRPLUS | INIT_EXT;
    expect(init.flags & wanted).toBe(wanted);
    expect(init.maxWrite).toBe(1 << 20);
    expect(init.maxPages).toBe(256);
    expect(init.timeGranularity).toBe(1);
  });

  test("does not offer what was not asked for", async () => {
    const fs = await mount();
    expect(ok(fs.init({ flags: 0n })).flags).toBe(0n);
    expectServes(fs);
  });

  test("ignores flags2 without INIT_EXT", async () => {
    const fs = await mount();
    const flags = DEFAULT_INIT_FLAGS & ~InitFlag.INIT_EXT;
    const init = ok(fs.init({ flags: flags | (0xffff_ffffn << 32n) }));
    expect(init.flags >> 32n).toBe(0n);
  });

  test("accepts every flag there is, and those of the future", async () => {
    const fs = await mount();
    const { flags } = ok(fs.init({ flags: (1n << 64n) - 1n, minor: 99 }));
    expect(flags & InitFlag.INIT_EXT).toBe(InitFlag.INIT_EXT);
    expect(flags & (1n << 31n), "the reserved flag").toBe(0n);
    expectServes(fs);
  });

  test("takes what a Windows guest sends", async () => {
    const fs = await mount();
    const flags = InitFlag.DO_READDIRPLUS | InitFlag.MAX_PAGES;
    expect(ok(fs.init({ flags, minor: 31 })).flags & ~flags).toBe(0n);
    ok(fs.create(ROOT, "file"));
    expect(fs.destroy().error).toBeNull();
    expect(ok(fs.init({ flags, minor: 31 })).major).toBe(FUSE_MAJOR);
  });

  test.each([27, 31, 36, 38, 45])("minor %i works", async (minor) => {
    const fs = await mount({ init: { minor } });
    expect(fs.initReply?.minor).toBeLessThanOrEqual(Math.max(minor, 46));
    makeFile(fs, "file", "content");
    expect(ok(fs.lookup(ROOT, "file")).attr.size).toBe(7);
  });

  test("a newer major is answered with ours, so that the guest tries again", async () => {
    const fs = await mount({ noInit: true });
    expect(ok(fs.init({ major: FUSE_MAJOR + 1, minor: 0 })).major).toBe(FUSE_MAJOR);
    expect(ok(fs.init()).major).toBe(FUSE_MAJOR);
    expectServes(fs);
  });

  test.each([0, 6])("major %i is refused", async (major) => {
    const fs = await mount({ noInit: true });
    expect(fs.init({ major }).error).toBeOneOf(["EPROTO", "EINVAL", "EIO"]);
    ok(fs.init());
    expectServes(fs);
  });

  test("a reply buffer that is too small is an error; INIT may be repeated", async () => {
    const fs = await mount({ noInit: true });
    expect(fs.init({ replyBytes: 7 }).error).not.toBeNull();
    ok(fs.init());
    expectServes(fs);
  });

  test.each([0, 1, 7])("cut off after %i bytes is refused", async (length) => {
    const fs = await mount({ noInit: true });
    const reply = fs.request(Opcode.INIT, 0n, Buffer.alloc(length, 7), OUT_HEADER_BYTES + 64);
    expect(reply.error).not.toBeNull();
    ok(fs.init());
  });

  test("a second one begins a new session", async () => {
    const fs = await mount();
    const { nodeid, fh } = ok(fs.create(ROOT, "file"));
    ok(fs.write(nodeid, fh, 0, "kept"));
    ok(fs.init());
    expect(fs.getattr(nodeid).error).toBeOneOf(GONE);
    expect(fs.read(nodeid, fh, 0, 4).error).toBeOneOf(GONE);
    expect(ok(fs.lookup(ROOT, "file")).attr.size).toBe(4);
  });

  test("requests before it are refused and do no harm", async () => {
    const fs = await mount({ noInit: true });
    const before = fs.lookup(ROOT, "file");
    expect(before.error).not.toBeNull();
    ok(fs.init());
    expectServes(fs);
  });

  test("DESTROY is answered, and INIT begins again", async () => {
    const fs = await mount();
    const { nodeid } = ok(fs.mkdir(ROOT, "directory"));
    expect(fs.destroy().error).toBeNull();
    ok(fs.init());
    expect(fs.getattr(nodeid).error).toBeOneOf(GONE);
  });

  test.each([
    ["auto", 1],
    ["always", 86_400],
    ["never", 0],
  ] as const)("--cache %s gives timeouts of %i s", async (policy, seconds) => {
    const fs = await mount({ args: ["--cache", policy] });
    const entry = ok(fs.mkdir(ROOT, "directory"));
    expect([entry.entryValid, entry.attrValid]).toEqual([seconds, seconds]);
  });
});
