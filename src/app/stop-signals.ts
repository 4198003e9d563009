const STOP_SIGNALS = ["SIGTERM", "SIGHUP", "SIGINT"] as const;

/** Exit code of a server that a signal ended; virtiofsd's. */
export const EXIT_STOPPED = 1;

/**
 * Turns the signals that end a server into a promise, from construction until {@link dispose}. The
 * first signal lets the share clean up; a second one does not wait for that.
 */
export class StopSignals {
  /** Resolves with the first signal; never rejects. */
  readonly received: Promise<NodeJS.Signals>;
  readonly #listener: (signal: NodeJS.Signals) => void;

  constructor() {
    const { promise, resolve } = withResolvers<NodeJS.Signals>();
    this.received = promise;
    let isFirst = true;
    this.#listener = (signal) => {
      if (!isFirst) {
        process.exit(EXIT_STOPPED);
      }
      isFirst = false;
      resolve(signal);
    };
    for (const signal of STOP_SIGNALS) {
      process.on(signal, this.#listener);
    }
  }

  dispose(): void {
    for (const signal of STOP_SIGNALS) {
      process.off(signal, this.#listener);
    }
  }
}

/** Promise.withResolvers, which Node 20 does not have. */
function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
