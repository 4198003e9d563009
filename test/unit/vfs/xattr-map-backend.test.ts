import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MemoryBackend } from "../../../backends/memory/memory-backend.js";
import { ATTR_WORDS, type AttributeChange, Change } from "../../../src/vfs/attributes.js";
import type { Backend } from "../../../src/vfs/backend.js";
import { EIO, ENODATA, EOPNOTSUPP, EPERM, ERANGE, type Status } from "../../../src/vfs/errno.js";
import { ForwardingBackend } from "../../../src/vfs/forwarding-backend.js";
import type { Caller, VfsHandle, VfsNode } from "../../../src/vfs/node.js";
import { parseXattrMap, type XattrMap } from "../../../src/vfs/xattr-map.js";
import { XattrMapBackend } from "../../../src/vfs/xattr-map-backend.js";

const ROOT: Caller = { uid: 0, gid: 0, pid: 1, supplementaryGroup: -1, umask: 0, clearsPrivileges: false };
const O_RDWR = 2;
const O_TRUNC = 0o1000;
const CAPABILITY = "security.capability";

/** Answers every question about attributes later. */
class Later extends ForwardingBackend {
  override listxattr(caller: Caller, node: VfsNode, into: Uint8Array) {
    return Promise.resolve(this.inner.listxattr(caller, node, into));
  }

  override removexattr(caller: Caller, node: VfsNode, name: string) {
    return Promise.resolve(this.inner.removexattr(caller, node, name));
  }
}

describe.each([false, true])("XattrMapBackend (over a backend that waits: %o)", (waits) => {
  let memory: MemoryBackend;
  let root: VfsNode;
  const out = new Uint32Array(ATTR_WORDS);

  beforeEach(async () => {
    memory = new MemoryBackend({ sizeBytes: 1 << 20, inodeLimit: 100 });
    const backend: Backend = memory;
    root = await backend.start();
  });
  afterEach(() => memory.stop());

  function mapped(rules: string): Backend {
    return new XattrMapBackend(waits ? new Later(memory) : memory, parseXattrMap(rules) as XattrMap);
  }

  const set = (backend: Backend, node: VfsNode, name: string, value: string, flags = 0) =>
    backend.setxattr(ROOT, node, name, Buffer.from(value), flags);

  async function get(backend: Backend, node: VfsNode, name: string): Promise<string | number> {
    const into = Buffer.alloc(100);
    const length = await backend.getxattr(ROOT, node, name, into);
    return length < 0 ? length : into.toString("latin1", 0, length);
  }

  async function list(backend: Backend, node: VfsNode): Promise<string[]> {
    const into = Buffer.alloc(1000);
    const length = await backend.listxattr(ROOT, node, into);
    return into.toString("latin1", 0, length).split("\0").slice(0, -1).sort();
  }

  test("names go one way and come back the other", async () => {
    const backend = mapped(":map::user.virtiofs.:");
    expect(await set(backend, root, "security.a", "1")).toBe(0);
    expect(await set(backend, root, "user.b", "2")).toBe(0);
    expect(await set(memory, root, "user.host", "3")).toBe(0);
    expect(await get(memory, root, "user.virtiofs.security.a")).toBe("1");
    expect(await get(backend, root, "user.b")).toBe("2");
    expect(await get(backend, root, "user.host")).toBe(-ENODATA);
    expect(await list(backend, root)).toEqual(["security.a", "user.b"]);
    expect(await backend.removexattr(ROOT, root, "user.b")).toBe(0);
    expect(await list(memory, root)).toEqual(["user.host", "user.virtiofs.security.a"]);
  });

  test("the length of a list is that of the mapped one", async () => {
    const backend = mapped(":map::user.virtiofs.:");
    await set(backend, root, "user.b", "2");
    await set(memory, root, "user.host", "3");
    expect(await backend.listxattr(ROOT, root, new Uint8Array(0))).toBe(7);
    expect(await backend.listxattr(ROOT, root, new Uint8Array(6))).toBe(-ERANGE);
    expect(await backend.listxattr(ROOT, root, new Uint8Array(7))).toBe(7);
  });

  test("rules refuse", async () => {
    const backend = mapped(":bad:all:user.bad.:user.bad.::unsupported:all:user.un.:user.un.::ok:all:::");
    await set(memory, root, "user.bad.a", "1");
    await set(memory, root, "user.un.a", "1");
    expect(await set(backend, root, "user.bad.a", "2")).toBe(-EPERM);
    expect(await get(backend, root, "user.un.a")).toBe(-EOPNOTSUPP);
    expect(await backend.removexattr(ROOT, root, "user.bad.a")).toBe(-EPERM);
    expect(await list(backend, root)).toEqual([]);
  });

  test("a name that grows too long is ERANGE", async () => {
    const backend = mapped(":map::user.virtiofs.:");
    expect(await set(backend, root, `user.${"x".repeat(236)}`, "1")).toBe(0);
    expect(await set(backend, root, `user.${"x".repeat(237)}`, "1")).toBe(-ERANGE);
    expect(await get(backend, root, `user.${"x".repeat(237)}`)).toBe(-ERANGE);
  });

  describe("a renamed security.capability", () => {
    const change = (fields: Partial<AttributeChange>): AttributeChange => ({
      ...{ valid: 0, mode: 0, uid: 0, gid: 0, size: 0n, atime: 0, atimeNsec: 0 },
      ...{ mtime: 0, mtimeNsec: 0, ctime: 0, ctimeNsec: 0, ...fields },
    });

    const changes: [string, boolean, (b: Backend, n: VfsNode, h: VfsHandle) => unknown][] = [
      ["a write", true, (b, _n, h) => b.write(ROOT, h, 0, Buffer.from("x"))],
      ["truncation", true, (b, n) => b.setattr(ROOT, n, undefined, change({ valid: Change.SIZE }), out)],
      ["a new owner", true, (b, n) => b.setattr(ROOT, n, undefined, change({ valid: Change.UID }), out)],
      ["O_TRUNC", true, (b, n) => b.open(ROOT, n, O_RDWR | O_TRUNC)],
      ["fallocate", true, (b, _n, h) => b.fallocate(ROOT, h, 0, 0n, 10n)],
      ["a copy into it", true, (b, _n, h) => b.copyFileRange(ROOT, h, 0n, h, 0n, 0n)],
      ["chmod", false, (b, n) => b.setattr(ROOT, n, undefined, change({ valid: Change.MODE }), out)],
      ["opening", false, (b, n) => b.open(ROOT, n, O_RDWR)],
    ];

    test.each(changes)("goes with %s: %o", async (_what, goes, act) => {
      const backend = mapped(":map::user.virtiofs.:");
      const handle = (await backend.create(ROOT, root, "file", O_RDWR, 0o755, out)) as VfsHandle;
      await set(backend, handle.node, CAPABILITY, "caps");
      await set(backend, handle.node, "user.other", "stays");
      await act(backend, handle.node, handle);
      expect(await get(backend, handle.node, CAPABILITY)).toBe(goes ? -ENODATA : "caps");
      expect(await get(backend, handle.node, "user.other")).toBe("stays");
    });

    test("that cannot be removed stops the change", async () => {
      class Stubborn extends ForwardingBackend {
        override removexattr(): Status {
          return -EIO;
        }
      }
      const map = parseXattrMap(":map::user.virtiofs.:") as XattrMap;
      const backend = new XattrMapBackend(new Stubborn(memory), map);
      const handle = (await backend.create(ROOT, root, "file", O_RDWR, 0o755, out)) as VfsHandle;
      expect(await backend.write(ROOT, handle, 0, Buffer.from("x"))).toBe(-EIO);
    });

    test("is left alone where it has its own name", async () => {
      const backend = mapped(":map:trusted.:user.virtiofs.:");
      const handle = (await backend.create(ROOT, root, "file", O_RDWR, 0o755, out)) as VfsHandle;
      await set(memory, handle.node, "user.virtiofs.security.capability", "other");
      await backend.fallocate(ROOT, handle, 0, 0n, 10n);
      expect(await get(memory, handle.node, "user.virtiofs.security.capability")).toBe("other");
    });
  });

  test("ACLs under another name are no ACLs", () => {
    const acls = new MemoryBackend({ sizeBytes: 1 << 20 });
    Object.assign(acls, { capabilities: { ...acls.capabilities, posixAcl: true } });
    const capabilities = (rules: string) =>
      new XattrMapBackend(acls, parseXattrMap(rules) as XattrMap).capabilities;
    expect(capabilities(":map::user.virtiofs.:").posixAcl).toBe(false);
    expect(capabilities(":map:trusted.:user.virtiofs.:").posixAcl).toBe(true);
    expect(capabilities(":bad:server::system.::ok:all:::").posixAcl).toBe(false);
  });
});
