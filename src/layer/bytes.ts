import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { Decompress } from "fzstd";
import { ByteSource } from "../tar/byte-source.js";
import { GatewayError } from "../vfs/gateway-error.js";

const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);
const ZSTD_MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const CHUNK_BYTES = 1 << 20;
/** Every four bytes of zstd may unpack to 128 KiB: so many at once are what memory has to hold. */
const ZSTD_SLICE_BYTES = 2048;

type Chunks = AsyncIterable<Buffer>;

/** The SHA-256 of what passes through. */
export class Digest {
  readonly #hash = createHash("sha256");

  async *of(chunks: Chunks): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      this.#hash.update(chunk);
      yield chunk;
    }
  }

  /** As images spell it; only at the end. */
  toString(): string {
    return `sha256:${this.#hash.digest("hex")}`;
  }
}

/** Passes on at most so many bytes in all the streams that share it. */
export class ByteLimit {
  #left: number;
  readonly #reason: string;

  constructor(limitBytes: number, reason: string) {
    this.#left = limitBytes;
    this.#reason = reason;
  }

  /** @throws GatewayError with the reason when there is more */
  async *of(chunks: Chunks): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      this.#left -= chunk.length;
      if (this.#left < 0) {
        throw new GatewayError("environment", this.#reason);
      }
      yield chunk;
    }
  }
}

async function* remaining(head: Buffer, source: ByteSource): AsyncGenerator<Buffer> {
  yield head;
  for (;;) {
    const chunk = await source.some(CHUNK_BYTES);
    if (chunk.length === 0) {
      return;
    }
    yield chunk;
  }
}

async function* gunzip(chunks: Chunks): AsyncGenerator<Buffer> {
  const packed = Readable.from(chunks, { objectMode: false, highWaterMark: CHUNK_BYTES });
  const unpacked = createGunzip({ chunkSize: CHUNK_BYTES });
  packed.on("error", (err) => unpacked.destroy(err));
  try {
    yield* packed.pipe(unpacked);
  } catch (err) {
    const isDamage = String((err as NodeJS.ErrnoException).code).startsWith("Z_");
    throw isDamage ? new GatewayError("environment", "damaged gzip data", { cause: err }) : err;
  } finally {
    packed.destroy();
  }
}

async function* unzstd(chunks: Chunks): AsyncGenerator<Buffer> {
  let unpacked: Buffer[] = [];
  const decoder = new Decompress((bytes) => {
    unpacked.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  });
  const push = (slice: Uint8Array, isLast: boolean) => {
    try {
      decoder.push(slice, isLast);
    } catch (cause) {
      throw new GatewayError("environment", "damaged zstd data", { cause });
    }
    const ready = unpacked;
    unpacked = [];
    return ready;
  };
  for await (const chunk of chunks) {
    for (let start = 0; start < chunk.length; start += ZSTD_SLICE_BYTES) {
      // The decoder keeps what it cannot use yet, and chunks are valid only until the next.
      yield* push(Uint8Array.from(chunk.subarray(start, start + ZSTD_SLICE_BYTES)), false);
    }
  }
  yield* push(new Uint8Array(0), true);
}

/**
 * What a stream unpacks to: gzip and zstd are known by their first bytes, anything else is as it is.
 * @throws GatewayError when the packed data is damaged or cut off
 */
export async function* unpack(chunks: Chunks): AsyncGenerator<Buffer> {
  const source = new ByteSource(chunks);
  try {
    const head = Buffer.from(await source.take(ZSTD_MAGIC.length));
    const all = remaining(head, source);
    if (head.subarray(0, GZIP_MAGIC.length).equals(GZIP_MAGIC)) {
      yield* gunzip(all);
    } else if (head.equals(ZSTD_MAGIC)) {
      yield* unzstd(all);
    } else {
      yield* all;
    }
  } finally {
    await source.close();
  }
}

/** Reads a stream to its end: a digest is that of all of it. */
export async function drain(chunks: AsyncIterator<Buffer>): Promise<void> {
  for (let step = await chunks.next(); step.done !== true; ) {
    step = await chunks.next();
  }
}
