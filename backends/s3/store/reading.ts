import type { IncomingHttpHeaders } from "node:http";
import { crc32c } from "../../../src/native/checksum.js";
import type { FileRange } from "../../../src/native/http-connection.js";
import { posix } from "../../../src/native/posix.js";
import { headerText } from "./attributes.js";
import { checkOf, type RunningChecksum } from "./checksum.js";
import { toStoreError } from "./failure.js";
import { type ReadOptions, type ReadResult, StoreError } from "./object-store.js";
import type { S3Client, S3Request } from "./s3-client.js";
import type { BodySink } from "./transport.js";

const ENOSPC = 28;
/** Whole objects that arrive with another checksum are read again so often. */
const MOST_CORRUPTIONS = 2;
const MORE_BYTES = "more bytes than asked for";

/** What becomes of the bytes of a read. */
interface Destination {
  /** Bytes that it has room for. */
  readonly length: number;
  /** Bytes that have come. */
  readonly received: number;
  /** For the next bytes. */
  readonly sink: BodySink;
  /** Native code may fill it. */
  readonly isDirect: boolean;
  /** What has come is checked against this, if it is the whole object. */
  check: RunningChecksum | undefined;
}

class MemoryDestination implements Destination {
  readonly isDirect = false;
  readonly #into: Uint8Array;
  received = 0;
  check: RunningChecksum | undefined;

  constructor(into: Uint8Array) {
    this.#into = into;
  }

  get length(): number {
    return this.#into.length;
  }

  readonly sink = (chunk: Buffer): void => {
    if (this.received + chunk.length > this.#into.length) throw new StoreError("io", MORE_BYTES);
    this.#into.set(chunk, this.received);
    this.received += chunk.length;
    this.check?.update(chunk);
  };
}

/** A range of an object has no checksum of its own: this one is never asked for as a whole. */
class FileDestination implements Destination {
  readonly isDirect = true;
  readonly sink: FileRange;
  check: undefined;

  constructor(range: FileRange) {
    this.sink = range;
  }

  get length(): number {
    return this.sink.length;
  }

  get received(): number {
    return this.sink.progress[0] as number;
  }
}

/** One read: it keeps what has arrived, so that another attempt asks for the rest only. */
class Reading {
  readonly #key: string;
  readonly #offset: number;
  readonly #into: Destination;
  readonly #options: ReadOptions;
  /** Bytes that the first reply announced. */
  #expected = -1;
  #size = 0;
  #etag: string | undefined;

  constructor(key: string, offset: number, into: Destination, options: ReadOptions) {
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
      direct: this.#into.isDirect,
      ...(versionId !== undefined && { query: { versionId } }),
      headers: () => this.#headers(),
      receive: (status, headers) => this.#receive(status, headers),
    };
  }

  get isComplete(): boolean {
    return this.#into.received === this.#expected;
  }

  get isIntact(): boolean {
    return this.#into.check?.matches() !== false;
  }

  get result(): ReadResult {
    return { length: this.#into.received, size: this.#size, etag: this.#etag ?? "" };
  }

  #headers(): string[] {
    const headers: string[] = [];
    if (this.#etag !== undefined) headers.push("if-match", this.#etag);
    if (this.#options.whole === true && this.#offset === 0 && this.#into.received === 0) {
      headers.push("x-amz-checksum-mode", "ENABLED");
    } else {
      const first = this.#offset + this.#into.received;
      headers.push("range", `bytes=${first}-${this.#offset + this.#into.length - 1}`);
    }
    return headers;
  }

  #receive(status: number, headers: IncomingHttpHeaders): BodySink | undefined {
    if (status >= 300) return undefined;
    this.#begin(status, headers);
    return this.#into.sink;
  }

  /** Checks that the reply is what was asked for, even from a server that ignores the condition. */
  #begin(status: number, headers: IncomingHttpHeaders): void {
    const etag = headerText(headers, "etag");
    if (this.#etag !== undefined && etag !== this.#etag)
      throw this.#error("precondition", `its ETag is ${etag}`);
    this.#etag = etag;
    const length = Number(headers["content-length"]);
    const { received } = this.#into;
    const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(headerText(headers, "content-range") ?? "");
    const first = status === 206 ? Number(range?.[1]) : 0;
    if (first !== this.#offset + received || !Number.isSafeInteger(length)) {
      throw this.#error("io", "the reply is another range");
    }
    if (received + length > this.#into.length) {
      throw this.#error("precondition", "the object is longer than expected");
    }
    if (received > 0) return;
    this.#size = status === 206 ? Number(range?.[2]) : length;
    this.#expected = length;
    this.#into.check = status === 200 ? checkOf(headers) : undefined;
  }

  #error(code: "io" | "precondition", why: string): StoreError {
    return new StoreError(code, `get ${JSON.stringify(this.#key)}: ${why}`);
  }
}

async function read(client: S3Client, reading: Reading): Promise<ReadResult> {
  const { request } = reading;
  const { failure } = await client.send(request);
  // All had arrived when the connection broke: there was nothing left to ask for.
  if (failure !== undefined && !(failure.status === 416 && reading.isComplete)) {
    throw toStoreError(client.describe(request), failure);
  }
  return reading.result;
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
    const reading = new Reading(key, offset, new MemoryDestination(into), options);
    const result = await read(client, reading);
    if (reading.isIntact) return result;
    if (corruptions === MOST_CORRUPTIONS) {
      const what = client.describe(reading.request);
      throw new StoreError("checksum", `${what}: the data do not have their checksum`);
    }
    client.counts.retries++;
  }
}

/** {@link ObjectStore.readToFile} */
export async function readObjectToFile(
  client: S3Client,
  key: string,
  offset: number,
  into: FileRange,
  options: ReadOptions,
): Promise<ReadResult> {
  if (client.isDirect) return read(client, new Reading(key, offset, new FileDestination(into), options));
  return client.partBuffers.run(into.length, async (bytes) => {
    const result = await readObject(client, key, offset, bytes, options);
    await fill(into, bytes.subarray(0, result.length));
    return result;
  });
}

/** Puts the bytes of a range where native code would have put them. */
async function fill({ fd, position, blockBytes, progress }: FileRange, bytes: Uint8Array): Promise<void> {
  const written = await posix.writeSlowly(fd, bytes, position, 0);
  if (written !== bytes.length) {
    throw new StoreError("io", `the disk cache takes no data: error ${written < 0 ? -written : ENOSPC}`);
  }
  for (let at = 0, block = 1; at < bytes.length; at += blockBytes, block++) {
    progress[block] = crc32c(bytes.subarray(at, at + blockBytes), 0);
  }
  progress[0] = bytes.length;
}
