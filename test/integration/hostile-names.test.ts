import { existsSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  Body,
  type Client,
  ENTRY_OUT_BYTES,
  Opcode,
  OUT_HEADER_BYTES,
  ok,
  Rename,
  ROOT,
  S_IFREG,
  type Status,
} from "../support/frontend/index.js";
import { expectServes, makeFile, useClient } from "../support/frontend-testing.js";

const REFUSED = ["EINVAL", "ENOENT", "EIO", "EPERM", "EEXIST", "ENOTEMPTY", "EBUSY", "EISDIR", "ENOTDIR"];
const PATHS = ["a/b", "../secret", "/", "/etc/passwd", "directory/..", "./file", "file/", "\xff/\xfe"];
const DOTS = [".", ".."];

type Operation = (fs: Client, name: string) => Status;

/** Every place in which a request carries a name. */
const OPERATIONS: readonly [string, Operation][] = [
  ["LOOKUP", (fs, name) => fs.lookup(ROOT, name)],
  ["MKNOD", (fs, name) => fs.mknod(ROOT, name, S_IFREG | 0o644)],
  ["MKDIR", (fs, name) => fs.mkdir(ROOT, name)],
  ["CREATE", (fs, name) => fs.create(ROOT, name)],
  ["SYMLINK", (fs, name) => fs.symlink(ROOT, name, "target")],
  ["LINK", (fs, name) => fs.link(node(fs, "file"), ROOT, name)],
  ["UNLINK", (fs, name) => fs.unlink(ROOT, name)],
  ["RMDIR", (fs, name) => fs.rmdir(ROOT, name)],
  ["RENAME from", (fs, name) => fs.rename(ROOT, name, ROOT, "renamed")],
  ["RENAME to", (fs, name) => fs.rename(ROOT, "file", ROOT, name)],
  ["RENAME2 from", (fs, name) => fs.rename2(ROOT, name, ROOT, "renamed", Rename.NOREPLACE)],
  ["RENAME2 to", (fs, name) => fs.rename2(ROOT, "file", ROOT, name, Rename.NOREPLACE)],
];

function node(fs: Client, name: string): bigint {
  return ok(fs.lookup(ROOT, name)).nodeid;
}

function prepare(fs: Client): void {
  if (fs.lookup(ROOT, "file").error === null) return;
  makeFile(fs, "file", "content");
  ok(fs.mkdir(ROOT, "directory"));
}

/** What the share holds, by name. */
function names(fs: Client): string[] {
  return fs
    .list(ROOT)
    .map(({ name }) => name)
    .sort();
}

describe.each(["passthrough", "memory"] as const)("names on %s", (backend) => {
  const shared = useClient({ backend });

  describe.each(OPERATIONS)("%s", (operation, run) => {
    test("an empty name is refused", () => {
      prepare(shared.fs);
      expect(run(shared.fs, "").error).toBeOneOf(REFUSED);
      expectServes(shared.fs);
    });

    test.each(PATHS)("%j is refused", (name) => {
      prepare(shared.fs);
      const before = names(shared.fs);
      expect(run(shared.fs, name).error).toBeOneOf(REFUSED);
      expect(names(shared.fs)).toEqual(before);
      expectServes(shared.fs);
    });

    test.each(DOTS)("%j leads nowhere", (name) => {
      prepare(shared.fs);
      const before = names(shared.fs);
      const result = run(shared.fs, name);
      if (operation !== "LOOKUP") expect(result.error).toBeOneOf(REFUSED);
      expect(names(shared.fs)).toEqual(before);
      expectServes(shared.fs);
    });

    test("255 bytes are a name, 256 are too many", () => {
      prepare(shared.fs);
      expect(run(shared.fs, "n".repeat(256)).error).toBeOneOf(["ENAMETOOLONG", "EINVAL"]);
      expect(run(shared.fs, "n".repeat(4096)).error).toBeOneOf(["ENAMETOOLONG", "EINVAL"]);
      expect(run(shared.fs, "m".repeat(255)).error).not.toBe("ENAMETOOLONG");
      shared.fs.rename(ROOT, "m".repeat(255), ROOT, "file");
      shared.fs.unlink(ROOT, "m".repeat(255));
      shared.fs.rmdir(ROOT, "m".repeat(255));
      expectServes(shared.fs);
    });
  });

  test("LOOKUP of . and .. in the root never leaves it", () => {
    const root = ok(shared.fs.getattr(ROOT)).attr.ino;
    for (const name of DOTS) {
      const found = shared.fs.lookup(ROOT, name);
      if (found.error === null) expect(found.attr.ino).toBe(root);
      else expect(found.error).toBeOneOf(REFUSED);
    }
  });

  test.each([
    ["LOOKUP", Opcode.LOOKUP, new Body().raw(Buffer.from("file"))],
    ["UNLINK", Opcode.UNLINK, new Body().raw(Buffer.from("file"))],
    ["RMDIR", Opcode.RMDIR, new Body().raw(Buffer.from("directory"))],
    ["MKDIR", Opcode.MKDIR, new Body().u32(0o755, 0).raw(Buffer.from("new"))],
    ["MKNOD", Opcode.MKNOD, new Body().u32(S_IFREG, 0, 0, 0).raw(Buffer.from("new"))],
    ["CREATE", Opcode.CREATE, new Body().u32(2, 0o644, 0, 0).raw(Buffer.from("new"))],
    ["SYMLINK without any NUL", Opcode.SYMLINK, new Body().raw(Buffer.from("new"))],
    ["SYMLINK with one NUL", Opcode.SYMLINK, new Body().name("new").raw(Buffer.from("target"))],
    ["LINK", Opcode.LINK, new Body().u64(ROOT).raw(Buffer.from("new"))],
    ["RENAME with one NUL", Opcode.RENAME, new Body().u64(ROOT).name("file").raw(Buffer.from("new"))],
    ["RENAME2", Opcode.RENAME2, new Body().u64(ROOT).u32(0, 0).raw(Buffer.from("file"))],
    ["GETXATTR", Opcode.GETXATTR, new Body().u32(64, 0).raw(Buffer.from("user.x"))],
    ["REMOVEXATTR", Opcode.REMOVEXATTR, new Body().raw(Buffer.from("user.x"))],
  ])("a name without its NUL is refused: %s", (_name, opcode, body) => {
    prepare(shared.fs);
    const before = names(shared.fs);
    const capacity = OUT_HEADER_BYTES + ENTRY_OUT_BYTES + 16;
    const { error } = shared.fs.request(opcode, ROOT, body.bytes, capacity);
    expect(error).toBeOneOf([...REFUSED, "EOPNOTSUPP", "ENOSYS"]);
    expect(names(shared.fs)).toEqual(before);
    expectServes(shared.fs);
  });

  test("any other bytes are a name", () => {
    for (const name of ["\xff\xfe", "a\\b", "\n\t\x01", " ", "...", "\xc3\xa4", "*?[]"]) {
      makeFile(shared.fs, name, "x");
      expect(names(shared.fs)).toContain(name);
      expect(ok(shared.fs.lookup(ROOT, name)).attr.size).toBe(1);
      expect(shared.fs.unlink(ROOT, name).error).toBeNull();
    }
  });

  test("the target of a symlink is 1 to 4095 bytes", () => {
    const { fs } = shared;
    const link = ok(fs.symlink(ROOT, "long", "t".repeat(4095)));
    expect(ok(fs.readlink(link.nodeid)).target).toBe("t".repeat(4095));
    expect(fs.symlink(ROOT, "longer", "t".repeat(4096)).error).toBeOneOf(["ENAMETOOLONG", "EINVAL"]);
    expect(fs.symlink(ROOT, "empty", "").error).toBeOneOf(["ENOENT", "EINVAL"]);
    expect(fs.unlink(ROOT, "long").error).toBeNull();
  });
});

describe("links to the outside", () => {
  const shared = useClient();

  test("a symlink is never followed by the server", () => {
    const { fs } = shared;
    const link = ok(fs.symlink(ROOT, "escape", "../secret"));
    const directory = ok(fs.symlink(ROOT, "up", ".."));
    expect(fs.open(link.nodeid, 0).error).toBeOneOf(["ELOOP", "EINVAL", "EIO", "EPERM"]);
    expect(fs.open(link.nodeid, 1 | 0o1000).error).not.toBeNull();
    expect(fs.setattr(link.nodeid, { size: 0 }).error).not.toBeNull();
    expect(fs.lookup(directory.nodeid, "secret").error).not.toBeNull();
    expect(fs.create(directory.nodeid, "escaped").error).not.toBeNull();
    expect(fs.mkdir(directory.nodeid, "escaped").error).not.toBeNull();
    expect(fs.opendir(directory.nodeid).error).not.toBeNull();
    expect(existsSync(fs.hostPath("..", "escaped"))).toBe(false);
    expectServes(fs);
  });

  test("a directory that became a symlink under its node is not followed", () => {
    const { fs } = shared;
    const { nodeid } = ok(fs.mkdir(ROOT, "trap"));
    ok(fs.rename(ROOT, "trap", ROOT, "moved"));
    ok(fs.symlink(ROOT, "trap", ".."));
    ok(fs.create(nodeid, "inside"));
    expect(readdirSync(fs.hostPath("moved"))).toEqual(["inside"]);
    expect(existsSync(fs.hostPath("..", "inside"))).toBe(false);
  });

  test("special files are not opened on the host", () => {
    const { fs } = shared;
    const fifo = ok(fs.mknod(ROOT, "fifo", 0o010644));
    expect(fs.open(fifo.nodeid, 2).error).not.toBeNull();
    expect(fs.setattr(fifo.nodeid, { size: 1 }).error).not.toBeNull();
    const device = fs.mknod(ROOT, "device", 0o020666, 0x103);
    if (device.error === null) expect(fs.open(device.nodeid, 2).error).not.toBeNull();
    expectServes(fs);
  });
});
