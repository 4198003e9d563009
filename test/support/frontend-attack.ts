import { expect } from "vitest";
import {
  ATTR_OUT_BYTES,
  type Client,
  DESC_BYTES,
  DESC_WRITE,
  type Descriptor,
  encodeInHeader,
  IN_HEADER_BYTES,
  native,
  Opcode,
  OUT_HEADER_BYTES,
  type Range,
  ROOT,
  type Used,
  type Virtqueue,
} from "./frontend/index.js";

export const REQUEST_BYTES = IN_HEADER_BYTES + 16;
export const REPLY_BYTES = OUT_HEADER_BYTES + ATTR_OUT_BYTES;
const UNIQUE = 4711n;

/**
 * One malformed chain on queue 1: a well-formed GETATTR in guest memory, from which the descriptors
 * of the attack are made, and the check that the server writes nowhere but into the reply's buffer.
 */
export class Attack {
  readonly fs: Client;
  readonly queue: Virtqueue;
  /** Descriptors of the whole request and of its reply buffer. */
  readonly request: Descriptor;
  readonly reply: Descriptor;
  readonly requestRange: Range;
  readonly replyRange: Range;

  constructor(fs: Client, options: { headerLength?: number } = {}) {
    const { memory, queues } = fs.frontend;
    const [, queue] = queues;
    if (queue === undefined) throw new Error("no queue 1");
    this.fs = fs;
    this.queue = queue;
    const header = encodeInHeader({
      length: options.headerLength ?? REQUEST_BYTES,
      opcode: Opcode.GETATTR,
      unique: UNIQUE,
      nodeid: ROOT,
      credentials: fs.credentials,
      extensionUnits: 0,
    });
    this.requestRange = memory.store(Buffer.concat([header, Buffer.alloc(16)]));
    this.replyRange = memory.allocate(REPLY_BYTES);
    this.request = this.#describe(this.requestRange, 0);
    this.reply = this.#describe(this.replyRange, DESC_WRITE);
  }

  #describe({ offset, length }: Range, flags: number): Descriptor {
    return { address: this.fs.frontend.memory.guestAddress(offset), length, flags };
  }

  /** Bytes from `start` on of one of the two descriptors. */
  part(of: Descriptor, start: number, length: number): Descriptor {
    return { ...of, address: of.address + BigInt(start), length };
  }

  /** First address behind guest memory. */
  get end(): bigint {
    return this.fs.frontend.memory.endAddress;
  }

  /** Stores an indirect table exactly as given; returns its address. */
  table(entries: readonly Descriptor[]): bigint {
    const bytes = Buffer.alloc(entries.length * DESC_BYTES);
    entries.forEach(({ address, length, flags, next = 0 }, i) => {
      bytes.writeBigUInt64LE(BigInt.asUintN(64, address), i * DESC_BYTES);
      bytes.writeUInt32LE(length, i * DESC_BYTES + 8);
      bytes.writeUInt16LE(flags, i * DESC_BYTES + 12);
      bytes.writeUInt16LE(next, i * DESC_BYTES + 14);
    });
    const { memory } = this.fs.frontend;
    return memory.guestAddress(memory.store(bytes).offset);
  }

  /** Writes descriptors to the ring's table from entry 0 on, as they are, and publishes head 0. */
  publish(entries: readonly Descriptor[]): void {
    entries.forEach((entry, i) => {
      this.queue.writeDescriptor(i, entry);
    });
    this.queue.publish(0);
  }

  /** Runs the attack up to the element that comes back on the used ring. */
  send(entries: readonly Descriptor[]): Used {
    const changed = this.#watch();
    this.publish(entries);
    this.queue.forceKick();
    expect(this.fs.frontend.waitUsed(this.queue)).toBe("used");
    const used = this.queue.take() as Used;
    expect(used.head).toBe(0);
    expect(changed(), "guest memory changed outside the offered buffers").toBe(-1);
    return used;
  }

  #watch(): () => number {
    const { memory, queues } = this.fs.frontend;
    const rings = queues.flatMap((queue) => [queue.descriptors, queue.available, queue.used]);
    return memory.watch([...rings, this.replyRange]);
  }

  /** Publishes something that breaks the ring and waits until the server says so. */
  breakRing(publish: (queue: Virtqueue) => void): void {
    const changed = this.#watch();
    native.eventTake(this.queue.errorFd);
    publish(this.queue);
    this.queue.forceKick();
    const waiting = [this.queue.errorFd, this.fs.frontend.channel.fd];
    expect(native.waitReadable(waiting, this.fs.frontend.options.timeoutMs)).toBe(1);
    expect(changed(), "guest memory changed outside the offered buffers").toBe(-1);
  }

  /** Error number in the reply buffer; positive. */
  get replyErrno(): number {
    const bytes = this.fs.frontend.memory.view(this.replyRange);
    expect(bytes.readBigUInt64LE(8)).toBe(UNIQUE);
    return Math.abs(bytes.readInt32LE(4));
  }
}
