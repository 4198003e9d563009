import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Body } from "../support/frontend/fuse-codec.js";
import {
  ATTR_OUT_BYTES,
  type Client,
  ENTRY_OUT_BYTES,
  Opcode,
  OUT_HEADER_BYTES,
  ok,
  ROOT,
  type Ticket,
} from "../support/frontend/index.js";
import { mount } from "../support/frontend-testing.js";
import { MountedShare, whyNoHostMounts } from "./mounted-share.js";

const LOOKUPS = 2000;

/** A share with a directory on this host and, in it, a mounted file system that can be made to hang. */
async function shareWithSlowPart() {
  const slowFiles = mkdtempSync(join(tmpdir(), "slow-"));
  mkdirSync(join(slowFiles, "d"));
  for (const name of ["a", "b", "c"]) writeFileSync(join(slowFiles, name), name);
  const slow = await MountedShare.open(["--shared-dir", slowFiles, "--xattr", "--cache", "never"]);
  const directory = dirname(slow.path);
  writeFileSync(join(directory, "fast"), "fast");
  onTestFinished(async () => {
    slow.resume();
    await slow.close();
    rmSync(slowFiles, { recursive: true });
  });
  const fs = await mount({ sharedDir: directory, args: ["--xattr"] });
  return { slow, fs };
}

/** Requests to the part that hangs, of every kind that must not hold up the rest. */
function askSlow(fs: Client, slowRoot: bigint, file: bigint): Ticket[] {
  const name = (text: string) => Buffer.from(`${text}\0`);
  const open = new Body().u32(0, 0).bytes;
  const xattr = Buffer.concat([new Body().u32(20, 0).bytes, name("user.x")]);
  return [
    fs.submit(Opcode.LOOKUP, slowRoot, name("b"), OUT_HEADER_BYTES + ENTRY_OUT_BYTES),
    fs.submit(Opcode.GETATTR, file, Buffer.alloc(16), OUT_HEADER_BYTES + ATTR_OUT_BYTES),
    fs.submit(Opcode.OPEN, file, open, OUT_HEADER_BYTES + 16),
    fs.submit(Opcode.GETXATTR, file, xattr, OUT_HEADER_BYTES + 20),
    fs.submit(Opcode.LOOKUP, ROOT, name("mount"), OUT_HEADER_BYTES + ENTRY_OUT_BYTES),
  ];
}

test.skipIf(whyNoHostMounts() !== undefined)(
  "a file system that hangs does not hold up the rest of the share",
  { timeout: 60_000 },
  async () => {
    const { slow, fs } = await shareWithSlowPart();
    const slowRoot = ok(fs.lookup(ROOT, "mount")).nodeid;
    const file = ok(fs.lookup(slowRoot, "a")).nodeid;
    const fast = ok(fs.lookup(ROOT, "fast")).nodeid;
    slow.pause();
    const waiting = askSlow(fs, slowRoot, file);
    for (let i = 0; i < LOOKUPS; i++) {
      expect(ok(fs.getattr(fast)).attr.size).toBe(4);
      expect(ok(fs.lookup(ROOT, "fast")).nodeid).toBe(fast);
    }
    expect(waiting.map((ticket) => ticket.usedLength)).toEqual(waiting.map(() => undefined));
    slow.resume();
    const errors = waiting.map((ticket) => fs.wait(ticket, 30_000).error);
    expect(errors).toEqual([null, null, null, "ENODATA", null]);
    // What is slow works like the rest.
    const listing = ok(fs.opendir(slowRoot));
    const names = ok(fs.readdirplus(slowRoot, listing.fh)).entries.map((entry) => entry.name);
    expect(names.sort()).toEqual([".", "..", "a", "b", "c", "d"]);
    ok(fs.releasedir(slowRoot, listing.fh));
    const opened = ok(fs.open(file, 0));
    expect(ok(fs.read(file, opened.fh, 0, 10)).data.toString()).toBe("a");
    ok(fs.release(file, opened.fh));
    expect(fs.lookup(slowRoot, "nothing").error).toBe("ENOENT");
  },
);
