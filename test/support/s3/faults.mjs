// @ts-check
// What goes wrong on purpose.

/**
 * What happens to a request that a rule picks:
 * - "error": it fails with `status` and `code` and changes nothing
 * - "reset": its connection is reset and nothing changes
 * - "lost": it takes effect, then the connection is reset instead of an answer
 * - "lost-error": it takes effect, then the answer is `status` and `code`
 * - "cut": the connection is reset in the middle of the answer's body
 * - "stall": nothing more is ever sent after the headers and half of the body
 * - "hang": no answer ever comes; nothing changes
 * - "corrupt": one byte of the answer's body is changed
 * - "delay": the answer comes `delayMs` later
 * - "error-in-200": the answer has status 200 and an error document; nothing changes
 * @typedef {"error" | "reset" | "lost" | "lost-error" | "cut" | "stall" | "hang" | "corrupt" | "delay" | "error-in-200"} FaultKind
 */

/**
 * @typedef {object} Fault
 * @property {FaultKind} kind
 * @property {string | readonly string[]} [operation] As in the counts; default: any.
 * @property {string} [key] Only requests for this key.
 * @property {number} [times] How many requests it picks; default: 1. Infinity is for ever.
 * @property {number} [skip] How many it lets pass first.
 * @property {number} [probability] Of picking a request; default: 1.
 * @property {number} [status] Default: 503.
 * @property {string} [code] Default: SlowDown.
 * @property {Record<string, string>} [headers] Of the answer of "error".
 * @property {number} [delayMs]
 */

/** A small generator of pseudo-random numbers (mulberry32), so that a seed repeats a run. */
class Random {
  #state;
  /** @param {number} seed */
  constructor(seed) {
    this.#state = seed >>> 0;
  }
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  }
}

/** The rules that are in force; the first that picks a request decides. */
export class Faults {
  /** @type {(Fault & {left: number, toSkip: number})[]} */
  #rules = [];
  #random;

  /** @param {number} seed */
  constructor(seed) {
    this.#random = new Random(seed);
  }

  /** @param {Fault} fault */
  add(fault) {
    this.#rules.push({ ...fault, left: fault.times ?? 1, toSkip: fault.skip ?? 0 });
  }

  clear() {
    this.#rules = [];
  }

  /** Whether all rules have picked as often as they should. */
  get spent() {
    return this.#rules.every(({ left }) => left <= 0);
  }

  /**
   * @param {string} operation
   * @param {string | undefined} key
   * @returns {Fault | undefined}
   */
  pick(operation, key) {
    for (const rule of this.#rules) {
      if (rule.left <= 0) continue;
      if (rule.operation !== undefined && ![rule.operation].flat().includes(operation)) continue;
      if (rule.key !== undefined && rule.key !== key) continue;
      if (rule.probability !== undefined && this.#random.next() >= rule.probability) continue;
      if (rule.toSkip > 0) {
        rule.toSkip--;
        continue;
      }
      rule.left--;
      return rule;
    }
    return undefined;
  }
}
