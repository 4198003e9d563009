import { createHash, randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  ATTR_OUT_BYTES,
  Body,
  type Client,
  encodeInHeader,
  IN_HEADER_BYTES,
  Opcode,
  OUT_HEADER_BYTES,
  ok,
  type RequestOptions,
  ROOT,
  type Ticket,
} from "../support/frontend/index.js";
import { expectServes, mount } from "../support/frontend-testing.js";

const GETATTR_BODY = Buffer.alloc(16);
const GETATTR_REPLY = OUT_HEADER_BYTES + ATTR_OUT_BYTES;
const MIB = 1 << 20;

function submitGetattr(fs: Client, options: RequestOptions = {}): Ticket {
  return fs.submit(Opcode.GETATTR, ROOT, GETATTR_BODY, GETATTR_REPLY, options);
}

/** Writes random bytes in pieces and reads them back in others. */
function expectRoundTrip(fs: Client, size: number, options: RequestOptions): void {
  const data = randomBytes(size);
  const { nodeid, fh } = ok(fs.create(ROOT, `file-${size}`));
  expect(ok(fs.write(nodeid, fh, 0, data, options)).size).toBe(size);
  const back = ok(fs.read(nodeid, fh, 0, size, options)).data;
  expect(sha(back)).toBe(sha(data));
  ok(fs.release(nodeid, fh));
}

function sha(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

describe.each([
  { indirect: true, eventIndex: true },
  { indirect: true, eventIndex: false },
  { indirect: false, eventIndex: true },
  { indirect: false, eventIndex: false },
])("indirect $indirect, event index $eventIndex", (features) => {
  test("requests are answered one at a time and many at once", async () => {
    const fs = await mount({ ...features, ringSize: 256 });
    for (let i = 0; i < 100; i++) expectServes(fs);
    const tickets = Array.from({ length: 48 }, () => submitGetattr(fs));
    for (const ticket of tickets) expect(fs.wait(ticket).error).toBeNull();
  });

  test("file data passes in segments of a page", async () => {
    const fs = await mount({ ...features, ringSize: 256 });
    for (const scatter of [false, true]) {
      expectRoundTrip(fs, 500_000, { segmentBytes: 4096, scatter });
    }
  });

  test("a batch published with one kick is answered whole", async () => {
    const fs = await mount({ ...features, ringSize: 256 });
    const tickets = Array.from({ length: 32 }, () => submitGetattr(fs, { noKick: true }));
    fs.frontend.queues[1]?.kick();
    for (const ticket of tickets) expect(fs.wait(ticket).error).toBeNull();
  });
});

test.each([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024])("ring of %i entries", async (ringSize) => {
  const fs = await mount({ ringSize, backend: "memory" });
  for (let round = 0; round < 3; round++) {
    const tickets = Array.from({ length: ringSize }, () => submitGetattr(fs));
    for (const ticket of tickets) expect(fs.wait(ticket).error).toBeNull();
  }
});

test("a ring of two direct descriptors carries one request at a time", async () => {
  // INIT takes four descriptors as the client sends it; without it requests are refused.
  const fs = await mount({ ringSize: 2, indirect: false, noInit: true });
  for (let i = 0; i < 10; i++) {
    const ticket = submitGetattr(fs, { framing: "merged" });
    expect(fs.wait(ticket).error).not.toBe("ENOSYS");
  }
});

test.each([1, 3, 7, 16, 39, 41])("requests cut into pieces of %i bytes", async (framing) => {
  const fs = await mount({ ringSize: 1024 });
  const { body } = fs.request(Opcode.GETATTR, ROOT, GETATTR_BODY, GETATTR_REPLY, { framing });
  expect(body).toHaveLength(ATTR_OUT_BYTES);
  expectRoundTrip(fs, 600, { framing });
});

test("1 MiB requests in descriptors of a page", async () => {
  const fs = await mount({ ringSize: 1024, memoryBytes: 32 * MIB });
  for (const scatter of [false, true]) {
    expectRoundTrip(fs, MIB, { segmentBytes: 4096, scatter });
  }
});

test("nine queues at once, 32 requests deep", async () => {
  const fs = await mount({ requestQueues: 9, ringSize: 128 });
  const tickets: Ticket[] = [];
  for (let i = 0; i < 32; i++) {
    for (let queue = 1; queue <= 9; queue++) tickets.push(submitGetattr(fs, { queue }));
  }
  for (const ticket of tickets) expect(fs.wait(ticket).error).toBeNull();
});

test("forgets on hiprio go through while request queues are full", async () => {
  const fs = await mount({ ringSize: 64 });
  const { nodeid } = ok(fs.mkdir(ROOT, "directory"));
  const tickets = Array.from({ length: 64 }, () => submitGetattr(fs));
  fs.forget(nodeid);
  for (const ticket of tickets) expect(fs.wait(ticket).error).toBeNull();
});

test.each([1, 32_767, 65_000, 65_535])("rings that start at index %i", async (firstIndex) => {
  const fs = await mount({ firstIndex, ringSize: 64 });
  for (let i = 0; i < 600; i++) expectServes(fs);
});

test("indexes wrap around after 65,536 requests", async () => {
  const fs = await mount({ ringSize: 256, backend: "memory" });
  for (let done = 0; done < 66_000; done += 200) {
    const tickets = Array.from({ length: 200 }, () => submitGetattr(fs, { framing: "merged" }));
    for (const ticket of tickets) expect(fs.wait(ticket).error).toBeNull();
  }
  expectServes(fs);
}, 60_000);

/** One GETATTR whose request and reply lie at the given offsets of guest memory. */
function getattrAt(fs: Client, request: number, reply: number): Buffer | undefined {
  const { memory, queues } = fs.frontend;
  const queue = queues[1];
  if (queue === undefined) throw new Error("no queue 1");
  const header = encodeInHeader({
    length: IN_HEADER_BYTES + GETATTR_BODY.length,
    opcode: Opcode.GETATTR,
    unique: 4711n,
    nodeid: ROOT,
    credentials: fs.credentials,
    extensionUnits: 0,
  });
  memory.bytes.set(new Body().raw(header).raw(GETATTR_BODY).bytes, request);
  queue.add(
    [{ offset: request, length: IN_HEADER_BYTES + GETATTR_BODY.length }],
    [{ offset: reply, length: GETATTR_REPLY }],
  );
  queue.kick();
  expect(fs.frontend.waitUsed(queue)).toBe("used");
  const used = queue.take();
  if (used?.length === 0) return undefined;
  return memory.bytes.subarray(reply, reply + (used?.length ?? 0));
}

describe("memory in several regions", () => {
  test.each([2, 5, 8])("%i regions with holes between them", async (regions) => {
    const fs = await mount({ regions, memoryBytes: regions * 2 * MIB });
    expectRoundTrip(fs, MIB, { segmentBytes: 4096, scatter: true });
  });

  test("a descriptor may lie across two regions that adjoin", async () => {
    const fs = await mount({ regions: 4, regionHoleBytes: 0, memoryBytes: 8 * MIB });
    const [first, second] = [2 * MIB, 6 * MIB];
    expect(fs.frontend.memory.used).toBeLessThan(first - 4096);
    for (const shift of [1, 20, 40, 55]) {
      const reply = getattrAt(fs, first - shift, second - shift);
      expect(reply?.readBigUInt64LE(8)).toBe(4711n);
      expect(reply).toHaveLength(GETATTR_REPLY);
    }
  });

  test("a descriptor across a hole is refused", async () => {
    const fs = await mount({ regions: 4, memoryBytes: 8 * MIB });
    const boundary = 4 * MIB;
    expect(getattrAt(fs, boundary - 56, 6 * MIB)).toHaveLength(GETATTR_REPLY);
    expect(getattrAt(fs, boundary - 55, 6 * MIB)).toBeUndefined();
    expect(getattrAt(fs, 3 * MIB, boundary - GETATTR_REPLY)).toHaveLength(GETATTR_REPLY);
    expect(getattrAt(fs, 3 * MIB, boundary - GETATTR_REPLY + 1)).toBeUndefined();
    expectServes(fs);
  });
});
