/**
 * The vhost-user protocol's messages (docs/interop/vhost-user.rst of QEMU): a header of three 32-bit
 * words (request, flags, payload size), a payload, and descriptors beside it.
 */
export const HEADER_BYTES = 12;
/** No message we know is longer; a larger size is not read. */
export const MAX_PAYLOAD_BYTES = 4096;

const VERSION = 1;
const VERSION_MASK = 3;
const FLAG_REPLY = 1 << 2;
const FLAG_NEED_REPLY = 1 << 3;

/** Requests of the front-end. */
export const FrontEndRequest = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  RESET_OWNER: 4,
  SET_MEM_TABLE: 5,
  SET_LOG_BASE: 6,
  SET_LOG_FD: 7,
  SET_VRING_NUM: 8,
  SET_VRING_ADDR: 9,
  SET_VRING_BASE: 10,
  GET_VRING_BASE: 11,
  SET_VRING_KICK: 12,
  SET_VRING_CALL: 13,
  SET_VRING_ERR: 14,
  GET_PROTOCOL_FEATURES: 15,
  SET_PROTOCOL_FEATURES: 16,
  GET_QUEUE_NUM: 17,
  SET_VRING_ENABLE: 18,
  SET_BACKEND_REQ_FD: 21,
  GET_CONFIG: 24,
  SET_CONFIG: 25,
  RESET_DEVICE: 34,
  GET_MAX_MEM_SLOTS: 36,
  ADD_MEM_REG: 37,
  REM_MEM_REG: 38,
} as const;

/** Bits of virtio and vhost feature words. */
export const Feature = {
  RING_INDIRECT_DESC: 1n << 28n,
  RING_EVENT_IDX: 1n << 29n,
  PROTOCOL_FEATURES: 1n << 30n,
  VERSION_1: 1n << 32n,
} as const;

/** Bits of the protocol feature word. */
export const ProtocolFeature = {
  MQ: 1n << 0n,
  REPLY_ACK: 1n << 3n,
  BACKEND_REQ: 1n << 5n,
  CONFIG: 1n << 9n,
  RESET_DEVICE: 1n << 13n,
  CONFIGURE_MEM_SLOTS: 1n << 15n,
} as const;

/** A message from the front-end. */
export interface Message {
  readonly request: number;
  /** The front-end waits for an acknowledgement, if that was negotiated. */
  readonly needReply: boolean;
  readonly payload: Buffer;
  /** Descriptors that came along; whoever handles the message takes them over. */
  readonly descriptors: number[];
}

/** The name of a request, for messages to people. */
export function requestName(request: number): string {
  const found = Object.entries(FrontEndRequest).find(([, number]) => number === request);
  return found === undefined ? `request ${request}` : found[0];
}

/** What a header says, or a text that tells what is wrong with it. */
export function decodeHeader(header: Buffer): { request: number; needReply: boolean; size: number } | string {
  const request = header.readUInt32LE(0);
  const flags = header.readUInt32LE(4);
  const size = header.readUInt32LE(8);
  if ((flags & VERSION_MASK) !== VERSION) {
    return `not vhost-user: expected version ${VERSION} in the flags of a message, got flags 0x${flags.toString(16)}`;
  }
  if ((flags & FLAG_REPLY) !== 0) {
    return `${requestName(request)}: expected a request, got a reply`;
  }
  if (size > MAX_PAYLOAD_BYTES) {
    return `${requestName(request)}: expected a payload of at most ${MAX_PAYLOAD_BYTES} bytes, got ${size}`;
  }
  return { request, needReply: (flags & FLAG_NEED_REPLY) !== 0, size };
}

/** A reply to `request`, ready to send. */
export function encodeReply(request: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(request, 0);
  header.writeUInt32LE(VERSION | FLAG_REPLY, 4);
  header.writeUInt32LE(payload.length, 8);
  return Buffer.concat([header, payload]);
}

/** The payload that is one unsigned 64-bit number. */
export function encodeU64(value: bigint): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64LE(value);
  return payload;
}
