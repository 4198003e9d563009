import { GatewayError } from "../vfs/gateway-error.js";
import type { BoundFile } from "../vfs/node.js";
import { addon } from "./addon.js";
import { closeDescriptor } from "./socket.js";

/**
 * Where things lie in a request slot; native/virtio/slot_layout.h has the same numbers. Word offsets
 * are in 32-bit units from the start of the slot.
 */
export const Slot = {
  WORDS: 1024,
  BYTES: 4096,
  COUNT: 2048,
  /** Bytes the request claims, header included. */
  REQUEST_LENGTH_WORD: 0,
  /** Bytes the guest can receive, header included. */
  REPLY_CAPACITY_WORD: 1,
  QUEUE_WORD: 2,
  /** Byte in the slot where the reply's body begins. */
  REPLY_OFFSET_WORD: 3,
  REQUEST_BYTE: 64,
  REQUEST_WORD: 16,
  /** Bytes of a request that are in the slot; the rest is fetched with {@link Lane.readRequest}. */
  REQUEST_BYTES: 1984,
  REPLY_BYTE: 2048,
  REPLY_WORD: 512,
  REPLY_BYTES: 2048,
} as const;

/** Results of a request other than the length of its body or a negative errno. */
export const LaneResult = {
  /** The answer comes later, by {@link Lane.complete}. */
  PENDING: -0x8000_0000,
  /** The chain goes back to the guest without an answer (FORGET). */
  NO_REPLY: -0x7fff_ffff,
  /** The file of this READ or WRITE was bound just now: native code serves it. */
  TRANSFER: -0x7fff_fffe,
  /** Added to a length: the body is in guest memory already ({@link Lane.writeBody}). */
  BODY_IN_PLACE: 0x4000_0000,
} as const;

/** What the lane reports beside requests. */
export const LaneEvent = {
  /** A queue was stopped because its ring made no sense. */
  RING_BROKEN: 1,
  /** Memory that the front-end shared has vanished. */
  MEMORY_FAULT: 2,
  /** The guest kicks, but what it writes does not reach us: its memory is not shared. */
  PRIVATE_MEMORY: 3,
} as const;

/** Queues a lane can have: hiprio and 64 request queues. */
export const MAX_QUEUES = 65;

/** A region of guest memory; addresses and sizes in bytes. */
export interface MemoryRegion {
  readonly fd: number;
  readonly guestAddress: bigint;
  readonly size: bigint;
  /** Address in the front-end's process; ring addresses are given in these. */
  readonly userAddress: bigint;
  readonly fileOffset: bigint;
}

/** Where a ring lies and where it goes on. */
export interface RingSetup {
  readonly size: number;
  readonly descriptors: bigint;
  readonly available: bigint;
  readonly used: bigint;
  /** Index of the next available entry. */
  readonly base: number;
  /** VIRTIO_RING_F_EVENT_IDX was negotiated. */
  readonly eventIndex: boolean;
  /** VIRTIO_RING_F_INDIRECT_DESC was negotiated: a request takes one descriptor of the ring. */
  readonly indirect: boolean;
}

/** Counters of a queue. */
export interface QueueStatistics {
  readonly requests: number;
  readonly malformed: number;
  readonly kicks: number;
  readonly signals: number;
  /** Reads and writes that native code answered by itself. */
  readonly transfers: number;
}

/**
 * Numbers the guest was given for a handle and its node, and the flags it was opened with. Generation 0 stands for no
 * number: the guest names the node alone.
 */
export interface HandlePlace {
  readonly index: number;
  readonly generation: number;
  readonly nodeLow: number;
  readonly nodeHigh: number;
  readonly openFlags: number;
}

interface LaneBinding {
  readonly slots: ArrayBuffer;
  readonly batch: ArrayBuffer;
  readonly results: ArrayBuffer;
  setHandlers(onBatch: (count: number) => void, onEvent: (kind: number, queue: number) => void): void;
  addRegion(fd: number, guest: bigint, size: bigint, user: bigint, fileOffset: bigint): number;
  setRegions(fds: Int32Array, fields: BigUint64Array): number;
  removeRegion(guest: bigint, size: bigint, user: bigint): number;
  startQueue(
    queue: number,
    size: number,
    descriptors: bigint,
    available: bigint,
    used: bigint,
    base: number,
    eventIndex: boolean,
  ): number;
  setKick(queue: number, fd: number): number;
  setCall(queue: number, fd: number): void;
  setError(queue: number, fd: number): void;
  setEnabled(queue: number, enabled: boolean): void;
  quiesce(queue: number): void;
  detach(queue: number): number;
  abandon(queue: number): void;
  inFlight(queue: number): number;
  isAlone(): boolean;
  statistics(queue: number, into: Float64Array): void;
  complete(slot: number, result: number): void;
  readRequest(slot: number, offset: number, into: Uint8Array): number;
  writeBody(slot: number, from: Uint8Array, length: number): boolean;
  bindDescriptor(
    handle: number,
    generation: number,
    nodeLow: number,
    nodeHigh: number,
    accessMode: number,
    fd: number,
  ): void;
  bindArena(
    handle: number,
    generation: number,
    nodeLow: number,
    nodeHigh: number,
    accessMode: number,
    arena: object,
    file: number,
    append: boolean,
    keepAtime: boolean,
  ): void;
  bindPartial(
    handle: number,
    generation: number,
    nodeLow: number,
    nodeHigh: number,
    accessMode: number,
    file: object,
  ): void;
  unbind(handle: number): void;
  close(): void;
}

/** Settings of a lane. */
export interface LaneOptions {
  /** How long to poll for the next request before sleeping, in microseconds; 0 disables polling. */
  readonly spinUs: number;
  /** Threads for calls that may block; 0 takes the default. */
  readonly ioThreads: number;
}

/**
 * The path of requests between the virtqueues and JavaScript. One per share; everything happens on the
 * thread that made it. `queue` arguments are below {@link MAX_QUEUES}: the caller checks.
 * Methods that configure answer with an errno value (0: done); descriptors passed are taken over.
 */
export class Lane {
  /** All request slots as words, and as bytes. */
  readonly words: Uint32Array;
  readonly bytes: Buffer;
  /** Slots of the batch that is being answered, and the result of each. */
  readonly batch: Uint32Array;
  readonly results: Int32Array;
  readonly #binding: LaneBinding;
  readonly #holdLimits: number[] = [];
  #lastQueue = 0;

  /** @throws GatewayError when there is no memory for the request slots */
  constructor(options: LaneOptions) {
    const create = (addon as { createLane(spinNs: number, ioThreads: number): LaneBinding | undefined })
      .createLane;
    const binding = create(options.spinUs * 1000, options.ioThreads);
    if (binding === undefined) {
      throw new GatewayError("environment", "no memory for request slots");
    }
    this.#binding = binding;
    this.words = new Uint32Array(binding.slots);
    this.bytes = Buffer.from(binding.slots);
    this.batch = new Uint32Array(binding.batch);
    this.results = new Int32Array(binding.results);
  }

  /** Whom to call with a batch of requests, and with {@link LaneEvent}s. */
  setHandlers(onBatch: (count: number) => void, onEvent: (kind: number, queue: number) => void): void {
    this.#binding.setHandlers(onBatch, onEvent);
  }

  /** Replaces the memory table. */
  setRegions(regions: readonly MemoryRegion[]): number {
    const fields = new BigUint64Array(regions.length * 4);
    regions.forEach((region, index) => {
      fields.set([region.guestAddress, region.size, region.userAddress, region.fileOffset], index * 4);
    });
    return this.#binding.setRegions(
      Int32Array.from(regions, (region) => region.fd),
      fields,
    );
  }

  addRegion(region: MemoryRegion): number {
    const { fd, guestAddress, size, userAddress, fileOffset } = region;
    return this.#binding.addRegion(fd, guestAddress, size, userAddress, fileOffset);
  }

  /** ENOENT when there is no such region. */
  removeRegion(guestAddress: bigint, size: bigint, userAddress: bigint): number {
    return this.#binding.removeRegion(guestAddress, size, userAddress);
  }

  /**
   * Starts taking requests from a ring. One that goes on where {@link detach} left it gets the answers to what was
   * in flight then; with any other ring these are void. EINVAL: size or alignment; EFAULT: outside guest memory.
   */
  startQueue(queue: number, ring: RingSetup): number {
    const { size, descriptors, available, used, base, eventIndex, indirect } = ring;
    // Linux takes three descriptors for a small request unless it may use an indirect table.
    this.#holdLimits[queue] = Math.floor(size / (indirect ? 2 : 6));
    this.#lastQueue = Math.max(this.#lastQueue, queue);
    return this.#binding.startQueue(queue, size, descriptors, available, used, base, eventIndex);
  }

  /** fd -1: none. */
  setKick(queue: number, fd: number): number {
    return this.#binding.setKick(queue, fd);
  }

  setCall(queue: number, fd: number): void {
    this.#binding.setCall(queue, fd);
  }

  setError(queue: number, fd: number): void {
    this.#binding.setError(queue, fd);
  }

  setEnabled(queue: number, enabled: boolean): void {
    this.#binding.setEnabled(queue, enabled);
  }

  /** Takes no more requests from the queue; answers still go out. */
  quiesce(queue: number): void {
    this.#binding.quiesce(queue);
  }

  /** Lets go of the ring; later answers wait for it to go on. @returns the index of the next available entry */
  detach(queue: number): number {
    return this.#binding.detach(queue);
  }

  /** Voids the queue's requests that are not answered: their answers are dropped. */
  abandon(queue: number): void {
    this.#binding.abandon(queue);
  }

  /** Requests of the queue that are not answered. */
  inFlight(queue: number): number {
    return this.#binding.inFlight(queue);
  }

  /** Exactly one request of all queues is not answered, and none waits to be taken. */
  isAlone(): boolean {
    return this.#binding.isAlone();
  }

  /**
   * How many requests of the queue may be held for long, so that half of its descriptors are left for
   * others: those that end the waiting must get through.
   */
  holdLimit(queue: number): number {
    return this.#holdLimits[queue] ?? Slot.COUNT / 2;
  }

  /** The highest index of a queue that was ever started. */
  get lastQueue(): number {
    return this.#lastQueue;
  }

  statistics(queue: number): QueueStatistics {
    const numbers = new Float64Array(5);
    this.#binding.statistics(queue, numbers);
    const [requests = 0, malformed = 0, kicks = 0, signals = 0, transfers = 0] = numbers;
    return { requests, malformed, kicks, signals, transfers };
  }

  /** Answers a request whose result was PENDING. */
  complete(slot: number, result: number): void {
    this.#binding.complete(slot, result);
  }

  /** Copies the request's bytes from `offset` (0 is the header) into `into`; returns how many there were. */
  readRequest(slot: number, offset: number, into: Uint8Array): number {
    return this.#binding.readRequest(slot, offset, into);
  }

  /** Writes the reply's body, the first `length` bytes of `from`, to guest memory; false when it does not fit. */
  writeBody(slot: number, from: Uint8Array, length: number): boolean {
    return this.#binding.writeBody(slot, from, length);
  }

  /** From now on native code answers READ and WRITE of this handle and node, as far as its open(2) flags allow. */
  bind(handle: HandlePlace, file: BoundFile): void {
    const { index, generation, nodeLow, nodeHigh, openFlags } = handle;
    if (file.kind === "descriptor") {
      this.#binding.bindDescriptor(index, generation, nodeLow, nodeHigh, openFlags, file.fd);
    } else if (file.kind === "partial") {
      this.#binding.bindPartial(index, generation, nodeLow, nodeHigh, openFlags, file.file);
    } else {
      const { arena, append, keepAtime } = file;
      this.#binding.bindArena(
        ...([index, generation, nodeLow, nodeHigh, openFlags] as const),
        ...([arena, file.file, append, keepAtime] as const),
      );
    }
  }

  /** Gives up a bound file that was never bound. */
  discard(file: BoundFile): void {
    if (file.kind === "descriptor") {
      closeDescriptor(file.fd);
    }
  }

  unbind(handle: number): void {
    this.#binding.unbind(handle);
  }

  /** Stops everything. */
  close(): void {
    this.#binding.close();
  }
}
