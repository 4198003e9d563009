import type { ObjectStore } from "../store/object-store.js";
import { Backoff } from "./backoff.js";
import type { Abort } from "./file-state.js";
import type { Journal } from "./journal.js";

/** Clocks of this host and of the server may differ by so much. */
const CLOCK_SKEW_MS = 5_000;

/** Ends uploads of ours that nobody needs any more, however long it takes. */
export class Aborts {
  readonly #store: ObjectStore;
  readonly #journal: Journal;
  readonly #backoff = new Backoff();
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(store: ObjectStore, journal: Journal) {
    this.#store = store;
    this.#journal = journal;
  }

  /** Begins with what the journal says by now. */
  start(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Resolves when there was an attempt at each of them. */
  async drain(): Promise<void> {
    this.start();
    await this.#running;
  }

  close(): void {
    this.#closed = true;
  }

  async #run(): Promise<void> {
    let failed = false;
    for (const abort of [...this.#journal.image.aborts.values()]) {
      try {
        await this.#abort(abort);
        this.#journal.append({ aborted: abort.key, sinceMs: abort.sinceMs });
      } catch {
        failed = true;
      }
    }
    if (!failed) {
      this.#backoff.reset();
    } else if (!this.#closed) {
      setTimeout(() => this.start(), this.#backoff.next()).unref();
    }
  }

  /**
   * Without an id, the answer to the creation never came. What was begun under exactly this key since then is ours, but
   * for the uploads whose ids the journal has.
   */
  async #abort({ key, uploadId, sinceMs }: Abort): Promise<void> {
    if (uploadId !== undefined) {
      await this.#store.abortUpload(key, uploadId);
      return;
    }
    const known = new Set([...this.#journal.image.files.values()].map(({ upload }) => upload?.uploadId));
    for (const { uploadId: found, initiatedMs } of await this.#store.listUploads(key)) {
      if (initiatedMs >= sinceMs - CLOCK_SKEW_MS && !known.has(found)) {
        await this.#store.abortUpload(key, found);
      }
    }
  }
}
