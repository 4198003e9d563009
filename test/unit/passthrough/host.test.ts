import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { describe, expect, it, onTestFinished } from "vitest";
import { Attr } from "../../../src/vfs/attributes.js";
import { ENFILE, ENOTDIR, EROFS, ESTALE } from "../../../src/vfs/errno.js";
import { file, openDescriptors, ROOT_CALLER, TestShare } from "./share.js";

/** Mounts a file system on a directory of the share for one test; false where that is not allowed. */
function mounted(share: TestShare, type: string, name: string): boolean {
  return mountedWith(share, ["-t", type, "none"], name);
}

function mountedWith(share: TestShare, args: string[], name: string): boolean {
  mkdirSync(share.path(name));
  if (spawnSync("mount", [...args, share.path(name)]).status !== 0) return false;
  onTestFinished(() => {
    execFileSync("umount", ["-l", share.path(name)]);
  });
  return true;
}

describe("a file system without birth times", () => {
  it("has nodes for what was opened only, and they work", ({ skip }) => {
    const share = new TestShare();
    if (!mounted(share, "ramfs", "m")) skip();
    const directory = share.lookup("m");
    writeFileSync(share.path("m/a"), "x");
    const listed = () => share.list(directory, true).find((entry) => entry.name === "a")?.node;
    expect(listed()).toBeUndefined();
    const a = share.lookup("a", directory);
    expect(listed()).toBe(a);
    const handle = share.create("b", { parent: directory });
    expect(handle.node.path).toBeGreaterThanOrEqual(0);
    share.release(handle);
    const made = share.mkdir("d", directory);
    expect(made.path).toBeGreaterThanOrEqual(0);
    expect(share.unlink("a", directory)).toBe(0);
    expect([share.getattr(a), share.attr[Attr.NLINK]]).toEqual([0, 0]);
    share.backend.stop();
  });

  it("mounted below the share has another device and other identities", ({ skip }) => {
    const share = new TestShare();
    if (!mounted(share, "tmpfs", "m")) skip();
    const entry = share.list(share.root, true).find((listed) => listed.name === "m");
    const directory = share.lookup("m");
    expect(entry?.node).toBe(directory);
    expect(share.attr[Attr.DEV]).not.toBe(share.root.dev);
    // Lookups and listings announce it; what is in it is on the same file system as its parent.
    expect([share.attr[Attr.FLAGS], entry?.flags]).toEqual([1, 1]);
    mkdirSync(share.path("m/sub"));
    share.lookup("sub", directory);
    expect(share.attr[Attr.FLAGS]).toBe(0);
    share.release(share.create("f", { parent: directory }));
    expect(share.lookup("f", directory).dev).toBe(directory.dev);
    share.backend.stop();
  });
});

describe("a bind mount below the share", () => {
  it("is announced, and its files are not those of the tree that it shows", ({ skip }) => {
    const share = new TestShare();
    share.mkdir("a");
    const [a, inner] = [share.lookup("a"), share.mkdir("inner", share.lookup("a"))];
    writeFileSync(share.path("a/f"), "x");
    if (!mountedWith(share, ["--bind", share.path("a")], "b")) skip();
    const b = share.lookup("b");
    expect([share.attr[Attr.FLAGS], share.attr[Attr.DEV]]).toEqual([1, share.root.dev]);
    const entries = share.list(share.root, true).map(({ name, flags, node }) => ({ name, flags, node }));
    expect(entries).toContainEqual({ name: "b", flags: 1, node: b });
    expect(entries).toContainEqual({ name: "a", flags: 0, node: a });
    expect(b).not.toBe(a);
    const f = share.lookup("f", b);
    expect(share.attr[Attr.FLAGS]).toBe(0);
    expect(f).not.toBe(share.lookup("f", a));
    // What is mounted below the one is not below the other.
    execFileSync("mount", ["-t", "tmpfs", "none", share.path("a/inner")]);
    onTestFinished(() => {
      spawnSync("umount", ["-l", share.path("a/inner")]);
    });
    expect(share.lookup("inner", b).dev).toBe(share.root.dev);
    expect(share.lookup("inner", a).dev).not.toBe(share.root.dev);
    expect(share.getattr(inner)).toBe(0);
    share.backend.stop();
  });

  it("of the share itself is no second root", ({ skip }) => {
    const share = new TestShare();
    if (!mountedWith(share, ["--bind", share.directory], "again")) skip();
    const again = share.lookup("again");
    expect(again).not.toBe(share.root);
    expect(share.attr[Attr.FLAGS]).toBe(1);
    share.release(share.create("f", { parent: again }));
    expect(share.lookup("f").dev).toBe(again.dev);
    share.backend.stop();
  });

  it("may be read-only while its tree is not", ({ skip }) => {
    const share = new TestShare();
    share.mkdir("a");
    writeFileSync(share.path("a/f"), "x");
    if (!mountedWith(share, ["--bind", "-o", "ro", share.path("a")], "b")) skip();
    const open = (directory: string) =>
      share.backend.open(ROOT_CALLER, share.lookup("f", share.lookup(directory)), constants.O_RDWR);
    expect(open("b")).toBe(-EROFS);
    share.release(file(open("a")));
    expect(open("b")).toBe(-EROFS);
    share.backend.stop();
  });
});

describe("a mount below the share", () => {
  it("gives up descriptors like the rest, and can be unmounted once it is forgotten", ({ skip }) => {
    const share = new TestShare({ descriptorLimit: 50 });
    mkdirSync(share.path("m"));
    if (spawnSync("mount", ["-t", "tmpfs", "none", share.path("m")]).status !== 0) skip();
    onTestFinished(() => {
      spawnSync("umount", ["-l", share.path("m")]);
    });
    const before = openDescriptors();
    const directory = share.lookup("m");
    const nodes = Array.from({ length: 500 }, (_, i) => {
      writeFileSync(share.path(`m/f${i}`), "x");
      return share.lookup(`f${i}`, directory);
    });
    expect(openDescriptors() - before).toBeLessThan(70);
    for (const each of nodes) expect(share.getattr(each)).toBe(0);
    for (const each of nodes) share.backend.forget(each);
    share.backend.forget(directory);
    expect(openDescriptors()).toBe(before);
    expect(spawnSync("umount", [share.path("m")]).status).toBe(0);
  });
});

/** Takes all descriptors of the process but a few, until the returned function is called. */
function exhaustDescriptors(left: number): () => void {
  const limit = (soft: string) => execFileSync("prlimit", ["--pid", `${process.pid}`, `--nofile=${soft}`]);
  const before = /Max open files\s+(\d+)/.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
  const taken: number[] = [];
  limit("1024:");
  try {
    for (;;) taken.push(openSync("/dev/null", "r"));
  } catch {
    for (const fd of taken.splice(0, left)) closeSync(fd);
  }
  return () => {
    for (const fd of taken) closeSync(fd);
    limit(`${before}:`);
  };
}

describe("limits", () => {
  it("out of descriptors is ENFILE, logged once, and it goes on afterwards", () => {
    const share = new TestShare();
    for (let i = 0; i < 40; i++) writeFileSync(share.path(`f${i}`), "x");
    const lookup = (name: string) => share.backend.lookup(ROOT_CALLER, share.root, name, share.attr);
    const release = exhaustDescriptors(8);
    const failed = Array.from({ length: 40 }, (_, i) => lookup(`f${i}`)).filter((found) => found === -ENFILE);
    const create = share.backend.create(ROOT_CALLER, share.root, "new", 2, 0o644, share.attr);
    release();
    expect(failed).toHaveLength(32);
    expect(create).toBe(-ENFILE);
    expect(share.logged).toHaveLength(1);
    expect(lookup("f39")).toBeTypeOf("object");
  });

  it("lookups, opens and forgets leave no descriptor behind", () => {
    const share = new TestShare();
    for (let i = 0; i < 200; i++) writeFileSync(share.path(`f${i}`), "x");
    const before = openDescriptors();
    for (let round = 0; round < 5; round++) {
      const nodes = share.list(share.root, true).flatMap((entry) => entry.node ?? []);
      for (const each of nodes) share.release(share.backend.open(ROOT_CALLER, each, 0) as never);
      for (const each of nodes) share.backend.forget(each);
    }
    expect(openDescriptors()).toBe(before);
  });
});

describe("a hostile host tree", () => {
  it("resolves no link, wherever it is put", () => {
    const share = new TestShare();
    mkdirSync(share.path("d"));
    writeFileSync(share.path("d/x"), "x");
    const directory = share.list(share.root, true).find((entry) => entry.name === "d")?.node;
    renameSync(share.path("d"), share.path("moved"));
    symlinkSync("/etc", share.path("d"));
    if (directory === undefined) throw new Error("no node for d");
    expect(share.backend.lookup(ROOT_CALLER, directory, "passwd", share.attr)).toBeLessThan(0);
    const link = share.lookup("d");
    expect(share.backend.lookup(ROOT_CALLER, link, "passwd", share.attr)).toBe(-ENOTDIR);
    expect(share.backend.opendir(ROOT_CALLER, link)).toBe(-ENOTDIR);
    expect(share.backend.mkdir(ROOT_CALLER, link, "x", 0o755, share.attr)).toBe(-ENOTDIR);
  });
});

describe("a host that moves directories all the time", () => {
  it("never gets a name resolved outside of the share", async () => {
    const share = new TestShare({ descriptorLimit: 32 });
    mkdirSync(share.path("d"));
    writeFileSync(share.path("d/passwd"), "inside");
    const outside = mkdtempSync(join(tmpdir(), "outside-"));
    writeFileSync(join(outside, "passwd"), "outside");
    const secret = statSync(join(outside, "passwd"));
    const script = 'cd "$1"; while :; do mv d x; ln -s "$2" d; rm d; mv x "$2/x"; mv "$2/x" d; done';
    const mover = spawn("sh", ["-c", script, "sh", share.directory, outside], {
      stdio: "ignore",
      detached: true,
    });
    const moved = once(mover, "exit");
    onTestFinished(async () => {
      // The shell and the mv that it waits for, which may take a moment to be gone.
      process.kill(-(mover.pid as number), "SIGKILL");
      await moved;
      rmSync(outside, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
    });
    const { backend, root, attr } = share;
    let found = 0;
    const until = performance.now() + 1500;
    while (performance.now() < until) {
      await new Promise((resolve) => setImmediate(resolve));
      const d = await backend.lookup(ROOT_CALLER, root, "d", attr);
      if (typeof d === "number") continue;
      const above = backend.parentOf(ROOT_CALLER, d, attr);
      expect([root, -ESTALE, -ENOTDIR]).toContain(above);
      const passwd = await backend.lookup(ROOT_CALLER, d, "passwd", attr);
      if (typeof passwd !== "number") {
        found++;
        expect([attr[Attr.INO], attr[Attr.SIZE]]).not.toEqual([secret.ino, secret.size]);
        const handle = await backend.open(ROOT_CALLER, passwd, 0);
        if (typeof handle !== "number") {
          expect(readFileSync(handle.fd, "latin1")).toBe("inside");
          share.release(handle);
        }
        backend.forget(passwd);
      }
      share.list(root, true);
      backend.forget(d);
    }
    expect(found).toBeGreaterThan(0);
  });
});

describe("worker threads", () => {
  it("have a pool of their own, and an end in the middle of work is clean", async () => {
    const addon = process.env.VIRTIOFS_GATEWAY_ADDON || "build/Release/virtiofs_gateway.node";
    const script = `
      const { parentPort, workerData } = require("node:worker_threads");
      const { posix } = require(require("node:path").resolve(workerData));
      posix.prepareThread();
      const root = posix.openRoot("/");
      const jobs = Array.from({ length: 20 }, () => posix.syncfs(root));
      jobs[0].then((result) => { parentPort.postMessage(result); process.exit(0); });`;
    for (let round = 0; round < 3; round++) {
      const worker = new Worker(script, { eval: true, workerData: addon });
      const messages: unknown[] = [];
      worker.on("message", (message) => messages.push(message));
      await new Promise((resolve) => worker.on("exit", resolve));
      expect(messages).toEqual([0]);
    }
  });
});
