import { describe, expect, test } from "vitest";
import {
  Body,
  type Client,
  ConnectionClosed,
  encodeInHeader,
  IN_HEADER_BYTES,
  native,
  Opcode,
  ok,
  ROOT,
  VhostUser,
} from "../support/frontend/index.js";
import { errorLines, expectCleanLog, mount } from "../support/frontend-testing.js";

const MIB = 1 << 20;
const TAIL = 12 * MIB;
const DATA_BYTES = 65_536;

/** Cuts guest memory off behind `sizeBytes`; from then on the test itself must not touch it. */
function truncate(fs: Client, sizeBytes: number): void {
  expect(native.truncate(fs.frontend.memory.fd, sizeBytes)).toBe(0);
}

/**
 * The server may go on or give up, but in order: it never dies of a signal, and says in one line why
 * it ended.
 */
async function expectOrderlyEnd(fs: Client): Promise<void> {
  try {
    fs.frontend.channel.queryU64(VhostUser.Request.GET_FEATURES);
  } catch (error) {
    expect(error).toBeInstanceOf(ConnectionClosed);
  }
  fs.frontend.close();
  const { code, signal } = await fs.gateway.waitForExit();
  expect(signal).toBeNull();
  expect(code).toBeOneOf([0, 1]);
  expectCleanLog(fs.gateway);
  if (code === 1) expect(errorLines(fs.gateway).at(-1)).toMatch(/memory/i);
}

describe.each(["passthrough", "memory"] as const)("guest memory that vanishes (%s)", (backend) => {
  test("under a request", async () => {
    const fs = await mount({ backend });
    const [, queue] = fs.frontend.queues;
    expect(fs.frontend.memory.used).toBeLessThan(TAIL);
    truncate(fs, TAIL);
    queue?.add([{ offset: TAIL + 4096, length: 56 }], [fs.frontend.memory.allocate(120)]);
    queue?.forceKick();
    if (queue !== undefined) fs.frontend.waitUsed(queue);
    await expectOrderlyEnd(fs);
  });

  test("under a reply", async () => {
    const fs = await mount({ backend });
    const [, queue] = fs.frontend.queues;
    const ticket = fs.submit(3, ROOT, Buffer.alloc(16), 120);
    fs.wait(ticket);
    truncate(fs, TAIL);
    queue?.add([...ticket.readable], [{ offset: TAIL, length: 120 }]);
    queue?.forceKick();
    if (queue !== undefined) fs.frontend.waitUsed(queue);
    await expectOrderlyEnd(fs);
  });

  test.each(["read", "write"] as const)("under the data of a %s", async (kind) => {
    const fs = await mount({ backend });
    const [, queue] = fs.frontend.queues;
    if (queue === undefined) throw new Error("no queue 1");
    const { nodeid, fh } = ok(fs.create(ROOT, "file"));
    expect(ok(fs.write(nodeid, fh, 0, Buffer.alloc(DATA_BYTES, 1))).size).toBe(DATA_BYTES);
    const data = { offset: TAIL, length: DATA_BYTES };
    const body = new Body().u64(fh, 0).u32(DATA_BYTES, 0).u64(0).u32(0, 0).bytes;
    const header = encodeInHeader({
      length: IN_HEADER_BYTES + body.length + (kind === "write" ? DATA_BYTES : 0),
      opcode: kind === "write" ? Opcode.WRITE : Opcode.READ,
      unique: 4711n,
      nodeid,
      credentials: fs.credentials,
      extensionUnits: 0,
    });
    const request = fs.frontend.memory.store(Buffer.concat([header, body]));
    const reply = fs.frontend.memory.allocate(kind === "write" ? 24 : 16);
    truncate(fs, TAIL);
    if (kind === "write") queue.add([request, data], [reply]);
    else queue.add([request], [reply, data]);
    queue.forceKick();
    expect(fs.frontend.waitUsed(queue)).toBeOneOf(["used", "closed"]);
    await expectOrderlyEnd(fs);
  });

  test("under the rings", async () => {
    const fs = await mount({ backend });
    truncate(fs, 0);
    for (const queue of fs.frontend.queues) queue.forceKick();
    fs.frontend.channel.waitClosed(200);
    await expectOrderlyEnd(fs);
  });

  test("before it is shared", async () => {
    const fs = await mount({ backend, regions: 2, memoryBytes: 4 * MIB });
    const { channel, memory } = fs.frontend;
    const region = { ...memory.regions[1], guestAddress: 1n << 40n, userAddress: 1n << 40n };
    native.truncate(memory.fd, 2 * MIB);
    const payload = VhostUser.encodeMemoryRegion(region as VhostUser.Region);
    const status = channel.acknowledge(VhostUser.Request.ADD_MEM_REG, payload, [memory.fd]);
    expect(status).not.toBe(0n);
    await expectOrderlyEnd(fs);
  });
});
