import { beforeEach, describe, expect, it } from "vitest";
import { MemoryBackend } from "../../../backends/memory/memory-backend.js";
import { OVERLAY } from "../../../backends/overlay/layers.js";
import { OverlayBackend } from "../../../backends/overlay/overlay-backend.js";
import { S_IFCHR, S_IFMT } from "../../../src/vfs/attributes.js";
import type { Backend } from "../../../src/vfs/backend.js";
import { type Awaitable, EINVAL, ENOENT, EPERM, type Result, type Status } from "../../../src/vfs/errno.js";
import { ForwardingBackend } from "../../../src/vfs/forwarding-backend.js";
import type { VfsNode } from "../../../src/vfs/node.js";
import { must, record, SETTINGS, UpperDirectories } from "./memory-layers.js";

const RENAME_WHITEOUT = 4;

/** A store in which devices cannot be made. */
class WithoutDevices extends ForwardingBackend {
  override mknod(...args: Parameters<ForwardingBackend["mknod"]>): Awaitable<Result<VfsNode>> {
    return (args[3] & S_IFMT) === S_IFCHR ? -EPERM : this.inner.mknod(...args);
  }

  override rename(...args: Parameters<ForwardingBackend["rename"]>): Awaitable<Status> {
    return (args[5] & RENAME_WHITEOUT) !== 0 ? -EINVAL : this.inner.rename(...args);
  }
}

describe("whiteouts where devices cannot be made", () => {
  let lower: MemoryBackend;
  let lowerRoot: VfsNode;
  let upper: UpperDirectories;
  let overlay: Backend;
  let root: VfsNode;

  async function open(): Promise<void> {
    overlay = new OverlayBackend({
      lowers: [{ name: "lower", backend: lower, open: () => lowerRoot }],
      upper: upper.source(new WithoutDevices(upper.backend)),
      ...SETTINGS,
    });
    root = await overlay.start();
  }

  async function find(path: string): Promise<VfsNode> {
    let node = root;
    for (const name of path.split("/")) node = must(await overlay.lookup(OVERLAY, node, name, record()));
    return node;
  }

  const lookup = (parent: VfsNode, name: string) => overlay.lookup(OVERLAY, parent, name, record());

  /** An attribute in the upper layer. */
  function xattr(path: string, name: string): string | number {
    let node = upper.shown;
    for (const part of path.split("/").filter((each) => each !== ""))
      node = must(upper.backend.lookup(OVERLAY, node, part, record()));
    const into = Buffer.alloc(16);
    const length = upper.backend.getxattr(OVERLAY, node, name, into) as number;
    return length < 0 ? length : into.toString("latin1", 0, length);
  }

  beforeEach(async () => {
    lower = new MemoryBackend({ sizeBytes: 1 << 20 });
    lowerRoot = await lower.start();
    for (const directory of ["d", "e"]) {
      const node = must(lower.mkdir(OVERLAY, lowerRoot, directory, 0o755, record()));
      for (const file of ["a", "b"]) must(lower.mknod(OVERLAY, node, file, 0o100644, 0, record()));
    }
    upper = await UpperDirectories.make();
    await open();
  });

  it("are marked files in marked directories", async () => {
    expect(await overlay.unlink(OVERLAY, await find("d"), "a")).toBe(0);
    expect(xattr("d/a", "trusted.overlay.whiteout")).toBe("y");
    expect(xattr("d", "trusted.overlay.opaque")).toBe("x");
    expect(xattr("", "trusted.overlay.opaque")).toBe("x");
    expect(await lookup(await find("d"), "a")).toBe(-ENOENT);
    await open();
    expect(await lookup(await find("d"), "a")).toBe(-ENOENT);
    expect(typeof (await lookup(await find("d"), "b"))).toBe("object");
  });

  it("hide deleted directories, and give way to what is made in their place", async () => {
    for (const file of ["a", "b"]) expect(await overlay.unlink(OVERLAY, await find("e"), file)).toBe(0);
    expect(await overlay.rmdir(OVERLAY, root, "e")).toBe(0);
    await open();
    expect(await lookup(root, "e")).toBe(-ENOENT);
    must(await overlay.mkdir(OVERLAY, root, "e", 0o755, record()));
    await open();
    expect(await lookup(await find("e"), "a")).toBe(-ENOENT);
  });

  it("stay behind when something is renamed, and where a directory replaces one", async () => {
    const directory = await find("d");
    expect(await overlay.rename(OVERLAY, directory, "a", root, "moved", 0)).toBe(0);
    expect(await overlay.rename(OVERLAY, root, "e", directory, "a", 0)).toBe(0);
    await open();
    expect(await lookup(root, "e")).toBe(-ENOENT);
    expect(typeof (await lookup(root, "moved"))).toBe("object");
    expect(typeof (await find("d/a/b"))).toBe("object");
    expect(xattr("e", "trusted.overlay.whiteout")).toBe("y");
  });
});
