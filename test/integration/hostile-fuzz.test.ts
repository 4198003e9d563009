import { describe, expect, test } from "vitest";
import {
  Body,
  type Client,
  native,
  Opcode,
  OUT_HEADER_BYTES,
  ok,
  ProtocolViolation,
  ROOT,
  type Virtqueue,
} from "../support/frontend/index.js";
import { expectServes, makeFile, useClient } from "../support/frontend-testing.js";

const SEED = 20_261_122;
const ROUNDS = 3000;
const NAMES = ["file", "a", "..", ".", "", "../secret", "a/b", "x".repeat(255), "y".repeat(256)];
const NUMBERS = [0n, 1n, 2n, 3n, 7n, 4096n, 65_536n, 1n << 31n, 1n << 32n, 1n << 63n, (1n << 64n) - 1n];
/** May rightly wait for ever, or end the session. */
const LEFT_OUT: readonly number[] = [Opcode.SETLKW, Opcode.INIT, Opcode.DESTROY];
/** Have no reply; that they come back is enough. */
const WITHOUT_REPLY: readonly number[] = [
  Opcode.FORGET,
  Opcode.BATCH_FORGET,
  Opcode.INTERRUPT,
  Opcode.NOTIFY_REPLY,
];
/** Could fill the host's disk. */
const COSTLY: readonly number[] = [Opcode.FALLOCATE, Opcode.COPY_FILE_RANGE];

/** A small generator with a fixed seed, so that a failure can be repeated. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** An integer from 0 to limit - 1. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}

function randomBody(random: Random, known: readonly bigint[]): Buffer {
  const body = new Body();
  for (let fields = random.below(10); fields > 0; fields--) {
    const kind = random.below(6);
    if (kind === 0) body.name(random.pick(NAMES));
    else if (kind === 1) body.raw(random.bytes(random.below(64)));
    else if (kind === 2) body.u64(random.pick(known));
    else if (kind === 3) body.u64(random.pick(NUMBERS));
    else body.u32(Number(random.pick(NUMBERS) & 0xffff_ffffn));
  }
  return body.bytes;
}

/** Sends a random request; its chain comes back, whatever the server makes of it. */
function fuzzRequest(fs: Client, random: Random, opcode: number, known: readonly bigint[]): void {
  const options = { queue: 1 + random.below(2), framing: random.pick(["split", "merged"] as const) };
  const body = randomBody(random, known);
  const capacity = OUT_HEADER_BYTES + random.pick([0, 8, 128, 4096, 65_536]);
  try {
    fs.request(opcode, random.pick([...known, ROOT, ROOT]), body, capacity, options);
  } catch (error) {
    if (!(error instanceof ProtocolViolation) || !WITHOUT_REPLY.includes(opcode)) throw error;
  }
}

describe.each(["passthrough", "memory"] as const)("random requests on %s", (backend) => {
  const shared = useClient({ backend, requestQueues: 2, args: ["--xattr"], memoryBytes: 8 << 20 });

  test("are all answered", () => {
    const { fs } = shared;
    const random = new Random(SEED);
    const { nodeid, fh } = ok(fs.create(ROOT, "file"));
    const { fh: directory } = ok(fs.opendir(ROOT));
    const known = [ROOT, nodeid, fh, directory, nodeid + 1n];
    const costly = backend === "passthrough" ? COSTLY : [];
    const opcodes = Array.from({ length: 55 }, (_, i) => i).filter(
      (opcode) => !LEFT_OUT.includes(opcode) && !costly.includes(opcode),
    );
    for (let i = 0; i < ROUNDS; i++) fuzzRequest(fs, random, random.pick(opcodes), known);
    expectServes(fs);
    ok(fs.init());
    expect(makeFile(fs, "afterwards", "content")).toBeGreaterThan(ROOT);
  });
});

/** Fills the descriptor table and two indirect tables at random and publishes random heads. */
function fuzzRing(fs: Client, queue: Virtqueue, random: Random, tables: readonly bigint[]): void {
  const { memory } = fs.frontend;
  const addresses = [
    ...tables,
    memory.guestAddress(memory.used),
    memory.endAddress - 8n,
    memory.endAddress,
    (1n << 64n) - 8n,
  ];
  const lengths = [0, 1, 8, 16, 32, 40, 56, 120, 256, 4096, 0xffff_ffff];
  const entry = () => ({
    address: random.pick(addresses),
    length: random.pick(lengths),
    flags: random.pick([0, 0, 1, 1, 2, 3, 4, 5, 7, 0xffff]),
    next: random.pick([0, 1, 2, 3, queue.size - 1, queue.size, 0xffff]),
  });
  for (let i = 0; i < queue.size; i++) queue.writeDescriptor(i, entry());
  for (let count = random.below(4); count >= 0; count--) {
    queue.publish(random.below(20) === 0 ? random.below(65_536) : random.below(queue.size));
  }
  if (random.below(10) === 0) queue.setAvailableIndex(random.below(65_536));
  queue.forceKick();
}

describe("random rings", () => {
  const shared = useClient({
    backend: "memory",
    requestQueues: 2,
    ringSize: 16,
    memoryBytes: 2 << 20,
  });

  test("never keep another queue from being served, nor the ring itself after a reset", () => {
    const { fs } = shared;
    const [, queue] = fs.frontend.queues;
    if (queue === undefined) throw new Error("no queue 1");
    const random = new Random(SEED);
    const tables = [random.bytes(256), random.bytes(4096)].map((bytes) => {
      const { memory } = fs.frontend;
      return memory.guestAddress(memory.store(bytes).offset);
    });
    const { memory } = fs.frontend;
    const guard = { offset: memory.used + 65_536, length: 65_536 };
    memory.view(guard).fill(0x5a);
    for (let round = 0; round < 300; round++) {
      fuzzRing(fs, queue, random, tables);
      const waiting = [queue.callFd, queue.errorFd, fs.frontend.channel.fd];
      native.waitReadable(waiting, 20);
      expectServes(fs, 2);
      if (round % 10 === 9) {
        fs.frontend.restartQueue(queue);
        expectServes(fs, 1);
      }
    }
    expect(memory.view(guard).every((byte) => byte === 0x5a)).toBe(true);
  });
});
