import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import type { TarSink } from "./writer.js";

const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);
const READ_BYTES = 1 << 20;
const PRIVATE_MODE = 0o600;

/** Writes all of `bytes` at the end of a file. */
async function append(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done);
    done += bytesWritten;
  }
}

/** Runs `write` with a sink in front of a file, compressing when the name asks for it. */
async function writeThrough(
  file: FileHandle,
  compress: boolean,
  write: (sink: TarSink) => Promise<void>,
): Promise<void> {
  if (!compress) {
    await write((bytes) => append(file, bytes));
    return;
  }
  const gzip = createGzip();
  const written = pipeline(gzip, async (packed: AsyncIterable<Buffer>) => {
    for await (const bytes of packed) {
      await append(file, bytes);
    }
  });
  // A failure of the file ends the compressor, which ends the writing; the pipeline says why.
  const sink: TarSink = (bytes) =>
    new Promise((resolve, reject) => {
      gzip.write(bytes, (err) => (err ? reject(err) : resolve()));
    });
  const fed = write(sink).then(
    () => gzip.end(),
    (err: unknown) => gzip.destroy(err instanceof Error ? err : new Error(String(err))),
  );
  await Promise.all([written, fed]);
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/**
 * Writes an archive, compressed when its name ends in .gz or .tgz. It appears under its name complete, and
 * readable by its owner alone, or not at all.
 * @throws a system error, or what `write` throws
 */
export async function writeArchive(path: string, write: (sink: TarSink) => Promise<void>): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path).slice(0, 200)}.${process.pid}.tmp`);
  const file = await open(temporary, "wx", PRIVATE_MODE);
  try {
    try {
      await writeThrough(file, /\.(gz|tgz)$/.test(path), write);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (err) {
    await unlink(temporary).catch(() => undefined);
    throw err;
  }
  await syncDirectory(dirname(path));
}

async function isCompressed(file: FileHandle): Promise<boolean> {
  const head = Buffer.alloc(GZIP_MAGIC.length);
  await file.read(head, 0, head.length, 0);
  return head.equals(GZIP_MAGIC);
}

/** The bytes of an archive, unpacked when gzip has compressed it. */
export async function* readArchive(path: string): AsyncGenerator<Buffer> {
  const file = await open(path);
  const compressed = await isCompressed(file);
  const raw = createReadStream(path, { fd: file, start: 0, highWaterMark: READ_BYTES });
  try {
    if (!compressed) {
      yield* raw;
      return;
    }
    const unpacked = createGunzip({ chunkSize: READ_BYTES });
    raw.on("error", (err) => unpacked.destroy(err));
    yield* raw.pipe(unpacked);
  } finally {
    raw.destroy();
  }
}
