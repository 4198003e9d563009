import { MemoryBackend } from "../../../backends/memory/memory-backend.js";
import { OVERLAY, type UpperSource } from "../../../backends/overlay/layers.js";
import { ATTR_WORDS, type AttrRecord } from "../../../src/vfs/attributes.js";
import type { Backend } from "../../../src/vfs/backend.js";
import type { Result } from "../../../src/vfs/errno.js";
import type { VfsNode } from "../../../src/vfs/node.js";

const UPPER_BYTES = 1 << 24;

/** What an overlay has unless a test wants something else. */
export const SETTINGS = {
  xattrNamespace: "trusted",
  redirectDir: true,
  metacopy: false,
  isVolatile: false,
} as const;

export function record(): AttrRecord {
  return new Uint32Array(ATTR_WORDS);
}

export function must<T extends object>(result: Result<T>): T {
  if (typeof result === "number") throw new Error(`errno ${-result}`);
  return result;
}

/** An empty upper layer in memory, with its work and index directories. */
export class UpperDirectories {
  readonly backend: MemoryBackend;
  readonly shown: VfsNode;
  readonly work: VfsNode;
  readonly index: VfsNode;

  private constructor(backend: MemoryBackend, root: VfsNode) {
    const make = (name: string) => must(backend.mkdir(OVERLAY, root, name, 0o755, record()));
    this.backend = backend;
    this.shown = make("upper");
    this.work = make("work");
    this.index = make("index");
  }

  static async make(): Promise<UpperDirectories> {
    const backend = new MemoryBackend({ sizeBytes: UPPER_BYTES });
    return new UpperDirectories(backend, await backend.start());
  }

  /** The layer as an overlay takes it, through a backend around this one. */
  source(backend: Backend = this.backend): UpperSource {
    return {
      name: "upper",
      backend,
      open: () => this.shown,
      openWork: () => this.work,
      openIndex: () => this.index,
    };
  }
}
