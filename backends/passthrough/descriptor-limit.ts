import { EMFILE, ENFILE } from "../../src/vfs/errno.js";
import type { Logger } from "../../src/vfs/logger.js";

/** Answers for running out of descriptors: ENFILE, and one line in the log for the whole share. */
export class DescriptorLimit {
  readonly #logger: Logger;
  #reported = false;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Passes on a new descriptor or an error. */
  check(result: number): number {
    if (result !== -EMFILE && result !== -ENFILE) {
      return result;
    }
    if (!this.#reported) {
      this.#reported = true;
      this.#logger.error("out of file descriptors: operations fail with ENFILE; raise the limit (ulimit -n)");
    }
    return -ENFILE;
  }
}
