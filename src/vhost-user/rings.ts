import { type Lane, MAX_QUEUES } from "../native/lane.js";
import type { Logger } from "../vfs/logger.js";

const DRAIN_TIMEOUT_MS = 10_000;
const DRAIN_POLL_MS = 2;

interface Ring {
  size: number;
  descriptors: bigint;
  available: bigint;
  used: bigint;
  base: number;
  enabled: boolean;
  running: boolean;
}

/**
 * The state of each virtqueue as the front-end configures it. A ring starts when its kick descriptor
 * arrives and stops at GET_VRING_BASE. Methods answer with an errno value, 0 when done.
 */
export class Rings {
  readonly #lane: Lane;
  readonly #logger: Logger;
  readonly #heldRequests: (queue: number) => number;
  readonly #rings: Ring[] = [];
  /** VIRTIO_RING_F_EVENT_IDX was negotiated. */
  eventIndex = false;
  /** VIRTIO_RING_F_INDIRECT_DESC was negotiated. */
  indirect = false;
  /** Rings wait for SET_VRING_ENABLE (VHOST_USER_F_PROTOCOL_FEATURES was negotiated). */
  startDisabled = false;

  /** @param heldRequests how many requests of a queue are held for long: a stop does not wait for them */
  constructor(lane: Lane, logger: Logger, heldRequests: (queue: number) => number) {
    this.#lane = lane;
    this.#logger = logger;
    this.#heldRequests = heldRequests;
    for (let index = 0; index < MAX_QUEUES; index++) {
      this.#rings.push({
        size: 0,
        descriptors: 0n,
        available: 0n,
        used: 0n,
        base: 0,
        enabled: false,
        running: false,
      });
    }
  }

  /** Whether there can be a queue of this index. */
  has(index: number): boolean {
    return index < MAX_QUEUES;
  }

  setSize(index: number, size: number): void {
    this.#ring(index).size = size;
  }

  setAddresses(index: number, descriptors: bigint, available: bigint, used: bigint): void {
    Object.assign(this.#ring(index), { descriptors, available, used });
  }

  setBase(index: number, base: number): void {
    this.#ring(index).base = base;
  }

  /** Gives the ring its kick descriptor, which starts it. EINVAL, EFAULT: the ring cannot lie there. */
  start(index: number, kick: number): number {
    const ring = this.#ring(index);
    if (!ring.running) {
      const error = this.#lane.startQueue(index, {
        ...ring,
        eventIndex: this.eventIndex,
        indirect: this.indirect,
      });
      if (error !== 0) {
        this.#lane.setKick(index, -1);
        return error;
      }
      ring.running = true;
      this.#lane.setEnabled(index, ring.enabled || !this.startDisabled);
    }
    return this.#lane.setKick(index, kick);
  }

  setEnabled(index: number, enabled: boolean): void {
    this.#ring(index).enabled = enabled;
    this.#lane.setEnabled(index, enabled);
  }

  /**
   * Stops a ring once what is in flight was answered, except for what is held. A request that is available and
   * not used still belongs to the device (virtio 1.2, 2.7), and is answered when the ring goes on.
   * @returns the index of the next available entry
   */
  async stop(index: number): Promise<number> {
    const ring = this.#ring(index);
    if (!ring.running) {
      return ring.base;
    }
    this.#lane.quiesce(index);
    const left = () => this.#lane.inFlight(index) - this.#heldRequests(index);
    const deadline = Date.now() + DRAIN_TIMEOUT_MS;
    while (left() > 0 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    }
    if (left() > 0) {
      this.#logger.warn(
        `queue ${index}: stopped with ${left()} requests unanswered after ${DRAIN_TIMEOUT_MS} ms`,
      );
    }
    this.#detach(index);
    return ring.base;
  }

  /** Stops all rings at once; answers to what is in flight are dropped. */
  stopAll(): void {
    for (let index = 0; index < this.#rings.length; index++) {
      this.#detach(index);
      this.#lane.abandon(index);
      this.#ring(index).enabled = false;
    }
  }

  #detach(index: number): void {
    const ring = this.#ring(index);
    if (ring.running) {
      ring.running = false;
      ring.base = this.#lane.detach(index);
      this.#lane.setKick(index, -1);
    }
  }

  #ring(index: number): Ring {
    return this.#rings[index] as Ring;
  }
}
