import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Forgotten nodes from which on their memory, some 10 MB, is worth a collection. */
const LEAST_NODES = 30_000;
/**
 * A collection waits until no request has come for so long. V8 makes its young generation small again, 30 MB less, only
 * where next to nothing was allocated during the last five seconds.
 */
const IDLE_MS = 6000;

/** What a collection depends on. */
export interface SessionActivity {
  /** Grows with every request. */
  readonly batches: number;
  /** Nodes that the guest knows: what a collection has to walk through. */
  readonly inodes: { readonly size: number };
}

/**
 * A collection that leaves no half-empty pages: without compaction a few retained nodes keep a page each. V8 hides
 * its collector unless a flag says otherwise.
 */
function compactingCollector(): () => void {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  return () => {
    setFlagsFromString("--compact-on-every-full-gc");
    collect();
    setFlagsFromString("--no-compact-on-every-full-gc");
  };
}

/**
 * Gives the memory of forgotten nodes back to the host. V8 collects garbage when it needs room, which a share that
 * has nothing to do never does: after a guest has dropped its caches, the server would keep the memory of a
 * million nodes for good. Nothing runs while nothing is forgotten.
 */
export class MemoryRelease {
  readonly #collect: () => void;
  #forgotten = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(collect: () => void = compactingCollector()) {
    this.#collect = collect;
  }

  /** The guest of a session has forgotten `count` nodes. */
  forgotten(count: number, session: SessionActivity): void {
    this.#forgotten += count;
    if (this.#timer === undefined && this.#isWorthwhile(session)) {
      this.#wait(session);
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** A collection stops the share for as long as it takes to walk through all that is still known. */
  #isWorthwhile({ inodes }: SessionActivity): boolean {
    return this.#forgotten >= Math.max(LEAST_NODES, inodes.size);
  }

  #wait(session: SessionActivity): void {
    const { batches } = session;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (session.batches !== batches) {
        this.#wait(session);
      } else if (this.#isWorthwhile(session)) {
        this.#forgotten = 0;
        this.#collect();
      }
    }, IDLE_MS).unref();
  }
}
