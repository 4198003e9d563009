import { MAX_TRANSFER_BYTES } from "./protocol.js";

/** Less is not worth a buffer of its own: V8 has it from its pool. */
const LEAST_BYTES = 4096;
/** The data of a request and what comes before them. */
const BUFFER_BYTES = MAX_TRANSFER_BYTES + 4096;
/** So many wait for the next request; more are needed only while many requests wait. */
const MOST_IDLE = 8;

/**
 * Memory for the data of requests that JavaScript serves. It is used again and again: a new buffer for each request
 * would be cleared by the kernel, and V8 would collect garbage after every few of them.
 */
export class TransferBuffers {
  readonly #idle: Buffer[] = [];

  /** A buffer with whatever is in it; undefined where the caller does better with one of its own. */
  take(bytes: number): Buffer | undefined {
    if (bytes <= LEAST_BYTES || bytes > BUFFER_BYTES) {
      return undefined;
    }
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
  }

  /** Nobody reads or writes the buffer any more. */
  give(buffer: Buffer): void {
    if (this.#idle.length < MOST_IDLE) {
      this.#idle.push(buffer);
    }
  }
}
