export { Channel, ConnectionClosed, type Message } from "./channel.js";
export { Client, type MountOptions } from "./client.js";
export { Frontend, type FrontendOptions } from "./frontend.js";
export * from "./fuse-abi.js";
export { FuseClient, type InitOptions } from "./fuse-client.js";
export { Body, type Integer, type Name } from "./fuse-codec.js";
export type { AttributeChange, WriteOptions } from "./fuse-files.js";
export {
  encodeInHeader,
  type InHeader,
  ProtocolViolation,
  type Reply,
  type RequestOptions,
  type Ticket,
} from "./fuse-transport.js";
export * from "./fuse-types.js";
export { GuestMemory, PAGE_BYTES, type Range } from "./guest-memory.js";
export { native } from "./native.js";
export * as VhostUser from "./vhost-user.js";
export {
  DESC_BYTES,
  DESC_INDIRECT,
  DESC_NEXT,
  DESC_WRITE,
  type Descriptor,
  type Used,
  Virtqueue,
} from "./virtqueue.js";
