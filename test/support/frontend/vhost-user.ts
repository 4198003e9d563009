/** Numbers and layouts of the vhost-user protocol, as far as a front-end for tests needs them. */

export const Request = {
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
  GET_INFLIGHT_FD: 31,
  SET_INFLIGHT_FD: 32,
  RESET_DEVICE: 34,
  GET_MAX_MEM_SLOTS: 36,
  ADD_MEM_REG: 37,
  REM_MEM_REG: 38,
} as const;

export const VERSION = 1;
export const FLAG_REPLY = 1 << 2;
export const FLAG_NEED_REPLY = 1 << 3;
export const HEADER_BYTES = 12;
/** In the payload of SET_VRING_KICK, CALL and ERR: no descriptor comes with the message. */
export const VRING_NO_FD = 1n << 8n;

export const Feature = {
  INDIRECT_DESC: 1n << 28n,
  EVENT_IDX: 1n << 29n,
  PROTOCOL_FEATURES: 1n << 30n,
  VERSION_1: 1n << 32n,
} as const;

export const ProtocolFeature = {
  MQ: 1n << 0n,
  REPLY_ACK: 1n << 3n,
  BACKEND_REQ: 1n << 5n,
  CONFIG: 1n << 9n,
  RESET_DEVICE: 1n << 13n,
  CONFIGURE_MEM_SLOTS: 1n << 15n,
} as const;

/** A range of guest memory as SET_MEM_TABLE and ADD_MEM_REG describe it. */
export interface Region {
  readonly guestAddress: bigint;
  readonly sizeBytes: bigint;
  readonly userAddress: bigint;
  readonly fileOffset: bigint;
}

export function encodeHeader(request: number, flags: number, sizeBytes: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(request, 0);
  header.writeUInt32LE(flags, 4);
  header.writeUInt32LE(sizeBytes, 8);
  return header;
}

export function encodeU64(value: bigint): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64LE(BigInt.asUintN(64, value));
  return payload;
}

/** struct vhost_vring_state: also the payload of SET_VRING_NUM, BASE and ENABLE. */
export function encodeVringState(index: number, value: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32LE(index, 0);
  payload.writeUInt32LE(value, 4);
  return payload;
}

export interface VringAddresses {
  readonly descriptors: bigint;
  readonly used: bigint;
  readonly available: bigint;
}

export function encodeVringAddresses(index: number, addresses: VringAddresses): Buffer {
  const payload = Buffer.alloc(40);
  payload.writeUInt32LE(index, 0);
  payload.writeBigUInt64LE(addresses.descriptors, 8);
  payload.writeBigUInt64LE(addresses.used, 16);
  payload.writeBigUInt64LE(addresses.available, 24);
  return payload;
}

export function encodeRegion(region: Region): Buffer {
  const payload = Buffer.alloc(32);
  payload.writeBigUInt64LE(region.guestAddress, 0);
  payload.writeBigUInt64LE(region.sizeBytes, 8);
  payload.writeBigUInt64LE(region.userAddress, 16);
  payload.writeBigUInt64LE(region.fileOffset, 24);
  return payload;
}

export function encodeMemoryTable(regions: readonly Region[]): Buffer {
  return Buffer.concat([encodeVringState(regions.length, 0), ...regions.map(encodeRegion)]);
}

export function encodeMemoryRegion(region: Region): Buffer {
  return Buffer.concat([encodeU64(0n), encodeRegion(region)]);
}

export function encodeConfig(offset: number, sizeBytes: number): Buffer {
  const payload = Buffer.alloc(12 + sizeBytes);
  payload.writeUInt32LE(offset, 0);
  payload.writeUInt32LE(sizeBytes, 4);
  return payload;
}
