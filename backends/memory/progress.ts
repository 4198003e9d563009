import type { Logger } from "../../src/vfs/logger.js";

const INTERVAL_MS = 5000;
const MIB = 2 ** 20;

/** Says now and then how far a long piece of work is; a short one says nothing until its end. */
export class Progress {
  readonly #logger: Logger | undefined;
  readonly #verb: string;
  #entries = 0;
  #bytes = 0;
  #next = Date.now() + INTERVAL_MS;

  /** `verb` begins the line, for example "seeding from x.tar". */
  constructor(logger: Logger | undefined, verb: string) {
    this.#logger = logger;
    this.#verb = verb;
  }

  entry(): void {
    this.#entries++;
    this.#report();
  }

  data(bytes: number): void {
    this.#bytes += bytes;
    this.#report();
  }

  /** The line for the end. */
  done(): void {
    this.#logger?.info(`${this.#verb}: ${this.#summary()}`);
  }

  #report(): void {
    const now = Date.now();
    if (now >= this.#next) {
      this.#next = now + INTERVAL_MS;
      this.#logger?.info(`${this.#verb}: ${this.#summary()} so far`);
    }
  }

  #summary(): string {
    return `${this.#entries} files and directories, ${(this.#bytes / MIB).toFixed(1)} MiB`;
  }
}
