import { ConnectionClosed } from "./channel.js";
import type { Frontend } from "./frontend.js";
import { IN_HEADER_BYTES, Opcode, OUT_HEADER_BYTES } from "./fuse-abi.js";
import { Body } from "./fuse-codec.js";
import type { Credentials, ErrnoName } from "./fuse-types.js";
import type { Range } from "./guest-memory.js";
import { errnoName } from "./native.js";
import type { Virtqueue } from "./virtqueue.js";

/** How a request is put on a queue; all of it optional. */
export interface RequestOptions {
  /** Index of the queue. Default 1, the first request queue. */
  readonly queue?: number;
  readonly credentials?: Credentials;
  /**
   * How the bytes are spread over descriptors. "split" (the default): header and body apart, each way;
   * "merged": one descriptor each way; a number: pieces of so many bytes, whatever they hold.
   */
  readonly framing?: "split" | "merged" | number;
  /** With framing "split": cuts the body and the reply's body into descriptors of this size. */
  readonly segmentBytes?: number;
  /** Takes buffers from descending addresses, so that they cannot be merged. */
  readonly scatter?: boolean;
  /** in_header.len, where it shall not be the true length. */
  readonly headerLength?: number;
  /** in_header.total_extlen in units of 8 bytes; the extensions are the end of the body. */
  readonly extensionUnits?: number;
  /** Publish without a kick. Default false. */
  readonly noKick?: boolean;
}

export interface Reply {
  readonly error: ErrnoName | null;
  /** 0 or the positive error number. */
  readonly errno: number;
  /** What follows the header. */
  readonly body: Buffer;
}

/** A request in flight. */
export interface Ticket {
  readonly opcode: number;
  readonly unique: bigint;
  readonly queue: Virtqueue;
  readonly readable: readonly Range[];
  readonly writable: readonly Range[];
  /** Set when the server is done: the length in the used ring. */
  usedLength: number | undefined;
}

/** Requests that Linux sends a supplementary group with. */
const CREATIONS: ReadonlySet<number> = new Set([
  Opcode.CREATE,
  Opcode.TMPFILE,
  Opcode.MKNOD,
  Opcode.MKDIR,
  Opcode.SYMLINK,
]);
const EXTENSION_UNIT_BYTES = 8;
const EXTENSION_GROUPS = 32;

/** struct fuse_ext_header and struct fuse_supp_groups with one group. */
function encodeGroup(group: number): Buffer {
  return new Body().u32(16, EXTENSION_GROUPS, 1, group).bytes;
}

/** The server broke the protocol: a wrong unique, a length that does not fit. */
export class ProtocolViolation extends Error {
  override readonly name = "ProtocolViolation";
}

/** Puts FUSE requests on queues and takes the replies, in any order. */
export class FuseTransport {
  readonly frontend: Frontend;
  /** Used for requests that name no other. */
  credentials: Credentials = { uid: 0, gid: 0, pid: 1 };
  /** A supplementary group of the caller's that goes along with creations (CREATE_SUPP_GROUP). */
  supplementaryGroup: number | undefined;
  #unique = 0n;
  readonly #inFlight = new Map<Virtqueue, Map<number, Ticket>>();

  constructor(frontend: Frontend) {
    this.frontend = frontend;
  }

  /** Forgets all requests in flight, after a reboot or a restart of their queue. */
  abandon(): void {
    this.#inFlight.clear();
  }

  /**
   * Queues a request and returns at once. `replyCapacity` is the writable space offered in bytes,
   * reply header included; 0 means none.
   */
  submit(
    opcode: number,
    nodeid: bigint,
    body: Buffer,
    replyCapacity: number,
    options: RequestOptions = {},
  ): Ticket {
    const queue = this.frontend.queues[options.queue ?? 1];
    if (queue === undefined) throw new RangeError(`there is no queue ${options.queue}`);
    this.#unique += 2n;
    const group = CREATIONS.has(opcode) ? this.supplementaryGroup : undefined;
    const extensions = group === undefined ? Buffer.alloc(0) : encodeGroup(group);
    const extensionUnits = options.extensionUnits ?? extensions.length / EXTENSION_UNIT_BYTES;
    const length = body.length + extensions.length;
    const header = this.#header(opcode, nodeid, length, { ...options, extensionUnits });
    const request = Buffer.concat([header, body, extensions]);
    const readable = this.#allocate(IN_HEADER_BYTES, request.length, options);
    this.#fill(readable, request);
    const writable = this.#allocate(OUT_HEADER_BYTES, replyCapacity, options);
    this.#fill(writable, Buffer.alloc(replyCapacity, 0xa5));
    const ticket: Ticket = {
      opcode,
      unique: this.#unique,
      queue,
      readable,
      writable,
      usedLength: undefined,
    };
    this.#ticketsOf(queue).set(queue.add(readable, writable), ticket);
    if (options.noKick !== true) queue.kick();
    return ticket;
  }

  #ticketsOf(queue: Virtqueue): Map<number, Ticket> {
    const tickets = this.#inFlight.get(queue) ?? new Map<number, Ticket>();
    this.#inFlight.set(queue, tickets);
    return tickets;
  }

  #header(opcode: number, nodeid: bigint, bodyBytes: number, options: RequestOptions): Buffer {
    return encodeInHeader({
      length: options.headerLength ?? IN_HEADER_BYTES + bodyBytes,
      opcode,
      unique: this.#unique,
      nodeid,
      credentials: options.credentials ?? this.credentials,
      extensionUnits: options.extensionUnits ?? 0,
    });
  }

  #allocate(headerBytes: number, totalBytes: number, options: RequestOptions): Range[] {
    const { memory } = this.frontend;
    const ranges = descriptorLengths(headerBytes, totalBytes, options).map((length) =>
      memory.allocate(length),
    );
    return options.scatter === true ? descending(ranges) : ranges;
  }

  #fill(ranges: readonly Range[], bytes: Buffer): void {
    let done = 0;
    for (const range of ranges) {
      this.frontend.memory.view(range).set(bytes.subarray(done, done + range.length));
      done += range.length;
    }
  }

  /** Takes everything that is done on a queue and marks its tickets. */
  collect(queue: Virtqueue): number {
    let count = 0;
    for (let used = queue.take(); used !== undefined; used = queue.take()) {
      const tickets = this.#ticketsOf(queue);
      const ticket = tickets.get(used.head);
      if (ticket === undefined) throw new ProtocolViolation(`used head ${used.head} is not in flight`);
      tickets.delete(used.head);
      ticket.usedLength = used.length;
      count++;
    }
    return count;
  }

  /** Whether a request is done within `timeoutMs`. Other requests of its queue are collected too. */
  waitUsed(ticket: Ticket, timeoutMs = this.frontend.options.timeoutMs): boolean {
    const deadline = Date.now() + timeoutMs;
    while (ticket.usedLength === undefined) {
      if (this.collect(ticket.queue) > 0) continue;
      const left = deadline - Date.now();
      const state = this.frontend.waitUsed(ticket.queue, Math.max(0, left));
      if (state === "closed") throw new ConnectionClosed(`closed during opcode ${ticket.opcode}`);
      if (state === "timeout") return false;
    }
    return true;
  }

  /** Waits for a reply, checks its form, and gives the buffers back. */
  wait(ticket: Ticket, timeoutMs = this.frontend.options.timeoutMs): Reply {
    if (!this.waitUsed(ticket, timeoutMs)) {
      throw new Error(`no answer to opcode ${ticket.opcode} within ${timeoutMs} ms`);
    }
    const { memory } = this.frontend;
    const raw = Buffer.concat(ticket.writable.map((range) => memory.view(range)));
    for (const range of [...ticket.readable, ...ticket.writable]) memory.release(range);
    if (ticket.opcode === Opcode.FORGET || ticket.opcode === Opcode.BATCH_FORGET) {
      if (ticket.usedLength !== 0) throw new ProtocolViolation("a FORGET was answered");
      return { error: null, errno: 0, body: Buffer.alloc(0) };
    }
    return decodeReply(ticket, raw);
  }

  /** Sends a request and waits for its reply. */
  request(
    opcode: number,
    nodeid: bigint,
    body: Buffer,
    replyCapacity: number,
    options: RequestOptions = {},
  ): Reply {
    return this.wait(this.submit(opcode, nodeid, body, replyCapacity, options));
  }
}

export interface InHeader {
  readonly length: number;
  readonly opcode: number;
  readonly unique: bigint;
  readonly nodeid: bigint;
  readonly credentials: Credentials;
  readonly extensionUnits: number;
}

/** struct fuse_in_header. */
export function encodeInHeader(header: InHeader): Buffer {
  const { uid, gid, pid } = header.credentials;
  return new Body()
    .u32(header.length, header.opcode)
    .u64(header.unique, header.nodeid)
    .u32(uid, gid, pid, header.extensionUnits).bytes;
}

function descriptorLengths(
  headerBytes: number,
  totalBytes: number,
  { framing = "split", segmentBytes }: RequestOptions,
): number[] {
  if (framing === "merged") return pieces(totalBytes, totalBytes);
  if (framing !== "split") return pieces(totalBytes, framing);
  const header = Math.min(headerBytes, totalBytes);
  const rest = totalBytes - header;
  return [...pieces(header, header), ...pieces(rest, segmentBytes ?? rest)];
}

/** Gives equally long neighbours to each other in reverse, which leaves the lengths in order. */
function descending(ranges: readonly Range[]): Range[] {
  const sorted: Range[] = [];
  for (let start = 0; start < ranges.length; ) {
    const length = ranges[start]?.length;
    let end = start;
    while (ranges[end]?.length === length) end++;
    sorted.push(...ranges.slice(start, end).reverse());
    start = end;
  }
  return sorted;
}

function pieces(totalBytes: number, pieceBytes: number): number[] {
  const lengths: number[] = [];
  for (let left = totalBytes; left > 0; left -= pieceBytes) {
    lengths.push(Math.min(left, pieceBytes));
  }
  return lengths;
}

function decodeReply(ticket: Ticket, raw: Buffer): Reply {
  const fail = (what: string) => new ProtocolViolation(`reply to opcode ${ticket.opcode}: ${what}`);
  const used = ticket.usedLength as number;
  if (used < OUT_HEADER_BYTES || used > raw.length) throw fail(`used length ${used}`);
  const length = raw.readUInt32LE(0);
  const error = raw.readInt32LE(4);
  if (length !== used) throw fail(`length ${length}, used length ${used}`);
  if (raw.readBigUInt64LE(8) !== ticket.unique) throw fail("another unique");
  if (error > 0 || error < -4095) throw fail(`error ${error}`);
  if (error !== 0 && length !== OUT_HEADER_BYTES) throw fail(`error ${error} with a body`);
  return {
    error: error === 0 ? null : errnoName(error),
    errno: -error,
    body: Buffer.from(raw.subarray(OUT_HEADER_BYTES, length)),
  };
}
