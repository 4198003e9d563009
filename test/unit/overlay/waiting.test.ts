import { beforeEach, describe, expect, it } from "vitest";
import { MemoryBackend } from "../../../backends/memory/memory-backend.js";
import { attributeChange } from "../../../backends/overlay/attribute-change.js";
import { OVERLAY } from "../../../backends/overlay/layers.js";
import { OverlayBackend } from "../../../backends/overlay/overlay-backend.js";
import { ATTR_WORDS, Attr, Change } from "../../../src/vfs/attributes.js";
import type { Backend } from "../../../src/vfs/backend.js";
import { type Awaitable, EIO, ENOENT, ENOSPC, type Result } from "../../../src/vfs/errno.js";
import { ForwardingBackend } from "../../../src/vfs/forwarding-backend.js";
import type { Caller, VfsHandle, VfsNode } from "../../../src/vfs/node.js";

const MEBIBYTE = 1 << 20;
const CHUNKS = 3;

/** A store that answers later, as one at the other end of a network does. */
class SlowBackend extends ForwardingBackend {
  /** Errno of the next reads. */
  readError = 0;

  override lookup(...args: Parameters<ForwardingBackend["lookup"]>): Awaitable<Result<VfsNode>> {
    return later(() => this.inner.lookup(...args));
  }

  override open(caller: Caller, node: VfsNode, flags: number): Awaitable<Result<VfsHandle>> {
    return later(() => this.inner.open(caller, node, flags));
  }

  override read(caller: Caller, handle: VfsHandle, offset: number, into: Uint8Array): Awaitable<number> {
    return later(() => (this.readError < 0 ? this.readError : this.inner.read(caller, handle, offset, into)));
  }
}

function later<T>(operation: () => Awaitable<T>): Promise<T> {
  return new Promise((resolve) => setImmediate(() => resolve(operation())));
}

const record = () => new Uint32Array(ATTR_WORDS);

function must<T extends object>(result: Result<T>): T {
  if (typeof result === "number") throw new Error(`errno ${-result}`);
  return result;
}

describe("an overlay over a store that answers later", () => {
  let lower: MemoryBackend;
  let slow: SlowBackend;
  let upper: MemoryBackend;
  let upperRoot: VfsNode;
  let overlay: Backend;
  let root: VfsNode;

  async function open(upperBytes: number): Promise<void> {
    lower = new MemoryBackend({ sizeBytes: 16 * MEBIBYTE });
    const lowerRoot = (await lower.start()) as VfsNode;
    const directory = must(lower.mkdir(OVERLAY, lowerRoot, "directory", 0o755, record()));
    const handle = must(lower.create(OVERLAY, directory, "file", 2, 0o640, record()));
    lower.write(OVERLAY, handle, 0, Buffer.alloc(CHUNKS * MEBIBYTE, "lower"));
    lower.release(handle);
    slow = new SlowBackend(lower);
    upper = new MemoryBackend({ sizeBytes: upperBytes });
    upperRoot = (await upper.start()) as VfsNode;
    const [shown, work, index] = ["upper", "work", "index"].map((name) =>
      must(upper.mkdir(OVERLAY, upperRoot, name, 0o755, record())),
    ) as [VfsNode, VfsNode, VfsNode];
    overlay = new OverlayBackend({
      lowers: [{ name: "lower", backend: slow, open: () => lowerRoot }],
      upper: {
        name: "upper",
        backend: upper,
        open: () => shown,
        openWork: () => work,
        openIndex: () => index,
      },
      xattrNamespace: "trusted",
      redirectDir: true,
      metacopy: false,
      isVolatile: false,
    });
    root = await overlay.start();
  }

  async function find(...path: string[]): Promise<VfsNode> {
    let node = root;
    for (const name of path) node = must(await overlay.lookup(OVERLAY, node, name, record()));
    return node;
  }

  /** Names in a directory of the upper backend. */
  function has(...path: string[]): boolean {
    let node = upperRoot;
    for (const name of path) {
      const next = upper.lookup(OVERLAY, node, name, record());
      if (typeof next === "number") return false;
      node = next;
    }
    return true;
  }

  const chmod = (node: VfsNode, mode: number) =>
    overlay.setattr(OVERLAY, node, undefined, attributeChange({ valid: Change.MODE, mode }), record());

  beforeEach(() => open(16 * MEBIBYTE));

  it("finds one node however many ask for it at once", async () => {
    const [a, b] = await Promise.all([find("directory", "file"), find("directory", "file")]);
    expect(a).toBe(b);
  });

  it("makes one copy for all who ask while it is being made", async () => {
    const node = await find("directory", "file");
    const [written, status] = await Promise.all([overlay.open(OVERLAY, node, 2), chmod(node, 0o600)]);
    const handle = must(written);
    expect(status).toBe(0);
    expect(await overlay.write(OVERLAY, handle, 0, Buffer.from("UPPER"))).toBe(5);
    const into = Buffer.alloc(10);
    expect(await overlay.read(OVERLAY, handle, 0, into)).toBe(10);
    expect(into.toString()).toBe("UPPERlower");
    const out = record();
    await overlay.getattr(OVERLAY, node, undefined, out);
    expect([out[Attr.MODE], out[Attr.SIZE]]).toEqual([0o100600, CHUNKS * MEBIBYTE]);
    expect(await find("directory", "file")).toBe(node);
  });

  it("leaves the copy to open handles when the file is deleted meanwhile", async () => {
    const node = await find("directory", "file");
    const copying = overlay.open(OVERLAY, node, 2);
    const directory = await find("directory");
    expect(await overlay.unlink(OVERLAY, directory, "file")).toBe(0);
    const handle = must(await copying);
    expect(await overlay.write(OVERLAY, handle, 0, Buffer.from("x"))).toBe(1);
    expect(await overlay.lookup(OVERLAY, directory, "file", record())).toBe(-ENOENT);
    expect(has("upper", "directory", "file")).toBe(true);
  });

  it("shows the lower file, and nothing half-copied, after a failure in the middle", async () => {
    const node = await find("directory", "file");
    slow.readError = -EIO;
    expect(await overlay.open(OVERLAY, node, 2)).toBe(-EIO);
    expect(has("upper", "directory", "file")).toBe(false);
    expect(has("work", "#0") || has("work", "#1")).toBe(false);
    slow.readError = 0;
    expect(must(await overlay.open(OVERLAY, node, 2))).toBeDefined();
  });

  it("shows the lower file when the upper layer is full", async () => {
    await open(2 * MEBIBYTE);
    const node = await find("directory", "file");
    expect(await chmod(node, 0o600)).toBe(-ENOSPC);
    expect(has("upper", "directory", "file")).toBe(false);
    const handle = must(await overlay.open(OVERLAY, node, 0));
    const into = Buffer.alloc(5);
    expect(await overlay.read(OVERLAY, handle, 0, into)).toBe(5);
    expect(into.toString()).toBe("lower");
    // What is left is the page with the marks of the directory.
    expect(overlay.statfs(node)).toMatchObject({ blocks: 512, blocksFree: 511 });
  });
});
