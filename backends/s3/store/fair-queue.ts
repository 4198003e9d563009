interface Waiter {
  readonly start: () => void;
}

/**
 * Bounds what runs at a time. Whoever waits belongs to a flow (a file, say), and flows take turns: a flow with a
 * hundred requests does not keep one with a single request waiting.
 */
export class FairQueue {
  readonly #limit: number;
  /** Flows in the order of their turns; each has at least one waiter. */
  readonly #flows = new Map<string, Waiter[]>();
  #running = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get running(): number {
    return this.#running;
  }

  /** Resolves when it is the caller's turn, who then calls {@link leave}. Rejects with the signal's reason. */
  enter(flow: string, signal?: AbortSignal): Promise<void> | undefined {
    signal?.throwIfAborted();
    if (this.#running < this.#limit) {
      this.#running++;
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const waiter = {
        start: () => {
          signal?.removeEventListener("abort", abort);
          resolve();
        },
      };
      const abort = () => {
        this.#drop(flow, waiter);
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", abort, { once: true });
      const waiting = this.#flows.get(flow);
      if (waiting === undefined) this.#flows.set(flow, [waiter]);
      else waiting.push(waiter);
    });
  }

  leave(): void {
    const [next] = this.#flows;
    if (next === undefined) {
      this.#running--;
      return;
    }
    const [flow, waiting] = next;
    const waiter = waiting.shift();
    this.#flows.delete(flow);
    if (waiting.length > 0) this.#flows.set(flow, waiting);
    waiter?.start();
  }

  #drop(flow: string, waiter: Waiter): void {
    const left = this.#flows.get(flow)?.filter((other) => other !== waiter) ?? [];
    if (left.length > 0) this.#flows.set(flow, left);
    else this.#flows.delete(flow);
  }
}
