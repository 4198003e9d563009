import type { IncomingHttpHeaders } from "node:http";
import { headerText } from "./attributes.js";
import { checkOf, type RunningChecksum } from "./checksum.js";
import { toStoreError } from "./failure.js";
import { type ReadOptions, type ReadResult, StoreError } from "./object-store.js";
import type { S3Client, S3Request } from "./s3-client.js";
import type { BodyReceiver } from "./transport.js";

/** Whole objects that arrive with another checksum are read again so often. */
const MOST_CORRUPTIONS = 2;

/** One read: it keeps what has arrived, so that another attempt asks for the rest only. */
class Reading {
  readonly #key: string;
  readonly #offset: number;
  readonly #into: Uint8Array;
  readonly #options: ReadOptions;
  #received = 0;
  /** Bytes that the first reply announced. */
  #expected = -1;
  #size = 0;
  #etag: string | undefined;
  #check: RunningChecksum | undefined;

  constructor(key: string, offset: number, into: Uint8Array, options: ReadOptions) {
    this.#key = key;
    this.#offset = offset;
    this.#into = into;
    this.#options = options;
    this.#etag = options.ifMatch;
  }

  get request(): S3Request {
    const { signal, versionId } = this.#options;
    return {
      ...{ class: "get", method: "GET", key: this.#key, hedged: true, signal },
      ...(versionId !== undefined && { query: { versionId } }),
      headers: () => this.#headers(),
      receive: (status, headers) => this.#receive(status, headers),
    };
  }

  get isComplete(): boolean {
    return this.#received === this.#expected;
  }

  get isIntact(): boolean {
    return this.#check?.matches() !== false;
  }

  get result(): ReadResult {
    return { length: this.#received, size: this.#size, etag: this.#etag ?? "" };
  }

  #headers(): string[] {
    const headers: string[] = [];
    if (this.#etag !== undefined) headers.push("if-match", this.#etag);
    if (this.#options.whole === true && this.#offset === 0 && this.#received === 0) {
      headers.push("x-amz-checksum-mode", "ENABLED");
    } else {
      const first = this.#offset + this.#received;
      headers.push("range", `bytes=${first}-${this.#offset + this.#into.length - 1}`);
    }
    return headers;
  }

  #receive(status: number, headers: IncomingHttpHeaders): BodyReceiver | undefined {
    if (status >= 300) return undefined;
    this.#begin(status, headers);
    return (chunk) => {
      if (this.#received + chunk.length > this.#into.length)
        throw this.#error("io", "more bytes than asked for");
      this.#into.set(chunk, this.#received);
      this.#received += chunk.length;
      this.#check?.update(chunk);
    };
  }

  /** Checks that the reply is what was asked for, even from a server that ignores the condition. */
  #begin(status: number, headers: IncomingHttpHeaders): void {
    const etag = headerText(headers, "etag");
    if (this.#etag !== undefined && etag !== this.#etag)
      throw this.#error("precondition", `its ETag is ${etag}`);
    this.#etag = etag;
    const length = Number(headers["content-length"]);
    const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(headerText(headers, "content-range") ?? "");
    const first = status === 206 ? Number(range?.[1]) : 0;
    if (first !== this.#offset + this.#received || !Number.isSafeInteger(length)) {
      throw this.#error("io", "the reply is another range");
    }
    if (this.#received + length > this.#into.length) {
      throw this.#error("precondition", "the object is longer than expected");
    }
    if (this.#received > 0) return;
    this.#size = status === 206 ? Number(range?.[2]) : length;
    this.#expected = length;
    this.#check = status === 200 ? checkOf(headers) : undefined;
  }

  #error(code: "io" | "precondition", why: string): StoreError {
    return new StoreError(code, `get ${JSON.stringify(this.#key)}: ${why}`);
  }
}

/** {@link ObjectStore.read} */
export async function readObject(
  client: S3Client,
  key: string,
  offset: number,
  into: Uint8Array,
  options: ReadOptions,
): Promise<ReadResult> {
  for (let corruptions = 0; ; corruptions++) {
    const reading = new Reading(key, offset, into, options);
    const { request } = reading;
    const { failure } = await client.send(request);
    // All had arrived when the connection broke: there was nothing left to ask for.
    if (failure !== undefined && !(failure.status === 416 && reading.isComplete)) {
      throw toStoreError(client.describe(request), failure);
    }
    if (reading.isIntact) return reading.result;
    if (corruptions === MOST_CORRUPTIONS) {
      throw new StoreError("checksum", `${client.describe(request)}: the data do not have their checksum`);
    }
    client.counts.retries++;
  }
}
