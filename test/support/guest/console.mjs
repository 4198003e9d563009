// @ts-check

const LOG_TAIL_CHARACTERS = 6000;

/** A wait that cannot be fulfilled: time ran out, the guest went away or did something else. */
export class ConsoleError extends Error {
  /**
   * @param {string} message
   * @param {string} log Everything that the guest printed.
   */
  constructor(message, log) {
    const tail = log.slice(-LOG_TAIL_CHARACTERS).trim();
    super(`${message}\n--- end of the guest's console ---\n${tail}`);
    this.name = "ConsoleError";
  }
}

/**
 * The text that comes out of a guest's serial console, and waiting for parts of it.
 */
export class Console {
  #log = "";
  /** Where text begins that nobody has waited for yet. */
  #cursor = 0;
  /** @type {string | undefined} */
  #closeReason;
  /** @type {Set<() => void>} */
  #listeners = new Set();

  /** Everything the guest has printed so far. */
  get log() {
    return this.#log;
  }

  /** @param {string} text */
  append(text) {
    this.#log += text;
    for (const listener of this.#listeners) listener();
  }

  /** @param {string} reason Why there will be no more text. */
  close(reason) {
    this.#closeReason ??= reason;
    for (const listener of this.#listeners) listener();
  }

  /**
   * Waits for a marker and returns the text before it. Later waits begin after the marker.
   *
   * @param {string} marker
   * @param {object} options
   * @param {number} options.timeoutMs
   * @param {string} [options.unless] A text that means that the marker will not come.
   * @returns {Promise<string>}
   * @throws {ConsoleError}
   */
  waitFor(marker, { timeoutMs, unless }) {
    return new Promise((resolve, reject) => {
      const wanted = JSON.stringify(marker.trim());
      let searchFrom = this.#cursor;

      /** @param {string} reason */
      const fail = (reason) => {
        finish();
        reject(new ConsoleError(`waiting for ${wanted}: ${reason}`, this.#log));
      };
      const check = () => {
        const position = this.#log.indexOf(marker, searchFrom);
        if (position >= 0) {
          finish();
          const text = this.#log.slice(this.#cursor, position);
          this.#cursor = position + marker.length;
          resolve(text);
        } else if (unless !== undefined && this.#log.includes(unless, searchFrom)) {
          fail("the guest started again");
        } else if (this.#closeReason !== undefined) {
          fail(this.#closeReason);
        } else {
          const longest = Math.max(marker.length, unless?.length ?? 0);
          searchFrom = Math.max(this.#cursor, this.#log.length - longest);
        }
      };
      const timer = setTimeout(() => fail(`no answer within ${timeoutMs} ms`), timeoutMs);
      const finish = () => {
        clearTimeout(timer);
        this.#listeners.delete(check);
      };
      this.#listeners.add(check);
      check();
    });
  }
}
