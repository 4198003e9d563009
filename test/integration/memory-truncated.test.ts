import { describe, expect, test } from "vitest";
import { errorLines, expectCleanLog, mount } from "../support/frontend-testing.js";
import { type Client, ConnectionClosed, native, ok, ROOT, VhostUser } from "../support/frontend/index.js";

const MIB = 1 << 20;
const TAIL = 12 * MIB;

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
  if (code === 1) expect(errorLines(fs.gateway)).toEqual([expect.stringMatching(/memory/i)]);
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

  test("under the data of a read and a write", async () => {
    const fs = await mount({ backend });
    const { nodeid, fh } = ok(fs.create(ROOT, "file"));
    expect(ok(fs.write(nodeid, fh, 0, Buffer.alloc(65_536, 1))).size).toBe(65_536);
    const body = Buffer.alloc(40);
    body.writeBigUInt64LE(fh, 0);
    body.writeUInt32LE(65_536, 16);
    for (const opcode of [15, 16]) {
      // The client's own buffers lie below; only those of the attack are cut off.
      const ticket = fs.submit(opcode, nodeid, body, opcode === 15 ? 16 : 24);
      fs.waitUsed(ticket);
      const data = { offset: TAIL, length: 65_536 };
      const [, queue] = fs.frontend.queues;
      if (opcode === 15) truncate(fs, TAIL);
      const [header] = ticket.readable;
      if (header === undefined) throw new Error("no header");
      const total = 40 + 40 + (opcode === 16 ? 65_536 : 0);
      fs.frontend.memory.bytes.writeUInt32LE(total, header.offset);
      const readable = [...ticket.readable, ...(opcode === 16 ? [data] : [])];
      queue?.add(readable, [...ticket.writable, ...(opcode === 15 ? [data] : [])]);
      queue?.forceKick();
      if (queue !== undefined && fs.frontend.waitUsed(queue) !== "used") break;
      queue?.take();
    }
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
