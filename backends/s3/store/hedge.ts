import type { HttpReply, Receive, RunningExchange } from "./transport.js";

const SAMPLES = 128;
/** The quantile is looked up anew after so many samples. */
const REFRESH_EVERY = 16;
/** Hedges per request in the long run, and how many may be saved up. */
const SHARE = 0.05;
const MOST_SAVED = 8;
const FLOOR_MS = 40;
/** Before anything was measured. */
const INITIAL_MS = 1000;

/** Knows when a read is slow, by the times to the first byte so far, and how many may be asked twice. */
export class HedgePolicy {
  readonly #samples = new Float64Array(SAMPLES);
  #count = 0;
  #delayMs = INITIAL_MS;
  #saved = 1;

  /** Twice the time that 95 of 100 requests take. */
  get delayMs(): number {
    return this.#delayMs;
  }

  record(firstByteMs: number): void {
    this.#samples[this.#count++ % SAMPLES] = firstByteMs;
    this.#saved = Math.min(MOST_SAVED, this.#saved + SHARE);
    if (this.#count % REFRESH_EVERY !== 0) return;
    const sorted = this.#samples.slice(0, Math.min(this.#count, SAMPLES)).sort();
    const high = sorted[Math.floor(sorted.length * 0.95)] ?? INITIAL_MS;
    this.#delayMs = Math.max(FLOOR_MS, 2 * high);
  }

  /** Takes one of the hedges that may be made. */
  spend(): boolean {
    if (this.#saved < 1) return false;
    this.#saved--;
    return true;
  }
}

const LOST = new Error("the other request was faster");

/**
 * Runs a request, and once more when it has no answer in time. The first to answer is received, the other is
 * aborted before any of its body counts. `start` makes one request with the given receiver.
 */
export class HedgedExchange implements RunningExchange {
  readonly reply: Promise<HttpReply>;
  readonly #start: (receive: Receive) => RunningExchange;
  readonly #receive: Receive;
  readonly #exchanges: RunningExchange[] = [];
  readonly #startedMs = performance.now();
  readonly #timer: NodeJS.Timeout;

  constructor(
    start: (receive: Receive) => RunningExchange,
    receive: Receive,
    policy: HedgePolicy,
    onHedge: () => void,
  ) {
    this.#start = start;
    this.#receive = (status, headers) => {
      policy.record(performance.now() - this.#startedMs);
      return receive(status, headers);
    };
    this.#timer = setTimeout(() => {
      if (!policy.spend()) return;
      onHedge();
      this.#launch();
    }, policy.delayMs);
    this.#launch();
    this.reply = this.#firstReply().finally(() => clearTimeout(this.#timer));
  }

  abort(reason: unknown): void {
    clearTimeout(this.#timer);
    for (const exchange of this.#exchanges) exchange.abort(reason);
  }

  #launch(): void {
    const exchange: RunningExchange = this.#start((status, headers) => {
      clearTimeout(this.#timer);
      for (const other of this.#exchanges) if (other !== exchange) other.abort(LOST);
      return this.#receive(status, headers);
    });
    exchange.reply.catch(() => {});
    this.#exchanges.push(exchange);
  }

  /** Of the request that won; the first error where both fail. */
  async #firstReply(): Promise<HttpReply> {
    let failure: unknown;
    for (let index = 0; index < this.#exchanges.length; index++) {
      try {
        return await (this.#exchanges[index] as RunningExchange).reply;
      } catch (error) {
        if (failure === undefined || failure === LOST) failure = error;
      }
    }
    throw failure;
  }
}
