import { getSystemErrorName as errnoName } from "node:util";
import type { MemoryRegion } from "../native/lane.js";
import type { Message } from "./messages.js";

/** Entries of a split virtqueue. */
const MAX_RING_SIZE = 32_768;

/** A message that cannot be honoured: the reason, as people should read it. */
export class Refusal extends Error {}

/** The payload, if it is at least `count` bytes long. */
export function expectBytes(message: Message, count: number): Buffer {
  if (message.payload.length < count) {
    throw new Refusal(`expected a payload of ${count} bytes, got ${message.payload.length}`);
  }
  return message.payload;
}

/** The payload that is one 64-bit number. */
export function readU64(message: Message): bigint {
  return expectBytes(message, 8).readBigUInt64LE(0);
}

/** The second word of a vring message, which may be 0 to `limit`. */
export function checkAtMost(message: Message, limit: number): number {
  const value = expectBytes(message, 8).readUInt32LE(4);
  if (value > limit) {
    throw new Refusal(`expected a number up to ${limit}, got ${value}`);
  }
  return value;
}

/** The ring size in a SET_VRING_NUM. */
export function checkRingSize(message: Message): number {
  const size = checkAtMost(message, MAX_RING_SIZE);
  if (size === 0 || (size & (size - 1)) !== 0) {
    throw new Refusal(`expected a power of two, got ${size}`);
  }
  return size;
}

/** Takes over the one descriptor of a message. */
export function takeDescriptor(message: Message): number {
  const [fd, ...more] = message.descriptors;
  if (fd === undefined || more.length > 0) {
    throw new Refusal(`expected one descriptor, got ${message.descriptors.length}`);
  }
  message.descriptors.length = 0;
  return fd;
}

/** The wanted features, if all of them were offered. */
export function checkSubset(wanted: bigint, offered: bigint): bigint {
  if ((wanted & ~offered) !== 0n) {
    throw new Refusal(`expected features out of 0x${offered.toString(16)}, got 0x${wanted.toString(16)}`);
  }
  return wanted;
}

/** Refuses the message when its memory could not be mapped. */
export function checkMapped(error: number): void {
  if (error !== 0) {
    throw new Refusal(
      `expected shared memory that can be mapped and does not overlap (${errnoName(-error)})`,
    );
  }
}

/** A memory region at byte `at` of a payload: guest address, size, user address, offset in the file. */
export function readRegion(payload: Buffer, at: number, fd: number): MemoryRegion {
  return {
    fd,
    guestAddress: payload.readBigUInt64LE(at),
    size: payload.readBigUInt64LE(at + 8),
    userAddress: payload.readBigUInt64LE(at + 16),
    fileOffset: payload.readBigUInt64LE(at + 24),
  };
}
