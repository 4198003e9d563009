import { describe, expect, test } from "vitest";
import { native, VhostUser } from "../support/frontend/index.js";
import { connectRaw, errorLines, expectServes, mount } from "../support/frontend-testing.js";

const {
  encodeConfig,
  encodeMemoryRegion,
  encodeMemoryTable,
  encodeU64,
  encodeVringState,
  Feature,
  FLAG_NEED_REPLY,
  ProtocolFeature,
  Request,
  VRING_NO_FD,
} = VhostUser;

const MIB = 1 << 20;

describe("negotiation", () => {
  test("features are those of a virtio-fs device with split rings", async () => {
    const { frontend } = await connectRaw();
    frontend.channel.send(Request.SET_OWNER);
    const features = frontend.channel.queryU64(Request.GET_FEATURES);
    for (const [name, bit] of Object.entries(Feature)) {
      expect(features & bit, name).toBe(bit);
    }
    const protocol = frontend.channel.queryU64(Request.GET_PROTOCOL_FEATURES);
    const { MQ, REPLY_ACK, CONFIGURE_MEM_SLOTS, RESET_DEVICE, CONFIG } = ProtocolFeature;
    const wanted = MQ | REPLY_ACK | CONFIGURE_MEM_SLOTS | RESET_DEVICE;
    expect(protocol & wanted).toBe(wanted);
    expect(protocol & CONFIG, "CONFIG without --tag").toBe(0n);
  });

  test("a feature that was not offered is refused", async () => {
    const { frontend } = await connectRaw();
    frontend.negotiate();
    const status = frontend.channel.acknowledge(Request.SET_FEATURES, encodeU64(1n << 63n));
    expect(status).not.toBe(0n);
    expect(frontend.channel.queryU64(Request.GET_FEATURES)).toBe(frontend.offeredFeatures);
  });

  test("there are at least nine queues: hiprio and eight for requests", async () => {
    const { frontend } = await connectRaw();
    frontend.negotiate();
    expect(frontend.channel.queryU64(Request.GET_QUEUE_NUM)).toBeGreaterThanOrEqual(9n);
  });

  test("509 memory slots are offered", async () => {
    const { frontend } = await connectRaw();
    frontend.negotiate();
    expect(frontend.channel.queryU64(Request.GET_MAX_MEM_SLOTS)).toBe(509n);
  });

  test("RESET_OWNER is accepted", async () => {
    const { frontend } = await connectRaw();
    frontend.negotiate();
    expect(frontend.channel.acknowledge(Request.RESET_OWNER)).toBe(0n);
  });
});

describe("acknowledgements", () => {
  test("every message of the handshake is acknowledged with 0", async () => {
    // With REPLY_ACK the front-end demands an acknowledgement of 0 for each of them.
    const fs = await mount({ replyAck: true, requestQueues: 2 });
    expect(fs.frontend.protocolFeatures & ProtocolFeature.REPLY_ACK).not.toBe(0n);
    expectServes(fs, 2);
  });

  test.each([
    { memorySlots: true, replyAck: false },
    { memorySlots: false, replyAck: false },
    { memorySlots: false, replyAck: true },
  ])("slots $memorySlots, acknowledgements $replyAck: rings work", async (options) => {
    const fs = await mount(options);
    expectServes(fs);
  });

  test("an unknown message is refused and the connection goes on", async () => {
    const { frontend } = await connectRaw();
    frontend.negotiate();
    for (const request of [0, 30, 63, 200, 0xffff_ffff]) {
      expect(frontend.channel.acknowledge(request, encodeU64(7n)), `${request}`).not.toBe(0n);
    }
    expect(frontend.channel.queryU64(Request.GET_QUEUE_NUM)).toBeGreaterThan(0n);
  });

  test("an unknown message without need_reply is ignored", async () => {
    const { frontend } = await connectRaw();
    frontend.negotiate();
    frontend.channel.send(200, encodeU64(7n));
    expect(frontend.channel.queryU64(Request.GET_FEATURES)).toBe(frontend.offeredFeatures);
  });

  test("a message with a reply of its own gets no second one", async () => {
    const { frontend } = await connectRaw();
    frontend.negotiate();
    frontend.channel.send(Request.GET_FEATURES, undefined, [], FLAG_NEED_REPLY);
    expect(frontend.channel.receive().request).toBe(Request.GET_FEATURES);
    expect(frontend.channel.queryU64(Request.GET_QUEUE_NUM)).toBeGreaterThan(0n);
  });
});

describe("configuration space", () => {
  test.each(["t", "share", "x".repeat(36)])("holds the tag %s", async (tag) => {
    const { frontend } = await connectRaw({
      args: ["--backend", "memory", "--size", "16MiB", "--tag", tag],
    });
    frontend.negotiate();
    expect(frontend.protocolFeatures & ProtocolFeature.CONFIG).toBe(ProtocolFeature.CONFIG);
    const reply = frontend.channel.query(Request.GET_CONFIG, encodeConfig(0, 40));
    expect(reply).toHaveLength(52);
    expect(reply.toString("latin1", 12, 48).replace(/\0+$/, "")).toBe(tag);
    expect(reply.readUInt32LE(48)).toBe(1);
  });

  test("is read in parts, and not beyond its end", async () => {
    const { frontend } = await connectRaw({
      args: ["--backend", "memory", "--size", "16MiB", "--tag", "abcdef"],
    });
    frontend.negotiate();
    const part = frontend.channel.query(Request.GET_CONFIG, encodeConfig(2, 4));
    expect(part.toString("latin1", 12)).toBe("cdef");
    for (const [offset, size] of [
      [0, 0],
      [36, 8],
      [4096, 4],
      [0xffff_fffc, 8],
    ] as const) {
      // An empty payload is how a back-end says that it cannot serve the range.
      const reply = frontend.channel.query(Request.GET_CONFIG, encodeConfig(offset, size));
      expect(reply.length === 0 || reply.length === 12 + size).toBe(true);
    }
    expect(frontend.channel.queryU64(Request.GET_FEATURES)).toBe(frontend.offeredFeatures);
  });
});

describe("memory regions", () => {
  test("509 of them work, one more is refused", async () => {
    const fs = await mount({ regions: 509, memoryBytes: 509 * 65_536, ringSize: 64 });
    const { channel, memory } = fs.frontend;
    expectServes(fs);
    const extra = { ...memory.regions[0], guestAddress: 1n << 45n, userAddress: 1n << 45n };
    const payload = encodeMemoryRegion(extra as VhostUser.Region);
    expect(channel.acknowledge(Request.ADD_MEM_REG, payload, [memory.fd])).not.toBe(0n);
    expectServes(fs);
  });

  test("a region may be removed and added again while rings run", async () => {
    const fs = await mount({ regions: 3, memoryBytes: 6 * MIB });
    const { frontend } = fs;
    const { memory } = frontend;
    const last = memory.regions[2] as VhostUser.Region;
    for (let i = 0; i < 50; i++) {
      frontend.command(Request.REM_MEM_REG, encodeMemoryRegion(last));
      expectServes(fs);
      frontend.command(Request.ADD_MEM_REG, encodeMemoryRegion(last), [memory.fd]);
      expectServes(fs);
    }
  });

  test("REM_MEM_REG may carry a descriptor", async () => {
    const fs = await mount({ regions: 2, memoryBytes: 4 * MIB });
    const { frontend } = fs;
    const last = frontend.memory.regions[1] as VhostUser.Region;
    frontend.command(Request.REM_MEM_REG, encodeMemoryRegion(last), [frontend.memory.fd]);
    expectServes(fs);
  });

  test("a region that is not there cannot be removed", async () => {
    const fs = await mount({ regions: 2, memoryBytes: 4 * MIB });
    const { channel, memory } = fs.frontend;
    const region = memory.regions[1] as VhostUser.Region;
    for (const wrong of [
      { ...region, guestAddress: region.guestAddress + 4096n },
      { ...region, sizeBytes: region.sizeBytes - 4096n },
      { ...region, userAddress: region.userAddress + 4096n },
    ]) {
      expect(channel.acknowledge(Request.REM_MEM_REG, encodeMemoryRegion(wrong))).not.toBe(0n);
    }
    expectServes(fs);
  });

  test("a table replaces the one before, while rings run", async () => {
    const fs = await mount({ memorySlots: false, regions: 2, memoryBytes: 4 * MIB });
    const { fd, regions } = fs.frontend.memory;
    for (let i = 0; i < 20; i++) {
      const table = encodeMemoryTable(regions);
      fs.frontend.command(
        Request.SET_MEM_TABLE,
        table,
        regions.map(() => fd),
      );
      expectServes(fs);
    }
  });

  test("a table of eight regions works", async () => {
    const fs = await mount({ memorySlots: false, regions: 8, memoryBytes: 16 * MIB });
    expectServes(fs);
  });
});

describe("queue messages", () => {
  test("kick, call and error descriptors may be replaced while a ring runs", async () => {
    const fs = await mount();
    const { frontend } = fs;
    const queue = frontend.queues[1];
    if (queue === undefined) throw new Error("no queue 1");
    const spare = native.eventCreate();
    frontend.command(Request.SET_VRING_CALL, encodeU64(1n), [spare]);
    frontend.command(Request.SET_VRING_CALL, encodeU64(1n), [queue.callFd]);
    frontend.command(Request.SET_VRING_ERR, encodeU64(1n), [spare]);
    frontend.command(Request.SET_VRING_ERR, encodeU64(1n | VRING_NO_FD));
    native.closeDescriptor(spare);
    expectServes(fs);
  });

  test("without a call descriptor the ring works all the same", async () => {
    const fs = await mount();
    const { frontend } = fs;
    const queue = frontend.queues[1];
    if (queue === undefined) throw new Error("no queue 1");
    frontend.command(Request.SET_VRING_CALL, encodeU64(1n | VRING_NO_FD));
    const ticket = fs.submit(3, 1n, Buffer.alloc(16), 120);
    for (let i = 0; i < 10_000 && !queue.pending; i++) native.waitReadable([], 1);
    fs.collect(queue);
    expect(fs.wait(ticket).error).toBeNull();
  });

  test("a disabled ring is not served until it is enabled", async () => {
    const fs = await mount({ requestQueues: 2 });
    const queue = fs.frontend.queues[1];
    if (queue === undefined) throw new Error("no queue 1");
    fs.frontend.enableQueue(queue, false);
    const ticket = fs.submit(3, 1n, Buffer.alloc(16), 120);
    for (let i = 0; i < 20; i++) expectServes(fs, 2);
    expect(queue.pending).toBe(false);
    fs.frontend.enableQueue(queue, true);
    expect(fs.wait(ticket).error).toBeNull();
  });

  test("SET_BACKEND_REQ_FD is tolerated", async () => {
    const fs = await mount();
    const pair = native.pipeCreate();
    if (typeof pair === "number") throw new Error("pipe");
    fs.frontend.channel.acknowledge(Request.SET_BACKEND_REQ_FD, undefined, [pair[1]]);
    for (const fd of pair) native.closeDescriptor(fd);
    expectServes(fs);
    expect(fs.gateway.exited).toBeUndefined();
    expect(errorLines(fs.gateway).filter((line) => line.includes("ERROR"))).toEqual([]);
  });

  test("GET_VRING_BASE of a ring that never ran returns its base", async () => {
    const { frontend } = await connectRaw();
    frontend.negotiate();
    frontend.command(Request.SET_VRING_BASE, encodeVringState(1, 77));
    const reply = frontend.channel.query(Request.GET_VRING_BASE, encodeVringState(1, 0));
    expect([reply.readUInt32LE(0), reply.readUInt32LE(4)]).toEqual([1, 77]);
  });
});
