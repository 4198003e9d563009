import { closeSync, constants, fstatSync, openSync, readSync, unlinkSync } from "node:fs";
import { posix } from "../../../src/native/posix.js";
import { type Awaitable, EIO, ENOENT, type Status } from "../../../src/vfs/errno.js";
import type { OpenLocalFile } from "./staging.js";

const PRIVATE_MODE = 0o600;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;
/** Writes are done at once until the kernel throttles them; then the I/O pool waits for a while. */
const SLOW_WRITE_MS = 2;
const AFTER_SLOW_WRITE_MS = 100;

/** So little of what was written so lately is read at once: the kernel has it in memory. */
const QUICK_BYTES = 128 * 1024;
const IN_MEMORY_MS = 10_000;

/** Of the process, as the kernel throttles all of it. */
let inlineWritesFromMs = 0;

function readNow(fd: number, into: Uint8Array, offset: number): number {
  try {
    return readSync(fd, into, 0, into.length, offset);
  } catch (err) {
    return (err as NodeJS.ErrnoException).errno ?? -EIO;
  }
}

/** The data of a staged file: a sparse file of its own, made by the first write. */
export class LocalData {
  readonly #path: string;
  #fd = -1;
  #exists: boolean;
  #inUse = 0;
  /** In ms of performance.now(). */
  #writtenMs = Number.NEGATIVE_INFINITY;
  #closing = false;

  /** `exists` when a gateway before has left the file. */
  constructor(path: string, exists: boolean) {
    this.#path = path;
    this.#exists = exists;
  }

  /** Bytes up to the end of the file. */
  stat(): { size: number; modifiedMs: number } | undefined {
    const fd = this.#exists ? this.#open() : -1;
    if (fd < 0) {
      return undefined;
    }
    const { size, mtimeMs } = fstatSync(fd);
    return { size, modifiedMs: mtimeMs };
  }

  /** All of `from`, unless an error comes in between; the count of bytes or a negative errno. */
  write(offset: number, from: Uint8Array): Awaitable<Status> {
    const fd = this.#open();
    const start = performance.now();
    this.#writtenMs = start;
    if (fd < 0 || start >= inlineWritesFromMs) {
      const count = fd < 0 ? fd : posix.write(fd, from, offset, 0);
      const end = performance.now();
      if (end - start > SLOW_WRITE_MS) {
        inlineWritesFromMs = end + AFTER_SLOW_WRITE_MS;
      }
      return count;
    }
    return this.#using(posix.writeSlowly(fd, from, offset, 0));
  }

  /** Fills `into`, with zeros behind the end of the file. Returns 0 or a negative errno. */
  async read(offset: number, into: Uint8Array): Promise<Status> {
    const fd = this.#exists ? this.#open() : -ENOENT;
    if (fd === -ENOENT) {
      into.fill(0);
      return 0;
    }
    let done = 0;
    while (fd >= 0 && done < into.length) {
      const piece = into.subarray(done);
      const isQuick = piece.length <= QUICK_BYTES && performance.now() - this.#writtenMs < IN_MEMORY_MS;
      const count = isQuick
        ? readNow(fd, piece, offset + done)
        : await this.#using(posix.readSlowly(fd, piece, offset + done));
      if (count < 0) {
        return count;
      }
      if (count === 0) {
        into.fill(0, done);
        break;
      }
      done += count;
    }
    return Math.min(fd, 0);
  }

  /** Sets the size. */
  truncate(size: number): Awaitable<Status> {
    const fd = this.#open();
    return fd < 0 ? fd : this.#using(posix.truncateSlowly(fd, BigInt(size), 1, 0));
  }

  /** Gives the range back to the disk: it reads as zeros. */
  punch(offset: number, length: number): Awaitable<Status> {
    const fd = this.#exists ? this.#open() : -ENOENT;
    if (fd < 0) {
      return fd === -ENOENT ? 0 : fd;
    }
    const mode = FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE;
    return this.#using(posix.fallocate(fd, mode, BigInt(offset), BigInt(length), 0));
  }

  /** The next offset with data or without, as lseek(2) finds it in this file; undefined behind the last one. */
  seek(offset: number, whence: number): number | undefined {
    const fd = this.#exists ? this.#open() : -1;
    const found = fd < 0 ? -1 : posix.seek(fd, BigInt(offset), whence);
    return typeof found === "bigint" ? Number(found) : undefined;
  }

  sync(): Awaitable<Status> {
    return this.#exists ? this.#using(posix.fsync(this.#open(), 1)) : 0;
  }

  /** Gives the descriptor back; the next call opens the file again. */
  close(): void {
    this.#closing = this.#inUse > 0;
    if (!this.#closing && this.#fd >= 0) {
      closeSync(this.#fd);
      this.#fd = -1;
    }
  }

  /** Has `take` rename the file and use its descriptor. @returns whether it did */
  handOver(take: (file: OpenLocalFile) => boolean): boolean {
    const fd = this.#inUse === 0 && this.#fd >= 0 ? this.#fd : undefined;
    const isTaken = this.#exists && take({ path: this.#path, fd });
    if (isTaken) {
      this.#exists = false;
      this.#fd = fd === undefined ? this.#fd : -1;
    }
    this.close();
    return isTaken;
  }

  /** Deletes the file. */
  remove(): void {
    this.close();
    if (this.#exists) {
      this.#exists = false;
      try {
        unlinkSync(this.#path);
      } catch {
        // Whoever cleaned up the directory was faster; the next start deletes what no journal knows.
      }
    }
  }

  /** @returns the descriptor or a negative errno */
  #open(): number {
    this.#closing = false;
    if (this.#fd < 0) {
      try {
        const create = this.#exists ? 0 : constants.O_CREAT | constants.O_TRUNC;
        this.#fd = openSync(this.#path, constants.O_RDWR | create, PRIVATE_MODE);
        this.#exists = true;
      } catch (err) {
        return (err as NodeJS.ErrnoException).errno ?? -EIO;
      }
    }
    return this.#fd;
  }

  async #using(call: Promise<number>): Promise<number> {
    this.#inUse++;
    try {
      return await call;
    } finally {
      this.#inUse--;
      if (this.#closing) {
        this.close();
      }
    }
  }
}
