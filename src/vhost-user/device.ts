import { getSystemErrorName as errnoName } from "node:util";
import { type Lane, LaneEvent } from "../native/lane.js";
import { closeDescriptor } from "../native/socket.js";
import { GatewayError } from "../vfs/gateway-error.js";
import type { Logger } from "../vfs/logger.js";
import { Connection } from "./connection.js";
import {
  encodeReply,
  encodeU64,
  Feature,
  FrontEndRequest as Front,
  type Message,
  ProtocolFeature,
  requestName,
} from "./messages.js";
import {
  checkAtMost,
  checkMapped,
  checkRingSize,
  checkSubset,
  expectBytes,
  Refusal,
  readRegion,
  readU64,
  takeDescriptor,
} from "./payload.js";
import { Rings } from "./rings.js";

/** Memory slots the front-end may fill; QEMU's own limit. */
const MEMORY_SLOTS = 509;
/** Regions of one SET_MEM_TABLE. */
const TABLE_REGIONS = 8;
const REGION_BYTES = 32;
/** Queues we tell the front-end about: hiprio and 64 request queues. */
const QUEUE_COUNT = 65n;
const TAG_BYTES = 36;
const CONFIG_BYTES = TAG_BYTES + 4;
const CONFIG_HEADER_BYTES = 12;
/** Bits of the payload of SET_VRING_KICK, CALL and ERR. */
const VRING_INDEX_MASK = 0xffn;
const VRING_NO_FD = 1n << 8n;

const FEATURES =
  Feature.VERSION_1 | Feature.RING_INDIRECT_DESC | Feature.RING_EVENT_IDX | Feature.PROTOCOL_FEATURES;
const PROTOCOL_FEATURES =
  ProtocolFeature.MQ |
  ProtocolFeature.REPLY_ACK |
  ProtocolFeature.BACKEND_REQ |
  ProtocolFeature.RESET_DEVICE |
  ProtocolFeature.CONFIGURE_MEM_SLOTS;

/** A payload for the reply, or nothing: then the message is acknowledged if the front-end wants that. */
type Answer = Buffer | undefined;
type Handler = (message: Message) => Answer | Promise<Answer>;

/** What the device end of a connection needs. */
export interface VhostDeviceOptions {
  readonly lane: Lane;
  /** Shown to the front-end in the configuration space; undefined: none is offered. */
  readonly tag: string | undefined;
  /** Request queues named in the configuration space. */
  readonly requestQueues: number;
  readonly logger: Logger;
  /** The device was reset: the guest starts over. */
  readonly onReset: () => void;
  /** How many requests of a queue are held for long, so that its stop does not wait for them. */
  readonly heldRequests: (queue: number) => number;
}

/** The vhost-user back-end: turns the front-end's messages into settings of the lane. */
export class VhostDevice {
  readonly #options: VhostDeviceOptions;
  readonly #lane: Lane;
  readonly #rings: Rings;
  readonly #handlers: ReadonlyMap<number, Handler>;
  #connection: Connection | undefined;
  #protocolFeatures = 0n;
  #memorySlots = 0;

  constructor(options: VhostDeviceOptions) {
    this.#options = options;
    this.#lane = options.lane;
    this.#rings = new Rings(options.lane, options.logger, options.heldRequests);
    this.#handlers = new Map([...this.#setupHandlers(), ...this.#memoryHandlers(), ...this.#ringHandlers()]);
  }

  /**
   * Serves a front-end until it disconnects.
   * @throws GatewayError "protocol" when the front-end breaks the protocol, or its memory vanishes
   */
  async serve(socket: number): Promise<void> {
    const connection = new Connection(socket);
    this.#connection = connection;
    try {
      await connection.run((message) => this.#handle(message));
    } finally {
      this.#rings.stopAll();
      this.#lane.setRegions([]);
      this.#connection = undefined;
    }
  }

  /** For the lane: trouble below the messages. */
  readonly onLaneEvent = (event: number, queue: number): void => {
    if (event === LaneEvent.RING_BROKEN) {
      const text = `queue ${queue}: the guest's ring makes no sense; the queue is stopped until it is set up again`;
      this.#options.logger.error(text);
    } else if (event === LaneEvent.MEMORY_FAULT) {
      this.#fail("memory that the front-end shared has vanished: was its file truncated?");
    } else if (event === LaneEvent.PRIVATE_MEMORY) {
      this.#fail(
        "expected guest memory that is shared (QEMU: -object memory-backend-memfd,share=on), got private memory: " +
          `queue ${queue} was kicked, but nothing was ever written`,
      );
    }
  };

  #fail(reason: string): void {
    this.#connection?.fail(new GatewayError("protocol", reason));
  }

  #handle(message: Message): void | Promise<void> {
    const handler = this.#handlers.get(message.request);
    if (handler === undefined) {
      this.#closeDescriptors(message);
      this.#options.logger.warn(`front-end: ${requestName(message.request)} is not supported; ignored`);
      this.#acknowledge(message, false);
      return;
    }
    try {
      const answer = handler(message);
      if (answer instanceof Promise) {
        return answer
          .then((payload) => this.#answer(message, payload))
          .catch((error: unknown) => this.#refuse(message, error));
      }
      this.#answer(message, answer);
    } catch (error) {
      this.#refuse(message, error);
    }
  }

  #answer(message: Message, payload: Answer): void {
    this.#closeDescriptors(message);
    if (payload === undefined) {
      this.#acknowledge(message, true);
    } else {
      this.#connection?.send(encodeReply(message.request, payload));
    }
  }

  /** Says no where the front-end listens for it; otherwise the two would go on with different ideas. */
  #refuse(message: Message, error: unknown): void {
    this.#closeDescriptors(message);
    if (!(error instanceof Refusal)) {
      throw error;
    }
    const text = `front-end: ${requestName(message.request)}: ${error.message}`;
    if (!this.#acknowledge(message, false)) {
      throw new GatewayError("protocol", text);
    }
    this.#options.logger.error(text);
  }

  #acknowledge(message: Message, done: boolean): boolean {
    const wanted = message.needReply && (this.#protocolFeatures & ProtocolFeature.REPLY_ACK) !== 0n;
    if (wanted) {
      this.#connection?.send(encodeReply(message.request, encodeU64(done ? 0n : 1n)));
    }
    return wanted;
  }

  #closeDescriptors(message: Message): void {
    for (const fd of message.descriptors.splice(0)) {
      closeDescriptor(fd);
    }
  }

  #setupHandlers(): [number, Handler][] {
    const { tag } = this.#options;
    const protocolFeatures = PROTOCOL_FEATURES | (tag === undefined ? 0n : ProtocolFeature.CONFIG);
    const handlers: [number, Handler][] = [
      [Front.GET_FEATURES, () => encodeU64(FEATURES)],
      [Front.SET_FEATURES, (message) => this.#setFeatures(readU64(message))],
      [Front.SET_OWNER, () => undefined],
      [Front.RESET_OWNER, () => this.#reset()],
      [Front.RESET_DEVICE, () => this.#reset()],
      [Front.GET_PROTOCOL_FEATURES, () => encodeU64(protocolFeatures)],
      [
        Front.SET_PROTOCOL_FEATURES,
        (message) => {
          this.#protocolFeatures = checkSubset(readU64(message), protocolFeatures);
          return undefined;
        },
      ],
      [Front.GET_QUEUE_NUM, () => encodeU64(QUEUE_COUNT)],
      [Front.SET_BACKEND_REQ_FD, (message) => void closeDescriptor(takeDescriptor(message))],
    ];
    if (tag !== undefined) {
      handlers.push([Front.GET_CONFIG, (message) => this.#readConfig(message, tag)]);
    }
    return handlers;
  }

  #setFeatures(features: bigint): undefined {
    checkSubset(features, FEATURES);
    this.#rings.indirect = (features & Feature.RING_INDIRECT_DESC) !== 0n;
    this.#rings.eventIndex = (features & Feature.RING_EVENT_IDX) !== 0n;
    this.#rings.startDisabled = (features & Feature.PROTOCOL_FEATURES) !== 0n;
    return undefined;
  }

  #reset(): undefined {
    this.#rings.stopAll();
    this.#options.onReset();
    return undefined;
  }

  #readConfig(message: Message, tag: string): Buffer {
    const payload = expectBytes(message, CONFIG_HEADER_BYTES);
    const offset = payload.readUInt32LE(0);
    const size = payload.readUInt32LE(4);
    if (offset + size > CONFIG_BYTES || payload.length !== CONFIG_HEADER_BYTES + size) {
      // An empty payload tells the front-end that the range is wrong.
      return Buffer.alloc(0);
    }
    const config = Buffer.alloc(CONFIG_BYTES);
    config.write(tag, 0, TAG_BYTES);
    config.writeUInt32LE(this.#options.requestQueues, TAG_BYTES);
    return Buffer.concat([payload.subarray(0, CONFIG_HEADER_BYTES), config.subarray(offset, offset + size)]);
  }

  #memoryHandlers(): [number, Handler][] {
    return [
      [Front.SET_MEM_TABLE, (message) => this.#setMemoryTable(message)],
      [Front.GET_MAX_MEM_SLOTS, () => encodeU64(BigInt(MEMORY_SLOTS))],
      [Front.ADD_MEM_REG, (message) => this.#addRegion(message)],
      [Front.REM_MEM_REG, (message) => this.#removeRegion(message)],
    ];
  }

  #setMemoryTable(message: Message): undefined {
    const payload = expectBytes(message, 8);
    const count = payload.readUInt32LE(0);
    if (count > TABLE_REGIONS || payload.length < 8 + count * REGION_BYTES) {
      throw new Refusal(`expected at most ${TABLE_REGIONS} regions and their addresses, got ${count}`);
    }
    if (message.descriptors.length !== count) {
      throw new Refusal(`expected ${count} descriptors, got ${message.descriptors.length}`);
    }
    const fds = message.descriptors.splice(0);
    const regions = fds.map((fd, index) => readRegion(payload, 8 + index * REGION_BYTES, fd));
    checkMapped(this.#lane.setRegions(regions));
    this.#memorySlots = count;
    return undefined;
  }

  #addRegion(message: Message): undefined {
    const payload = expectBytes(message, 8 + REGION_BYTES);
    if (this.#memorySlots >= MEMORY_SLOTS) {
      throw new Refusal(`expected at most ${MEMORY_SLOTS} regions`);
    }
    checkMapped(this.#lane.addRegion(readRegion(payload, 8, takeDescriptor(message))));
    this.#memorySlots++;
    return undefined;
  }

  #removeRegion(message: Message): undefined {
    const payload = expectBytes(message, 8 + REGION_BYTES);
    this.#closeDescriptors(message);
    const region = readRegion(payload, 8, -1);
    const error = this.#lane.removeRegion(region.guestAddress, region.size, region.userAddress);
    if (error !== 0) {
      throw new Refusal(
        `expected a region that was added, got guest address 0x${region.guestAddress.toString(16)}`,
      );
    }
    this.#memorySlots--;
    return undefined;
  }

  #ringHandlers(): [number, Handler][] {
    const rings = this.#rings;
    return [
      [Front.SET_VRING_NUM, (message) => void rings.setSize(this.#index(message), checkRingSize(message))],
      [Front.SET_VRING_ADDR, (message) => this.#setAddresses(message)],
      [
        Front.SET_VRING_BASE,
        (message) => void rings.setBase(this.#index(message), checkAtMost(message, 0xffff)),
      ],
      [Front.GET_VRING_BASE, (message) => this.#stopRing(message)],
      [Front.SET_VRING_KICK, (message) => this.#startRing(message)],
      [
        Front.SET_VRING_CALL,
        (message) =>
          this.#lane.setCall(this.#descriptorIndex(message), message.descriptors.shift() ?? -1) as undefined,
      ],
      [
        Front.SET_VRING_ERR,
        (message) =>
          this.#lane.setError(this.#descriptorIndex(message), message.descriptors.shift() ?? -1) as undefined,
      ],
      [
        Front.SET_VRING_ENABLE,
        (message) => void rings.setEnabled(this.#index(message), checkAtMost(message, 1) !== 0),
      ],
    ];
  }

  /** The queue index at the start of a vring message. */
  #index(message: Message): number {
    return this.#checkIndex(expectBytes(message, 8).readUInt32LE(0));
  }

  /** The queue index of SET_VRING_KICK, CALL and ERR, whose descriptor may be left out. */
  #descriptorIndex(message: Message): number {
    const value = readU64(message);
    const wanted = (value & VRING_NO_FD) === 0n ? 1 : 0;
    if (message.descriptors.length !== wanted) {
      throw new Refusal(`expected ${wanted} descriptors, got ${message.descriptors.length}`);
    }
    return this.#checkIndex(Number(value & VRING_INDEX_MASK));
  }

  #checkIndex(index: number): number {
    if (!this.#rings.has(index)) {
      throw new Refusal(`expected a queue below ${QUEUE_COUNT}, got ${index}`);
    }
    return index;
  }

  #setAddresses(message: Message): undefined {
    const payload = expectBytes(message, 40);
    const [descriptors, used, available] = [8, 16, 24].map((at) => payload.readBigUInt64LE(at));
    this.#rings.setAddresses(
      this.#index(message),
      descriptors as bigint,
      available as bigint,
      used as bigint,
    );
    return undefined;
  }

  async #stopRing(message: Message): Promise<Buffer> {
    const index = this.#index(message);
    const base = await this.#rings.stop(index);
    const reply = Buffer.alloc(8);
    reply.writeUInt32LE(index, 0);
    reply.writeUInt32LE(base, 4);
    return reply;
  }

  #startRing(message: Message): undefined {
    const index = this.#descriptorIndex(message);
    if (message.descriptors.length === 0) {
      throw new Refusal(`queue ${index}: expected a kick descriptor: polling of rings is not supported`);
    }
    const error = this.#rings.start(index, takeDescriptor(message));
    if (error !== 0) {
      throw new Refusal(
        `queue ${index}: expected a ring of a power of two entries inside guest memory (${errnoName(-error)})`,
      );
    }
    return undefined;
  }
}
