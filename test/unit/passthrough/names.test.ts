import { execFileSync } from "node:child_process";
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { Attr } from "../../../src/vfs/attributes.js";
import { EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ESTALE } from "../../../src/vfs/errno.js";
import { file, node, ROOT_CALLER, TestShare } from "./share.js";

const itAsRoot = it.runIf(process.geteuid?.() === 0);
const USER = { ...ROOT_CALLER, uid: 1234, gid: 2345 };
const O_RDONLY = 0;
const O_RDWR = 2;
const O_EXCL = 0o200;
const NOREPLACE = 1;
const EXCHANGE = 2;
const WHITEOUT = 4;

describe("a file without a name", () => {
  function temporary(share: TestShare, flags = O_RDWR, caller = ROOT_CALLER) {
    return file(share.backend.tmpfile(caller, share.root, flags, 0o640, share.attr));
  }

  itAsRoot("is the caller's, is gone with its handle, and has no name", () => {
    const share = new TestShare();
    const handle = temporary(share, O_RDWR, USER);
    const { attr } = share;
    expect([attr[Attr.UID], attr[Attr.GID], attr[Attr.NLINK]]).toEqual([1234, 2345, 0]);
    expect((attr[Attr.MODE] as number) & 0o7777).toBe(0o640);
    expect(share.backend.write(ROOT_CALLER, handle, 0, Buffer.from("data"))).toBe(4);
    expect([share.getattr(handle.node), attr[Attr.SIZE]]).toEqual([0, 4]);
    expect(share.list(share.root, false)).toHaveLength(2);
    share.release(handle);
    share.backend.forget(handle.node);
  });

  it("can be given one by link, also after its handle was released", () => {
    const share = new TestShare();
    const handle = temporary(share);
    expect(share.backend.write(ROOT_CALLER, handle, 0, Buffer.from("data"))).toBe(4);
    expect(share.backend.link(ROOT_CALLER, handle.node, share.root, "named", share.attr)).toBe(handle.node);
    expect(share.attr[Attr.NLINK]).toBe(1);
    share.release(handle);
    expect(readFileSync(share.path("named"), "latin1")).toBe("data");
    expect(share.lookup("named")).toBe(handle.node);
  });

  it("cannot be given one when it was opened with O_EXCL", () => {
    const share = new TestShare();
    const handle = temporary(share, O_RDWR | O_EXCL);
    expect(share.backend.link(ROOT_CALLER, handle.node, share.root, "x", share.attr)).toBe(-ENOENT);
    share.release(handle);
  });

  it("must be writable", () => {
    const share = new TestShare();
    expect(share.backend.tmpfile(ROOT_CALLER, share.root, O_RDONLY, 0o600, share.attr)).toBe(-EINVAL);
    const other = share.create("f");
    expect(share.backend.tmpfile(ROOT_CALLER, other.node, O_RDWR, 0o600, share.attr)).toBe(-ENOTDIR);
    share.release(other);
  });
});

describe("the directory above", () => {
  const above = (share: TestShare, of: ReturnType<TestShare["mkdir"]>) =>
    share.backend.parentOf(ROOT_CALLER, of, share.attr);

  it("is found, and the root is its own", () => {
    const share = new TestShare();
    const a = share.mkdir("a");
    const b = share.mkdir("b", a);
    expect(above(share, b)).toBe(a);
    expect(share.attr[Attr.INO]).toBe(statSync(share.path("a")).ino & 0xffffffff);
    expect(above(share, a)).toBe(share.root);
    expect(above(share, share.root)).toBe(share.root);
    share.backend.forget(a);
    expect(node(above(share, b)).known).toBe(true);
    const handle = share.create("f");
    expect(above(share, handle.node)).toBe(-ENOTDIR);
    share.release(handle);
  });

  it("is never outside the share, wherever the host moves directories", () => {
    const share = new TestShare();
    const outside = mkdtempSync(join(tmpdir(), "outside-"));
    onTestFinished(() => rmSync(outside, { recursive: true, force: true }));
    mkdirSync(share.path("a/b/c"), { recursive: true });
    const a = share.lookup("a");
    const b = share.lookup("b", a);
    const c = share.lookup("c", b);
    renameSync(share.path("a/b"), join(outside, "b"));
    expect(above(share, b)).toBe(-ESTALE);
    expect(above(share, c)).toBe(-ESTALE);
    renameSync(join(outside, "b"), share.path("moved"));
    expect(above(share, b)).toBe(share.root);
    expect(above(share, c)).toBe(b);
    rmSync(share.path("moved/c"), { recursive: true });
    expect(above(share, c)).toSatisfy((result) => result === b || result === -ENOENT || result === -ESTALE);
  });
});

describe("rename", () => {
  it("with NOREPLACE and EXCHANGE keeps nodes and names together, lazy and held", () => {
    const share = new TestShare();
    for (const name of ["a", "b", "c"]) writeFileSync(share.path(name), name);
    const byName = () => new Map(share.list(share.root, true).map((entry) => [entry.name, entry.node]));
    const before = byName();
    expect(share.rename("a", "b", NOREPLACE)).toBe(-EEXIST);
    expect(share.rename("a", "none/", NOREPLACE)).toBe(-EINVAL);
    expect(share.rename("a", "d", NOREPLACE)).toBe(0);
    expect(share.rename("d", "none", EXCHANGE)).toBe(-ENOENT);
    expect(share.rename("b", "c", EXCHANGE)).toBe(0);
    const after = byName();
    expect([after.get("d"), after.get("c"), after.get("b")]).toEqual([
      before.get("a"),
      before.get("b"),
      before.get("c"),
    ]);
    const [a, b] = [node(before.get("a") ?? -1), node(before.get("b") ?? -1)];
    expect([share.getattr(a), share.getattr(b)]).toEqual([0, 0]);
    const handle = file(share.backend.open(ROOT_CALLER, b, O_RDONLY));
    expect(share.rename("c", "d", EXCHANGE)).toBe(0);
    expect([share.lookup("d"), share.lookup("c")]).toEqual([b, a]);
    share.release(handle);
  });

  it("of two names of one file changes nothing", () => {
    const share = new TestShare();
    writeFileSync(share.path("a"), "x");
    linkSync(share.path("a"), share.path("b"));
    const a = node(share.list(share.root, true).find((entry) => entry.name === "a")?.node ?? -1);
    expect(share.rename("a", "b")).toBe(0);
    expect([share.getattr(a), share.attr[Attr.NLINK]]).toEqual([0, 2]);
    expect([share.lookup("a"), share.lookup("b")]).toEqual([a, a]);
  });

  itAsRoot("with WHITEOUT leaves a whiteout behind and replaces what was there", ({ skip }) => {
    const share = new TestShare();
    writeFileSync(share.path("a"), "a");
    writeFileSync(share.path("b"), "");
    const [a, b] = ["a", "b"].map((name) =>
      node(share.list(share.root, true).find((entry) => entry.name === name)?.node ?? -1),
    );
    if (share.rename("a", "b", WHITEOUT) === -EINVAL) skip();
    const whiteout = lstatSync(share.path("a"));
    expect([whiteout.isCharacterDevice(), whiteout.rdev]).toEqual([true, 0]);
    expect(share.lookup("b")).toBe(a);
    expect(share.lookup("a")).not.toBe(a);
    expect(share.getattr(b as never)).toBe(-ESTALE);
    expect(share.rename("b", "c", WHITEOUT | EXCHANGE)).toBe(-EINVAL);
    expect(share.unlink("a")).toBe(0);
    expect(existsSync(share.path("a"))).toBe(false);
  });
});

describe("opening", () => {
  it("a directory as a file, or a file as a directory, is refused", () => {
    const share = new TestShare();
    const directory = share.mkdir("d");
    const O_DIRECTORY = 0o200000;
    expect(share.backend.open(ROOT_CALLER, directory, O_DIRECTORY)).toBe(-EISDIR);
    const handle = share.create("f");
    expect(share.backend.open(ROOT_CALLER, handle.node, O_DIRECTORY)).toBe(-ENOTDIR);
    share.release(handle);
  });

  it("passes O_APPEND, O_SYNC, O_DSYNC and O_NOATIME on, and nothing that creates", () => {
    const share = new TestShare({ allowDirectIo: true });
    writeFileSync(share.path("f"), "x");
    const f = share.lookup("f");
    const passed = [0o2000, 0o4010000, 0o10000, 0o1000000, 0o40000];
    for (const flag of passed) {
      const handle = file(share.backend.open(ROOT_CALLER, f, O_RDWR | flag | 0o100 | O_EXCL | 0o400000));
      const info = execFileSync("cat", [`/proc/${process.pid}/fdinfo/${handle.fd}`], { encoding: "latin1" });
      const flags = Number.parseInt(/flags:\s+(\d+)/.exec(info)?.[1] ?? "", 8);
      expect(flags & flag).toBe(flag);
      expect(handle.isSynchronous).toBe(flag === 0o4010000 || flag === 0o10000 || flag === 0o40000);
      share.release(handle);
    }
  });
});
