// @ts-check
import { setTimeout as delay } from "node:timers/promises";

const STEP_BYTES = 64 * 1024;
/** How far a transfer may be ahead of its rate: timers have no finer grain than this. */
const SLACK_MS = 4;

/**
 * Holds the transfers of a connection to a rate. The clock starts anew after a pause.
 */
export class Throttle {
  #dueMs = 0;

  /** @param {number} bytes @param {number} bytesPerSecond @returns {number} Milliseconds to wait. */
  spend(bytes, bytesPerSecond) {
    const now = performance.now();
    this.#dueMs = Math.max(this.#dueMs, now) + (bytes / bytesPerSecond) * 1000;
    const ahead = this.#dueMs - now;
    return ahead > SLACK_MS ? ahead : 0;
  }
}

/**
 * Writes a body, no faster than the connection's rate.
 *
 * @param {import("node:http").ServerResponse} response
 * @param {Iterable<Buffer>} body
 * @param {Throttle} throttle
 * @param {number} bytesPerSecond Infinity: as fast as it goes.
 * @returns {Promise<boolean>} False: the other side is gone.
 */
export async function writeBody(response, body, throttle, bytesPerSecond) {
  for (const chunk of body) {
    const step = bytesPerSecond === Number.POSITIVE_INFINITY ? chunk.length : STEP_BYTES;
    for (let at = 0; at < chunk.length; at += step) {
      const piece = chunk.subarray(at, at + step);
      const waitMs = throttle.spend(piece.length, bytesPerSecond);
      if (waitMs > 0) await delay(waitMs);
      if (response.destroyed) return false;
      if (!response.write(piece)) await drained(response);
    }
  }
  return !response.destroyed;
}

/** @param {import("node:http").ServerResponse} response @returns {Promise<void>} Also when it is closed. */
function drained(response) {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.once("drain", done).once("close", done);
  });
}

/**
 * Reads a body, no faster than the connection's rate.
 *
 * @param {import("node:http").IncomingMessage} request
 * @param {Throttle} throttle
 * @param {number} bytesPerSecond
 * @returns {Promise<Buffer[]>}
 */
export function readBody(request, throttle, bytesPerSecond) {
  return new Promise((resolve, reject) => {
    /** @type {Buffer[]} */
    const chunks = [];
    request.on("data", (/** @type {Buffer} */ chunk) => {
      chunks.push(chunk);
      const waitMs = throttle.spend(chunk.length, bytesPerSecond);
      if (waitMs === 0) return;
      request.pause();
      setTimeout(() => request.resume(), waitMs);
    });
    request.once("end", () => resolve(chunks));
    request.once("error", reject);
    request.once("close", () => reject(new Error("the connection was closed")));
  });
}
