import { Channel } from "./channel.js";
import { GuestMemory } from "./guest-memory.js";
import { native } from "./native.js";
import {
  encodeMemoryRegion,
  encodeMemoryTable,
  encodeU64,
  encodeVringAddresses,
  encodeVringState,
  Feature,
  ProtocolFeature,
  Request,
} from "./vhost-user.js";
import { Virtqueue } from "./virtqueue.js";

export interface FrontendOptions {
  /** Queues besides hiprio. Default 1. */
  readonly requestQueues?: number;
  /** Entries per ring, a power of two. Default 128. */
  readonly ringSize?: number;
  /** Guest memory in bytes. Default 16 MiB. */
  readonly memoryBytes?: number;
  /** Regions that memory is offered in. Default 1. */
  readonly regions?: number;
  /** Hole between two regions in the guest's address space. Default 256 MiB; 0: they adjoin. */
  readonly regionHoleBytes?: number;
  /** Negotiate INDIRECT_DESC and use it for every chain. Default true. */
  readonly indirect?: boolean;
  /** Negotiate EVENT_IDX. Default true. */
  readonly eventIndex?: boolean;
  /** Negotiate REPLY_ACK and have every message acknowledged. Default true. */
  readonly replyAck?: boolean;
  /** Offer memory by ADD_MEM_REG instead of SET_MEM_TABLE. Default true. */
  readonly memorySlots?: boolean;
  /** Index at which all rings start (SET_VRING_BASE). Default 0. */
  readonly firstIndex?: number;
  /** Limit of every wait. Default 10 s. */
  readonly timeoutMs?: number;
}

const DEFAULTS: Required<FrontendOptions> = {
  requestQueues: 1,
  ringSize: 128,
  memoryBytes: 16 << 20,
  regions: 1,
  regionHoleBytes: 256 << 20,
  indirect: true,
  eventIndex: true,
  replyAck: true,
  memorySlots: true,
  firstIndex: 0,
  timeoutMs: 10_000,
};

/**
 * A vhost-user front-end in the role of QEMU: connection, guest memory and queues. Queue 0 is hiprio,
 * request queues follow. All waiting blocks the thread, since the server is another process.
 */
export class Frontend {
  readonly options: Required<FrontendOptions>;
  readonly channel: Channel;
  readonly queues: Virtqueue[] = [];
  #memory: GuestMemory;
  /** Features both sides have agreed upon; 0 before {@link negotiate}. */
  features = 0n;
  protocolFeatures = 0n;
  /** What the server offers. */
  offeredFeatures = 0n;
  offeredProtocolFeatures = 0n;

  private constructor(socketPath: string, options: FrontendOptions) {
    this.options = { ...DEFAULTS, ...options };
    this.channel = new Channel(socketPath, this.options.timeoutMs);
    this.#memory = this.#newMemory();
  }

  /** Connects and sends nothing. */
  static open(socketPath: string, options: FrontendOptions = {}): Frontend {
    return new Frontend(socketPath, options);
  }

  /** Connects and goes through the whole handshake: afterwards all queues run. */
  static connect(socketPath: string, options: FrontendOptions = {}): Frontend {
    const frontend = new Frontend(socketPath, options);
    frontend.negotiate();
    frontend.shareMemory();
    frontend.createQueues();
    frontend.startQueues();
    return frontend;
  }

  get memory(): GuestMemory {
    return this.#memory;
  }

  #newMemory(): GuestMemory {
    const { memoryBytes, regions, regionHoleBytes } = this.options;
    return new GuestMemory({ sizeBytes: memoryBytes, regions, holeBytes: regionHoleBytes });
  }

  /** Agrees on features and protocol features, and takes ownership. */
  negotiate(): void {
    const { channel, options } = this;
    channel.send(Request.SET_OWNER);
    this.offeredFeatures = channel.queryU64(Request.GET_FEATURES);
    this.offeredProtocolFeatures = channel.queryU64(Request.GET_PROTOCOL_FEATURES);
    this.protocolFeatures =
      this.offeredProtocolFeatures &
      (ProtocolFeature.MQ |
        ProtocolFeature.RESET_DEVICE |
        ProtocolFeature.BACKEND_REQ |
        ProtocolFeature.CONFIG |
        bit(options.replyAck, ProtocolFeature.REPLY_ACK) |
        bit(options.memorySlots, ProtocolFeature.CONFIGURE_MEM_SLOTS));
    channel.sendU64(Request.SET_PROTOCOL_FEATURES, this.protocolFeatures);
    this.features =
      this.offeredFeatures &
      (Feature.VERSION_1 |
        Feature.PROTOCOL_FEATURES |
        bit(options.indirect, Feature.INDIRECT_DESC) |
        bit(options.eventIndex, Feature.EVENT_IDX));
    this.command(Request.SET_FEATURES, encodeU64(this.features));
  }

  /** Sends a message without a reply of its own; where negotiated, has it acknowledged. */
  command(request: number, payload: Buffer, fds: readonly number[] = []): void {
    if ((this.protocolFeatures & ProtocolFeature.REPLY_ACK) === 0n) {
      this.channel.send(request, payload, fds);
      return;
    }
    const status = this.channel.acknowledge(request, payload, fds);
    if (status !== 0n) throw new Error(`message ${request} was refused: ${status}`);
  }

  /** Offers all of guest memory, by single regions where negotiated. */
  shareMemory(): void {
    const { fd, regions } = this.#memory;
    if ((this.protocolFeatures & ProtocolFeature.CONFIGURE_MEM_SLOTS) !== 0n) {
      for (const region of regions) {
        this.command(Request.ADD_MEM_REG, encodeMemoryRegion(region), [fd]);
      }
      return;
    }
    const fds = regions.map(() => fd);
    this.command(Request.SET_MEM_TABLE, encodeMemoryTable(regions), fds);
  }

  createQueues(): void {
    const { requestQueues, ringSize, firstIndex } = this.options;
    for (let index = 0; index <= requestQueues; index++) {
      const queue = new Virtqueue(this.#memory, {
        index,
        size: ringSize,
        indirect: (this.features & Feature.INDIRECT_DESC) !== 0n,
        eventIndex: (this.features & Feature.EVENT_IDX) !== 0n,
      });
      queue.reset(firstIndex);
      this.queues.push(queue);
    }
  }

  startQueues(): void {
    for (const queue of this.queues) this.startQueue(queue);
  }

  /** Tells the server of a ring and starts it where the server left it. */
  startQueue(queue: Virtqueue): void {
    const { index } = queue;
    const word = encodeU64(BigInt(index));
    this.command(Request.SET_VRING_NUM, encodeVringState(index, queue.size));
    this.command(Request.SET_VRING_BASE, encodeVringState(index, queue.base));
    this.command(Request.SET_VRING_ADDR, this.vringAddresses(queue));
    this.command(Request.SET_VRING_CALL, word, [queue.callFd]);
    this.command(Request.SET_VRING_ERR, word, [queue.errorFd]);
    this.command(Request.SET_VRING_KICK, word, [queue.kickFd]);
    if ((this.features & Feature.PROTOCOL_FEATURES) !== 0n) this.enableQueue(queue, true);
  }

  vringAddresses(queue: Virtqueue): Buffer {
    return encodeVringAddresses(queue.index, {
      descriptors: this.#memory.userAddress(queue.descriptors.offset),
      used: this.#memory.userAddress(queue.used.offset),
      available: this.#memory.userAddress(queue.available.offset),
    });
  }

  enableQueue(queue: Virtqueue, enabled: boolean): void {
    this.command(Request.SET_VRING_ENABLE, encodeVringState(queue.index, enabled ? 1 : 0));
  }

  /** Stops a ring; returns the index from which the server would go on. */
  stopQueue(queue: Virtqueue): number {
    const reply = this.channel.query(Request.GET_VRING_BASE, encodeVringState(queue.index, 0));
    if (reply.readUInt32LE(0) !== queue.index) throw new Error("GET_VRING_BASE: another queue");
    queue.base = reply.readUInt32LE(4);
    return queue.base;
  }

  /** Stops a ring, forgets what was in it, and starts it empty. */
  restartQueue(queue: Virtqueue): void {
    this.stopQueue(queue);
    queue.reset();
    this.startQueue(queue);
  }

  /** What a guest's reboot is to the server: rings stopped, memory replaced, rings started. */
  reboot(): void {
    for (const queue of this.queues) this.stopQueue(queue);
    this.#dropQueues();
    if ((this.protocolFeatures & ProtocolFeature.CONFIGURE_MEM_SLOTS) !== 0n) {
      for (const region of this.#memory.regions) {
        this.command(Request.REM_MEM_REG, encodeMemoryRegion(region));
      }
    }
    this.#memory.close();
    this.#memory = this.#newMemory();
    this.shareMemory();
    this.createQueues();
    this.startQueues();
  }

  /**
   * Waits until the used ring of `queue` moves. "closed" when the server has hung up.
   */
  waitUsed(queue: Virtqueue, timeoutMs = this.options.timeoutMs): "used" | "timeout" | "closed" {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      queue.requestCall();
      if (queue.pending) return "used";
      const left = Math.max(0, deadline - Date.now());
      const ready = native.waitReadable([queue.callFd, this.channel.fd], left);
      queue.takeCalls();
      if (queue.pending) return "used";
      if ((ready & 2) !== 0) return "closed";
      if (ready === 0 && left === 0) return "timeout";
    }
  }

  /** Closes the connection and everything that belongs to it. */
  close(): void {
    this.channel.close();
    this.#dropQueues();
    this.#memory.close();
  }

  #dropQueues(): void {
    for (const queue of this.queues) queue.close();
    this.queues.length = 0;
  }
}

function bit(wanted: boolean, feature: bigint): bigint {
  return wanted ? feature : 0n;
}
