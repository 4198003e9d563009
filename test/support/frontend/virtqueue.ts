import type { GuestMemory, Range } from "./guest-memory.js";
import { checked, native } from "./native.js";

export const DESC_NEXT = 1;
export const DESC_WRITE = 2;
export const DESC_INDIRECT = 4;
export const DESC_BYTES = 16;
const NO_INTERRUPT = 1;
const NO_NOTIFY = 1;

/** A descriptor as the ring holds it; nothing is checked, so that it can be malformed. */
export interface Descriptor {
  readonly address: bigint;
  readonly length: number;
  readonly flags: number;
  readonly next?: number;
}

/** An element of the used ring. */
export interface Used {
  /** Head of the chain that the server is done with. */
  readonly head: number;
  /** Bytes it says it has written. */
  readonly length: number;
}

export interface VirtqueueOptions {
  readonly index: number;
  readonly size: number;
  readonly indirect: boolean;
  readonly eventIndex: boolean;
}

/** A split virtqueue, driver side. */
export class Virtqueue {
  readonly index: number;
  readonly size: number;
  readonly eventIndex: boolean;
  readonly kickFd: number;
  readonly callFd: number;
  readonly errorFd: number;
  readonly descriptors: Range;
  readonly available: Range;
  readonly used: Range;
  /** Where the server goes on when the ring starts: what it said when it stopped. */
  base = 0;
  readonly #memory: GuestMemory;
  readonly #indirect: boolean;
  #availableIndex = 0;
  #kickedIndex = 0;
  #usedIndex = 0;
  #free: number[] = [];
  /** By head: the descriptors of the chain and its indirect table. */
  readonly #chains = new Map<number, { indexes: number[]; table: Range | undefined }>();

  constructor(memory: GuestMemory, options: VirtqueueOptions) {
    this.#memory = memory;
    this.index = options.index;
    this.size = options.size;
    this.#indirect = options.indirect;
    this.eventIndex = options.eventIndex;
    this.kickFd = checked(native.eventCreate(), "eventfd");
    this.callFd = checked(native.eventCreate(), "eventfd");
    this.errorFd = checked(native.eventCreate(), "eventfd");
    this.descriptors = memory.allocate(DESC_BYTES * this.size);
    this.available = memory.allocate(6 + 2 * this.size);
    this.used = memory.allocate(6 + 8 * this.size);
    this.reset();
  }

  /** Forgets everything in flight and starts both rings at `index`, in step with SET_VRING_BASE. */
  reset(index = 0): void {
    for (const range of [this.descriptors, this.available, this.used]) {
      this.#memory.view(range).fill(0);
    }
    this.#chains.clear();
    this.#free = Array.from({ length: this.size }, (_, i) => this.size - 1 - i);
    this.base = index;
    this.#availableIndex = index;
    this.#kickedIndex = index;
    this.#usedIndex = index;
    this.#store16(this.available.offset + 2, index);
    this.#store16(this.used.offset + 2, index);
    // As a device leaves avail_event behind when it stops here: the first chain is worth a kick.
    this.#store16(this.#availableEvent, index);
    this.requestCall();
  }

  /** Offset of the field in which the server says when it wants a kick. */
  get #availableEvent(): number {
    return this.used.offset + 4 + 8 * this.size;
  }

  /** Index at which the next chain is published. */
  get availableIndex(): number {
    return this.#availableIndex;
  }

  get freeDescriptors(): number {
    return this.#free.length;
  }

  /** Queues a well-formed chain, in an indirect table where negotiated; returns its head. */
  add(readable: readonly Range[], writable: readonly Range[]): number {
    const chain = [
      ...readable.map((range) => ({ ...this.#target(range), flags: 0 })),
      ...writable.map((range) => ({ ...this.#target(range), flags: DESC_WRITE })),
    ];
    return this.#indirect && chain.length > 1 ? this.addIndirect(chain) : this.addDirect(chain);
  }

  #target(range: Range): { address: bigint; length: number } {
    return { address: this.#memory.guestAddress(range.offset), length: range.length };
  }

  /** Queues descriptors linked in the ring's own table. */
  addDirect(chain: readonly Descriptor[]): number {
    const indexes = this.takeDescriptors(chain.length);
    chain.forEach((descriptor, i) => {
      this.writeDescriptor(indexes[i] as number, link(descriptor, indexes[i + 1]));
    });
    return this.#publishChain(indexes, undefined);
  }

  /** Queues descriptors in an indirect table. */
  addIndirect(chain: readonly Descriptor[]): number {
    const table = this.#memory.allocate(DESC_BYTES * chain.length);
    chain.forEach((descriptor, i) => {
      const next = i + 1 < chain.length ? i + 1 : undefined;
      this.#writeAt(table.offset + DESC_BYTES * i, link(descriptor, next));
    });
    const indexes = this.takeDescriptors(1);
    this.writeDescriptor(indexes[0] as number, {
      ...this.#target(table),
      flags: DESC_INDIRECT,
    });
    return this.#publishChain(indexes, table);
  }

  /** Takes descriptors out of the free list, for chains written by hand. */
  takeDescriptors(count: number): number[] {
    if (this.#free.length < count) throw new Error(`queue ${this.index} has no room for ${count}`);
    return this.#free.splice(this.#free.length - count, count).reverse();
  }

  #publishChain(indexes: number[], table: Range | undefined): number {
    const head = indexes[0] as number;
    this.#chains.set(head, { indexes, table });
    this.publish(head);
    return head;
  }

  /** Writes an entry of the ring's descriptor table as it is. */
  writeDescriptor(index: number, descriptor: Descriptor): void {
    this.#writeAt(this.descriptors.offset + DESC_BYTES * index, descriptor);
  }

  #writeAt(offset: number, { address, length, flags, next = 0 }: Descriptor): void {
    const bytes = this.#memory.bytes;
    bytes.writeBigUInt64LE(BigInt.asUintN(64, address), offset);
    bytes.writeUInt32LE(length, offset + 8);
    bytes.writeUInt16LE(flags, offset + 12);
    bytes.writeUInt16LE(next, offset + 14);
  }

  /** Makes a head available without looking at it. */
  publish(head: number): void {
    const slot = this.#availableIndex & (this.size - 1);
    this.#memory.bytes.writeUInt16LE(head, this.available.offset + 4 + 2 * slot);
    this.setAvailableIndex((this.#availableIndex + 1) & 0xffff);
  }

  setAvailableIndex(index: number): void {
    this.#availableIndex = index;
    this.#store16(this.available.offset + 2, index);
  }

  /** Tells the server of what was published since the last kick, if it wants to know. */
  kick(): boolean {
    if (this.#kickedIndex === this.#availableIndex) return false;
    native.fullFence();
    const wanted = this.#kickWanted();
    this.#kickedIndex = this.#availableIndex;
    if (wanted) this.forceKick();
    return wanted;
  }

  #kickWanted(): boolean {
    if (!this.eventIndex) {
      return (this.#load16(this.used.offset) & NO_NOTIFY) === 0;
    }
    const event = this.#load16(this.#availableEvent);
    const sinceEvent = (this.#availableIndex - event - 1) & 0xffff;
    return sinceEvent < ((this.#availableIndex - this.#kickedIndex) & 0xffff);
  }

  forceKick(): void {
    checked(native.eventSignal(this.kickFd), "kick");
  }

  /** Asks for a signal when the used ring next moves. */
  requestCall(): void {
    this.setUsedEvent(this.#usedIndex);
    this.setInterruptFlag(true);
    native.fullFence();
  }

  /** With EVENT_IDX: the used index that the server has to pass before it signals. */
  setUsedEvent(index: number): void {
    this.#store16(this.available.offset + 4 + 2 * this.size, index & 0xffff);
  }

  /** Without EVENT_IDX: whether the server shall signal at all. */
  setInterruptFlag(wanted: boolean): void {
    this.#store16(this.available.offset, wanted ? 0 : NO_INTERRUPT);
  }

  /** How often the server signalled since the last call of this. */
  takeCalls(): number {
    return checked(native.eventTake(this.callFd), "call");
  }

  /** Index of the used ring as the server publishes it, and as far as it was taken here. */
  get serverUsedIndex(): number {
    return this.#load16(this.used.offset + 2);
  }

  get takenUsedIndex(): number {
    return this.#usedIndex;
  }

  get pending(): boolean {
    return this.serverUsedIndex !== this.#usedIndex;
  }

  /** The next used element, or undefined when there is none. */
  take(): Used | undefined {
    if (!this.pending) return undefined;
    const slot = this.#usedIndex & (this.size - 1);
    const offset = this.used.offset + 4 + 8 * slot;
    this.#usedIndex = (this.#usedIndex + 1) & 0xffff;
    const head = this.#memory.bytes.readUInt32LE(offset);
    const chain = this.#chains.get(head);
    if (chain !== undefined) {
      this.#chains.delete(head);
      this.#free.push(...chain.indexes);
      if (chain.table !== undefined) this.#memory.release(chain.table);
    }
    return { head, length: this.#memory.bytes.readUInt32LE(offset + 4) };
  }

  close(): void {
    for (const fd of [this.kickFd, this.callFd, this.errorFd]) native.closeDescriptor(fd);
  }

  #load16(offset: number): number {
    return native.loadAcquire16(this.#memory.bytes, offset);
  }

  #store16(offset: number, value: number): void {
    native.storeRelease16(this.#memory.bytes, offset, value);
  }
}

function link(descriptor: Descriptor, next: number | undefined): Descriptor {
  if (next === undefined) return descriptor;
  return { ...descriptor, flags: descriptor.flags | DESC_NEXT, next };
}
