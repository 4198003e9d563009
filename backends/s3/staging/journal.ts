import {
  closeSync,
  fdatasync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { promisify } from "node:util";
import { crc32 } from "node:zlib";
import { EIO, ENOSPC, type Status } from "../../../src/vfs/errno.js";
import { GatewayError } from "../../../src/vfs/gateway-error.js";
import {
  applyRecord,
  emptyImage,
  type JournalImage,
  type JournalRecord,
  snapshotRecords,
} from "./file-state.js";

const syncDescriptor = promisify(fdatasync);

/** First bytes of the file; the digit is the version of the format. */
const MAGIC: Buffer<ArrayBuffer> = Buffer.from("VGSTAGE1", "latin1");
/** Length and CRC-32 of what follows, 4 bytes each, little-endian. */
const FRAME_HEADER_BYTES = 8;
/** The journal is written anew when it has grown to this and to a multiple of what it says. */
const MIN_COMPACT_BYTES = 4 * 2 ** 20;
const COMPACT_FACTOR = 4;
const PRIVATE_MODE = 0o600;

/** Steps that belong together, as bytes. */
function encodeFrame(records: readonly JournalRecord[]): Buffer {
  const text = JSON.stringify(records);
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + Buffer.byteLength(text));
  frame.write(text, FRAME_HEADER_BYTES);
  const payload = frame.subarray(FRAME_HEADER_BYTES);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt32LE(crc32(payload), 4);
  return frame;
}

/** The frame at `offset`, or undefined where the journal ends: behind the last byte, or in a torn frame. */
function decodeFrame(bytes: Buffer, offset: number): { records: JournalRecord[]; end: number } | undefined {
  if (offset + FRAME_HEADER_BYTES > bytes.length) {
    return undefined;
  }
  const end = offset + FRAME_HEADER_BYTES + bytes.readUInt32LE(offset);
  const payload = bytes.subarray(offset + FRAME_HEADER_BYTES, end);
  if (end > bytes.length || crc32(payload) !== bytes.readUInt32LE(offset + 4)) {
    return undefined;
  }
  return { records: JSON.parse(payload.toString("utf8")) as JournalRecord[], end };
}

function readJournal(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === "ENOENT") {
      return Buffer.alloc(0);
    }
    throw err;
  }
}

/** @throws GatewayError when the file is none of ours */
function replay(path: string, image: JournalImage): number {
  const bytes = readJournal(path);
  const magic = bytes.subarray(0, MAGIC.length);
  if (!magic.equals(MAGIC.subarray(0, magic.length))) {
    throw new GatewayError("environment", `--staging-dir: ${path} is no journal of this version`);
  }
  let length = MAGIC.length;
  for (let frame = decodeFrame(bytes, length); frame !== undefined; frame = decodeFrame(bytes, length)) {
    for (const record of frame.records) {
      applyRecord(image, record);
    }
    length = frame.end;
  }
  return magic.length < MAGIC.length ? 0 : length;
}

/** The steps of what is staged, on the local disk. What a crash tore off at the end was never acknowledged. */
export class Journal {
  /** What all steps so far lead to. */
  readonly image: JournalImage;
  readonly #path: string;
  #fd: number;
  #length: number;
  #compactAt = MIN_COMPACT_BYTES;
  /** The journal written anew, while it is made durable; steps go to both. */
  #next: { readonly fd: number; length: number } | undefined;
  #compaction: Promise<void> = Promise.resolve();
  /** A step could not be written: the next one writes all of the journal anew. */
  #behind = false;
  #closed = false;

  private constructor(path: string, image: JournalImage, fd: number, length: number) {
    this.#path = path;
    this.image = image;
    this.#fd = fd;
    this.#length = length;
  }

  /** Opens and replays a journal, or begins one. @throws GatewayError when the file is none of ours */
  static open(path: string): Journal {
    const image = emptyImage();
    const length = replay(path, image);
    const fd = openSync(path, "a", PRIVATE_MODE);
    ftruncateSync(fd, length);
    if (length === 0) {
      writeFileSync(fd, MAGIC);
    }
    return new Journal(path, image, fd, Math.max(length, MAGIC.length));
  }

  /** Nothing is kept any more. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Takes steps, together or not at all, and keeps them. They count even when the disk does not take them: -ENOSPC or -EIO. */
  append(...records: readonly JournalRecord[]): Status {
    for (const record of records) {
      applyRecord(this.image, record);
    }
    if (this.#closed) {
      return -EIO;
    }
    if (this.#behind) {
      return this.#rewrite();
    }
    const frame = encodeFrame(records);
    try {
      this.#write(this.#fd, this.#length, frame);
      this.#length += frame.length;
      if (this.#next !== undefined) {
        this.#write(this.#next.fd, this.#next.length, frame);
        this.#next.length += frame.length;
      }
    } catch (err) {
      this.#behind = true;
      return (err as NodeJS.ErrnoException).code === "ENOSPC" ? -ENOSPC : -EIO;
    }
    if (this.#length >= this.#compactAt && this.#next === undefined) {
      this.#compaction = this.#compact();
    }
    return 0;
  }

  /** Makes all steps so far durable. */
  async sync(): Promise<Status> {
    try {
      await syncDescriptor(this.#fd);
      return 0;
    } catch {
      return -EIO;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#compaction;
    closeSync(this.#fd);
  }

  /** A frame that was written in part is taken back, so that what follows it is found. */
  #write(fd: number, length: number, frame: Buffer): void {
    try {
      for (let done = 0; done < frame.length; ) {
        done += writeSync(fd, frame, done);
      }
    } catch (err) {
      ftruncateSync(fd, length);
      throw err;
    }
  }

  #openNext(): { fd: number; length: number } {
    const fd = openSync(`${this.#path}.new`, "w", PRIVATE_MODE);
    try {
      const frames: Buffer[] = [MAGIC];
      for (const record of snapshotRecords(this.image)) {
        frames.push(encodeFrame([record]));
      }
      const bytes = Buffer.concat(frames);
      writeFileSync(fd, bytes);
      return { fd, length: bytes.length };
    } catch (err) {
      closeSync(fd);
      throw err;
    }
  }

  #switchTo(next: { readonly fd: number; readonly length: number }): void {
    renameSync(`${this.#path}.new`, this.#path);
    closeSync(this.#fd);
    this.#fd = next.fd;
    this.#length = next.length;
    this.#compactAt = Math.max(MIN_COMPACT_BYTES, next.length * COMPACT_FACTOR);
  }

  /** Steps are lost on the disk only: all that is known is written, and waited for. */
  #rewrite(): Status {
    this.#next = undefined;
    try {
      this.#switchTo(this.#openNext());
      this.#behind = false;
      return 0;
    } catch (err) {
      return (err as NodeJS.ErrnoException).code === "ENOSPC" ? -ENOSPC : -EIO;
    }
  }

  /** Writes the journal anew. Failing leaves the old one, which is as good. */
  async #compact(): Promise<void> {
    let next: { fd: number; length: number };
    try {
      next = this.#openNext();
    } catch {
      this.#compactAt = this.#length * 2;
      return;
    }
    this.#next = next;
    try {
      await syncDescriptor(next.fd);
      if (this.#next === next && !this.#behind) {
        this.#switchTo(next);
        return;
      }
    } catch {
      this.#compactAt = this.#length * 2;
    } finally {
      if (this.#next === next) {
        this.#next = undefined;
      }
    }
    closeSync(next.fd);
  }
}
