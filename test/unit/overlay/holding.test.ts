import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MemoryBackend } from "../../../backends/memory/memory-backend.js";
import { attributeChange } from "../../../backends/overlay/attribute-change.js";
import { OVERLAY } from "../../../backends/overlay/layers.js";
import { OverlayBackend } from "../../../backends/overlay/overlay-backend.js";
import { Change } from "../../../src/vfs/attributes.js";
import type { Backend } from "../../../src/vfs/backend.js";
import { EIO } from "../../../src/vfs/errno.js";
import { VfsHandle, VfsNode } from "../../../src/vfs/node.js";
import { must, record, SETTINGS, UpperDirectories } from "./memory-layers.js";

const O_RDWR = 2;

/** A backend that insists on being asked for nodes only that it gave away and was not told to forget. */
class StrictLayer {
  readonly nodes = new Set<VfsNode>();
  readonly handles = new Set<VfsHandle>();
  readonly mistakes: string[] = [];
  readonly backend: Backend;
  /** The next call of this name fails. */
  failing = "";

  /** @param turns how often the event loop turns before an answer */
  constructor(inner: Backend, turns: () => number) {
    this.backend = new Proxy(inner, {
      get: (target, name: string) => {
        const method: unknown = Reflect.get(target, name);
        if (typeof method !== "function") return method;
        return (...args: unknown[]) => {
          if (name === this.failing) return -EIO;
          this.#check(name, args);
          const result: unknown = method.apply(target, args);
          const wait = typeof result === "object" && name !== "capabilities" ? turns() : 0;
          return wait === 0 ? this.#give(result) : later(wait).then(() => this.#give(result));
        };
      },
    });
  }

  #check(name: string, args: unknown[]): void {
    // The source of a clone is another layer's.
    for (const arg of name === "cloneFile" || name === "cloneInto" ? args.slice(2) : args) {
      if (arg instanceof VfsNode && !this.nodes.has(arg)) this.mistakes.push(name);
      if (arg instanceof VfsNode && name === "forget") this.nodes.delete(arg);
      if (arg instanceof VfsHandle && /^(release|discard)/.test(name)) this.handles.delete(arg);
    }
  }

  #give(result: unknown): unknown {
    if (result instanceof VfsNode) this.nodes.add(result);
    if (result instanceof VfsHandle) {
      this.handles.add(result);
      this.nodes.add(result.node);
    }
    return result;
  }
}

async function later(turns: number): Promise<void> {
  for (let i = 0; i < turns; i++) await turn();
}

interface Stand {
  readonly overlay: Backend;
  readonly root: VfsNode;
  readonly lower: StrictLayer;
  readonly upper: StrictLayer;
}

const FILES = ["a", "b", "c"];

async function stand(turns: () => number): Promise<Stand> {
  const below = new MemoryBackend({ sizeBytes: 1 << 24 });
  const lowerRoot = must(await below.start());
  for (const name of ["d", "e"]) {
    const directory = must(below.mkdir(OVERLAY, lowerRoot, name, 0o755, record()));
    for (const file of FILES) must(below.mknod(OVERLAY, directory, file, 0o100644, 0, record()));
  }
  const above = await UpperDirectories.make();
  const lower = new StrictLayer(below, turns);
  const upper = new StrictLayer(above.backend, () => 0);
  lower.nodes.add(lowerRoot);
  for (const node of [above.shown, above.work, above.index]) upper.nodes.add(node);
  const overlay = new OverlayBackend({
    lowers: [{ name: "lower", backend: lower.backend, open: () => lowerRoot }],
    upper: above.source(upper.backend),
    ...SETTINGS,
  });
  return { overlay, root: await overlay.start(), lower, upper };
}

/** What a guest does at once, without waiting for the answers. */
const operation = fc.record({
  kind: fc.constantFrom("lookup", "unlink", "rename", "create", "chmod", "forget"),
  directory: fc.constantFrom("d", "e"),
  name: fc.constantFrom(...FILES),
  to: fc.constantFrom(...FILES),
  pause: fc.nat(2),
});
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** A guest with the references that it was given. */
class Guest {
  readonly #overlay: Backend;
  readonly #root: VfsNode;
  readonly known = new Map<VfsNode, number>();

  constructor({ overlay, root }: Stand) {
    this.#overlay = overlay;
    this.#root = root;
  }

  async lookup(parent: VfsNode, name: string): Promise<VfsNode | undefined> {
    const node = await this.#overlay.lookup(OVERLAY, parent, name, record());
    if (typeof node === "number") return undefined;
    this.known.set(node, (this.known.get(node) ?? 0) + 1);
    return node;
  }

  forget(node: VfsNode): void {
    this.known.delete(node);
    this.#overlay.forget(node);
  }

  async run({ kind, directory, name, to, pause }: Operation): Promise<void> {
    const parent = must((await this.lookup(this.#root, directory)) ?? -EIO);
    await later(pause);
    if (kind === "unlink") return void (await this.#overlay.unlink(OVERLAY, parent, name));
    if (kind === "rename") return void (await this.#overlay.rename(OVERLAY, parent, name, parent, to, 0));
    if (kind === "create") {
      const handle = await this.#overlay.create(OVERLAY, parent, name, O_RDWR, 0o600, record());
      if (typeof handle === "number") return;
      this.known.set(handle.node, (this.known.get(handle.node) ?? 0) + 1);
      return void (await this.#overlay.release(handle));
    }
    const node = await this.lookup(parent, name);
    if (node === undefined) return;
    if (kind === "chmod") {
      const change = attributeChange({ valid: Change.MODE, mode: 0o600 });
      await this.#overlay.setattr(OVERLAY, node, undefined, change, record());
    } else if (kind === "forget" && (this.known.get(node) ?? 0) === 1) {
      this.forget(node);
    }
  }
}

describe("nodes of layers", () => {
  it("are held from the moment they are found until the guest forgets them", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { maxLength: 12 }),
        fc.infiniteStream(fc.nat(3)),
        async (all, turns) => {
          const { upper, lower, ...rest } = await stand(() => turns.next().value ?? 0);
          const guest = new Guest({ upper, lower, ...rest });
          await Promise.all(all.map((each) => guest.run(each)));
          for (const node of [...guest.known.keys()].reverse()) guest.forget(node);
          await later(2);
          expect([...lower.mistakes, ...upper.mistakes]).toEqual([]);
          expect([lower.handles.size, upper.handles.size]).toEqual([0, 0]);
          // The roots of the layers, the work and the index directory.
          expect([lower.nodes.size, upper.nodes.size]).toEqual([1, 3]);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("are let go of when a creation fails at its last step", async () => {
    const { overlay, root, upper } = await stand(() => 0);
    const parent = must(await overlay.lookup(OVERLAY, root, "d", record()));
    expect(await overlay.unlink(OVERLAY, parent, "a")).toBe(0);
    const before = upper.nodes.size;
    upper.failing = "rename";
    expect(await overlay.create(OVERLAY, parent, "a", O_RDWR, 0o600, record())).toBe(-EIO);
    expect(await overlay.mkdir(OVERLAY, parent, "a", 0o700, record())).toBe(-EIO);
    expect(await overlay.symlink(OVERLAY, parent, "a", "target", record())).toBe(-EIO);
    expect([upper.nodes.size, upper.handles.size]).toEqual([before, 0]);
  });
});
