import { closeSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { ConnectionClosed, type Frontend, native, VhostUser } from "../support/frontend/index.js";
import { connectRaw, expectCleanLog, expectFatal, expectServes, mount } from "../support/frontend-testing.js";
import type { Gateway } from "../support/gateway.js";

const {
  encodeHeader,
  encodeMemoryRegion,
  encodeMemoryTable,
  encodeU64,
  encodeVringAddresses,
  encodeVringState,
  Request,
  VERSION,
} = VhostUser;

const ALL_ONES = Buffer.alloc(64, 0xff);
const PAGE = 4096n;

describe("a front-end that is none", () => {
  test.each([
    ["text", Buffer.from("GET / HTTP/1.1\r\nHost: example\r\n\r\n")],
    ["ones", ALL_ONES],
    ["version 0", encodeHeader(Request.GET_FEATURES, 0, 0)],
    ["version 2", encodeHeader(Request.GET_FEATURES, 2, 0)],
    ["version 3", encodeHeader(Request.GET_FEATURES, 3, 0)],
    ["a reply", encodeHeader(Request.GET_FEATURES, VERSION | VhostUser.FLAG_REPLY, 0)],
    ["a payload of 4 GiB", encodeHeader(Request.SET_FEATURES, VERSION, 0xffff_ffff)],
    ["a payload of 64 KiB", encodeHeader(Request.SET_FEATURES, VERSION, 65_536)],
  ])("that sends %s ends the server with one line", async (_name, bytes) => {
    const { gateway, frontend } = await connectRaw();
    frontend.channel.sendRaw(bytes);
    expect(frontend.channel.waitClosed()).toBe(true);
    await expectFatal(gateway, /version|flags|size|payload|reply|header/i);
  });

  test.each([1, 11])("that breaks off after %i bytes of a header", async (length) => {
    const { gateway, frontend } = await connectRaw();
    frontend.channel.sendRaw(encodeHeader(Request.GET_FEATURES, VERSION, 0).subarray(0, length));
    frontend.close();
    await expectFatal(gateway, /middle of|incomplete|truncated|broke off/i);
  });

  test.each([0, 7])("that breaks off after %i bytes of a payload", async (length) => {
    const { gateway, frontend } = await connectRaw();
    const message = Buffer.concat([encodeHeader(Request.SET_FEATURES, VERSION, 8), encodeU64(0n)]);
    frontend.channel.sendRaw(message.subarray(0, VhostUser.HEADER_BYTES + length));
    frontend.close();
    await expectFatal(gateway, /middle of|incomplete|truncated|broke off/i);
  });

  test("a message that comes byte by byte is understood", async () => {
    const { frontend } = await connectRaw();
    const message = encodeHeader(Request.GET_FEATURES, VERSION, 0);
    for (const byte of message) frontend.channel.sendRaw(Buffer.from([byte]));
    expect(frontend.channel.receive().payload).toHaveLength(8);
  });

  test("two messages in one segment are both answered", async () => {
    const { frontend } = await connectRaw();
    const message = encodeHeader(Request.GET_FEATURES, VERSION, 0);
    frontend.channel.sendRaw(Buffer.concat([message, message]));
    expect(frontend.channel.receive().payload).toEqual(frontend.channel.receive().payload);
  });
});

describe("a message that is refused and wants no acknowledgement", () => {
  test.each([
    ["SET_FEATURES", Request.SET_FEATURES, encodeU64(1n << 63n)],
    ["SET_VRING_NUM", Request.SET_VRING_NUM, encodeVringState(1, 3)],
    ["SET_VRING_NUM", Request.SET_VRING_NUM, Buffer.alloc(4)],
    ["SET_VRING_BASE", Request.SET_VRING_BASE, encodeVringState(255, 0)],
    ["SET_VRING_KICK", Request.SET_VRING_KICK, encodeU64(1n)],
    ["SET_MEM_TABLE", Request.SET_MEM_TABLE, encodeVringState(1, 0)],
    ["ADD_MEM_REG", Request.ADD_MEM_REG, Buffer.alloc(40)],
    ["GET_VRING_BASE", Request.GET_VRING_BASE, encodeVringState(255, 0)],
  ])("%s ends the server with one line that names it", async (name, request, payload) => {
    const { gateway, frontend } = await connectRaw();
    frontend.negotiate();
    frontend.channel.send(request, payload);
    expect(frontend.channel.waitClosed()).toBe(true);
    await expectFatal(gateway, new RegExp(name));
  });
});

/** The message is refused by its acknowledgement, and the connection goes on. */
function expectRefused(
  frontend: Frontend,
  request: number,
  payload: Buffer,
  fds: readonly number[] = [],
): void {
  expect(frontend.channel.acknowledge(request, payload, fds)).not.toBe(0n);
  expect(frontend.channel.queryU64(Request.GET_FEATURES)).toBe(frontend.offeredFeatures);
}

async function negotiated(): Promise<Frontend> {
  const { frontend, gateway } = await connectRaw();
  frontend.negotiate();
  onTestFinished(() => {
    expectCleanLog(gateway);
    expect(gateway.exited).toBeUndefined();
  });
  return frontend;
}

function makePipe(): [number, number] {
  const pair = native.pipeCreate();
  if (typeof pair === "number") throw new Error("pipe");
  onTestFinished(() => {
    for (const fd of pair) native.closeDescriptor(fd);
  });
  return pair;
}

describe("payloads of the wrong size", () => {
  test.each([
    ["SET_FEATURES", Request.SET_FEATURES, 8],
    ["SET_PROTOCOL_FEATURES", Request.SET_PROTOCOL_FEATURES, 8],
    ["SET_VRING_NUM", Request.SET_VRING_NUM, 8],
    ["SET_VRING_ADDR", Request.SET_VRING_ADDR, 40],
    ["SET_VRING_BASE", Request.SET_VRING_BASE, 8],
    ["SET_VRING_ENABLE", Request.SET_VRING_ENABLE, 8],
    ["SET_VRING_KICK", Request.SET_VRING_KICK, 8],
    ["SET_MEM_TABLE", Request.SET_MEM_TABLE, 8],
    ["ADD_MEM_REG", Request.ADD_MEM_REG, 40],
    ["REM_MEM_REG", Request.REM_MEM_REG, 40],
  ])("%s too short", async (_name, request, size) => {
    const frontend = await negotiated();
    for (const length of [0, 1, size - 1]) expectRefused(frontend, request, Buffer.alloc(length));
  });
});

describe("memory that cannot be used", () => {
  test("a pipe", async () => {
    const frontend = await negotiated();
    const [readEnd] = makePipe();
    const region = encodeMemoryRegion(frontend.memory.regions[0] as VhostUser.Region);
    expectRefused(frontend, Request.ADD_MEM_REG, region, [readEnd]);
    const table = encodeMemoryTable(frontend.memory.regions);
    expectRefused(frontend, Request.SET_MEM_TABLE, table, [readEnd]);
  });

  test("a file that can only be read", async () => {
    const { frontend, gateway } = await connectRaw();
    frontend.negotiate();
    const fd = openSync(join(gateway.directory, "stderr.log"), "r");
    const region = { ...(frontend.memory.regions[0] as VhostUser.Region), sizeBytes: 1n };
    expectRefused(frontend, Request.ADD_MEM_REG, encodeMemoryRegion(region), [fd]);
    closeSync(fd);
  });

  test("no descriptor, or one too many", async () => {
    const frontend = await negotiated();
    const { fd, regions } = frontend.memory;
    const region = encodeMemoryRegion(regions[0] as VhostUser.Region);
    expectRefused(frontend, Request.ADD_MEM_REG, region);
    expectRefused(frontend, Request.ADD_MEM_REG, region, [fd, fd]);
    expectRefused(frontend, Request.SET_MEM_TABLE, encodeMemoryTable(regions));
    expectRefused(frontend, Request.SET_MEM_TABLE, encodeMemoryTable(regions), [fd, fd]);
  });

  test("sizes and offsets outside the file", async () => {
    const frontend = await negotiated();
    const region = frontend.memory.regions[0] as VhostUser.Region;
    const good = region.sizeBytes;
    for (const wrong of [
      { ...region, sizeBytes: 0n },
      { ...region, sizeBytes: good + PAGE },
      { ...region, sizeBytes: good + 1n },
      { ...region, sizeBytes: 1n << 63n },
      { ...region, sizeBytes: (1n << 64n) - 1n },
      { ...region, fileOffset: PAGE },
      { ...region, fileOffset: (1n << 64n) - PAGE },
      { ...region, guestAddress: (1n << 64n) - PAGE },
      { ...region, userAddress: (1n << 64n) - PAGE },
    ]) {
      const { fd } = frontend.memory;
      expectRefused(frontend, Request.ADD_MEM_REG, encodeMemoryRegion(wrong), [fd]);
      expectRefused(frontend, Request.SET_MEM_TABLE, encodeMemoryTable([wrong]), [fd]);
    }
    frontend.command(Request.ADD_MEM_REG, encodeMemoryRegion(region), [frontend.memory.fd]);
  });

  test("regions that overlap", async () => {
    const frontend = await negotiated();
    const { fd } = frontend.memory;
    const whole = frontend.memory.regions[0] as VhostUser.Region;
    const half = { ...whole, sizeBytes: whole.sizeBytes / 2n };
    frontend.command(Request.ADD_MEM_REG, encodeMemoryRegion(half), [fd]);
    const lastPage = half.guestAddress + half.sizeBytes - PAGE;
    for (const guestAddress of [half.guestAddress, lastPage, half.guestAddress - PAGE]) {
      const other = { ...half, guestAddress, userAddress: 1n << 40n };
      expectRefused(frontend, Request.ADD_MEM_REG, encodeMemoryRegion(other), [fd]);
    }
    const behind = { ...half, guestAddress: half.guestAddress + half.sizeBytes };
    const adjoining = { ...behind, userAddress: half.userAddress + half.sizeBytes };
    frontend.command(Request.ADD_MEM_REG, encodeMemoryRegion(adjoining), [fd]);
  });

  test("a table with more regions than it holds, or more than eight", async () => {
    const frontend = await negotiated();
    const { fd, regions } = frontend.memory;
    const region = regions[0] as VhostUser.Region;
    const lying = encodeMemoryTable([region]);
    lying.writeUInt32LE(2, 0);
    expectRefused(frontend, Request.SET_MEM_TABLE, lying, [fd]);
    lying.writeUInt32LE(0xffff_ffff, 0);
    expectRefused(frontend, Request.SET_MEM_TABLE, lying, [fd]);
  });

  test("a table of nine regions", async () => {
    const { frontend, gateway } = await connectRaw();
    frontend.negotiate();
    const { fd, regions } = frontend.memory;
    const region = regions[0] as VhostUser.Region;
    const nine = Array.from({ length: 9 }, (_, i) => {
      const shift = BigInt(i) * region.sizeBytes;
      return { ...region, guestAddress: shift, userAddress: shift };
    });
    const table = encodeMemoryTable(nine);
    await expectTooMany(
      gateway,
      frontend,
      Request.SET_MEM_TABLE,
      table,
      nine.map(() => fd),
    );
  });
});

/** More descriptors than a message may carry: refused, or the end with a line that says so. */
async function expectTooMany(
  gateway: Gateway,
  frontend: Frontend,
  request: number,
  payload: Buffer,
  fds: readonly number[],
): Promise<void> {
  frontend.channel.send(request, payload, fds, VhostUser.FLAG_NEED_REPLY);
  try {
    expect(frontend.channel.receive().payload.readBigUInt64LE()).not.toBe(0n);
    expectCleanLog(gateway);
  } catch (error) {
    expect(error).toBeInstanceOf(ConnectionClosed);
    await expectFatal(gateway, /descriptors/);
  }
}

describe("queues that cannot be used", () => {
  test("sizes that are no power of two up to 32768", async () => {
    const frontend = await negotiated();
    for (const size of [0, 3, 127, 32_769, 65_536, 0xffff_ffff]) {
      expectRefused(frontend, Request.SET_VRING_NUM, encodeVringState(1, size));
    }
    for (const size of [1, 2, 32_768]) {
      frontend.command(Request.SET_VRING_NUM, encodeVringState(1, size));
    }
  });

  test("indexes beyond the last queue", async () => {
    const frontend = await negotiated();
    const count = Number(frontend.channel.queryU64(Request.GET_QUEUE_NUM));
    const [fd] = makePipe();
    for (const index of [count, 255, 256, 0xffff_ffff]) {
      expectRefused(frontend, Request.SET_VRING_NUM, encodeVringState(index, 128));
      expectRefused(frontend, Request.SET_VRING_BASE, encodeVringState(index, 0));
      expectRefused(frontend, Request.SET_VRING_ENABLE, encodeVringState(index, 1));
    }
    for (const index of [count, 255]) {
      for (const request of [Request.SET_VRING_KICK, Request.SET_VRING_CALL, Request.SET_VRING_ERR]) {
        expectRefused(frontend, request, encodeU64(BigInt(index)), [fd]);
      }
    }
    frontend.command(Request.SET_VRING_NUM, encodeVringState(count - 1, 128));
  });

  test("bases beyond 65535 and switches beyond 1", async () => {
    const frontend = await negotiated();
    expectRefused(frontend, Request.SET_VRING_BASE, encodeVringState(1, 65_536));
    expectRefused(frontend, Request.SET_VRING_ENABLE, encodeVringState(1, 2));
    frontend.command(Request.SET_VRING_BASE, encodeVringState(1, 65_535));
  });

  test("ring addresses outside memory, across its end, or not aligned", async () => {
    const fs = await mount({ requestQueues: 2 });
    const { frontend } = fs;
    const [, , queue] = frontend.queues;
    if (queue === undefined) throw new Error("no queue 2");
    const { memory } = frontend;
    frontend.stopQueue(queue);
    const right = {
      descriptors: memory.userAddress(queue.descriptors.offset),
      used: memory.userAddress(queue.used.offset),
      available: memory.userAddress(queue.available.offset),
    };
    const end = memory.userAddress(memory.bytes.length);
    for (const part of ["descriptors", "used", "available"] as const) {
      for (const address of [0n, end, end - 4n, (1n << 64n) - 16n, right[part] + 1n]) {
        const payload = encodeVringAddresses(2, { ...right, [part]: address });
        const status = frontend.channel.acknowledge(Request.SET_VRING_ADDR, payload);
        const kick = encodeU64(2n);
        const started = frontend.channel.acknowledge(Request.SET_VRING_KICK, kick, [queue.kickFd]);
        // Either message may be the one that finds it out.
        expect(status !== 0n || started !== 0n, `${part} at ${address}`).toBe(true);
        expectServes(fs);
        frontend.stopQueue(queue);
      }
    }
    frontend.startQueue(queue);
    expectServes(fs, 2);
  });

  test("a ring that starts before there is memory", async () => {
    const frontend = await negotiated();
    frontend.createQueues();
    const [, queue] = frontend.queues;
    if (queue === undefined) throw new Error("no queue 1");
    frontend.command(Request.SET_VRING_NUM, encodeVringState(1, queue.size));
    const statuses = [
      frontend.channel.acknowledge(Request.SET_VRING_ADDR, frontend.vringAddresses(queue)),
      frontend.channel.acknowledge(Request.SET_VRING_KICK, encodeU64(1n), [queue.kickFd]),
    ];
    expect(statuses).not.toEqual([0n, 0n]);
    frontend.shareMemory();
    frontend.startQueues();
  });

  test("a kick without its descriptor", async () => {
    expectRefused(await negotiated(), Request.SET_VRING_KICK, encodeU64(1n));
  });

  test("descriptors where none belong are closed", async () => {
    const fs = await mount();
    const { channel } = fs.frontend;
    const [fd] = makePipe();
    const before = readdirSync(`/proc/${fs.gateway.pid}/fd`).length;
    for (let i = 0; i < 50; i++) {
      channel.query(Request.GET_FEATURES, undefined, [fd, fd, fd]);
      channel.acknowledge(Request.SET_VRING_ENABLE, encodeVringState(1, 1), [fd]);
      channel.acknowledge(200, Buffer.alloc(8), [fd]);
    }
    expectServes(fs);
    expect(readdirSync(`/proc/${fs.gateway.pid}/fd`).length).toBeLessThanOrEqual(before);
  });

  test("more descriptors than any message carries", async () => {
    const { frontend, gateway } = await connectRaw();
    frontend.negotiate();
    const [fd] = makePipe();
    const fds = Array.from({ length: 253 }, () => fd);
    await expectTooMany(gateway, frontend, Request.SET_VRING_NUM, encodeVringState(1, 3), fds);
  });
});
