import type { ObjectAttributes, ObjectStore } from "../store/object-store.js";
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
  /** Creations whose answers may still come: before, a list of uploads proves nothing. */
  readonly #creations = new Map<Promise<string>, string>();
  #running: Promise<void> | undefined;
  /** Something was added to the journal since the running round began. */
  #wanted = false;
  #closed = false;

  constructor(store: ObjectStore, journal: Journal) {
    this.#store = store;
    this.#journal = journal;
  }

  /** Begins an upload; an abort without its id waits for the answer. @returns its id */
  async createUpload(key: string, attributes: ObjectAttributes): Promise<string> {
    const creation = this.#store.createUpload(key, attributes);
    this.#creations.set(creation, key);
    try {
      return await creation;
    } finally {
      this.#creations.delete(creation);
    }
  }

  /** Begins with what the journal says by now. */
  start(): void {
    this.#wanted = true;
    this.#running ??= this.#run();
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
    while (this.#wanted) {
      this.#wanted = false;
      failed = await this.#abortAll();
    }
    this.#running = undefined;
    if (!failed) {
      this.#backoff.reset();
    } else if (!this.#closed) {
      setTimeout(() => this.start(), this.#backoff.next()).unref();
    }
  }

  async #abortAll(): Promise<boolean> {
    let failed = false;
    for (const abort of [...this.#journal.image.aborts.values()]) {
      try {
        await this.#abort(abort);
        this.#journal.append({ aborted: abort.key, sinceMs: abort.sinceMs });
      } catch {
        failed = true;
      }
    }
    return failed;
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
    const creations = [...this.#creations].filter(([, created]) => created === key);
    await Promise.allSettled(creations.map(([creation]) => creation));
    const known = new Set([...this.#journal.image.files.values()].map(({ upload }) => upload?.uploadId));
    for (const { uploadId: found, initiatedMs } of await this.#store.listUploads(key)) {
      if (initiatedMs >= sinceMs - CLOCK_SKEW_MS && !known.has(found)) {
        await this.#store.abortUpload(key, found);
      }
    }
  }
}
