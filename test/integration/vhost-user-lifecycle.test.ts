import { describe, expect, test } from "vitest";
import { type Client, Frontend, ok, ROOT, VhostUser, type Virtqueue } from "../support/frontend/index.js";
import { expectServes, makeFile, mount } from "../support/frontend-testing.js";
import { spawnGateway, startGateway } from "../support/gateway.js";

const { Request } = VhostUser;
const GONE = ["ESTALE", "EINVAL", "ENOENT", "EBADF"];

function queueOf(fs: Client, index: number): Virtqueue {
  const queue = fs.frontend.queues[index];
  if (queue === undefined) throw new Error(`no queue ${index}`);
  return queue;
}

describe("stopping and starting rings", () => {
  test("GET_VRING_BASE returns where the ring stood, and it goes on from there", async () => {
    const fs = await mount();
    const queue = queueOf(fs, 1);
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 7; i++) expectServes(fs);
      expect(fs.frontend.stopQueue(queue)).toBe(queue.takenUsedIndex);
      fs.frontend.startQueue(queue);
    }
    expectServes(fs);
  });

  test("what is in flight is drained before GET_VRING_BASE is answered", async () => {
    const fs = await mount({ requestQueues: 2, ringSize: 256 });
    const queue = queueOf(fs, 1);
    const { nodeid, fh } = ok(fs.create(ROOT, "file"));
    const body = Buffer.alloc(40 + 65_536);
    body.writeBigUInt64LE(fh, 0);
    body.writeUInt32LE(65_536, 16);
    const tickets = Array.from({ length: 40 }, () => fs.submit(16, nodeid, body, 24));
    const base = fs.frontend.stopQueue(queue);
    const answered = queue.serverUsedIndex;
    // What was taken was answered, and nothing moves after the stop.
    expect(base).toBe(answered);
    expectServes(fs, 2);
    expect(queue.serverUsedIndex).toBe(answered);
    fs.frontend.startQueue(queue);
    queue.forceKick();
    for (const ticket of tickets) expect(fs.wait(ticket).error).toBeNull();
  });

  test("requests made available while the ring was stopped are served after its start", async () => {
    const fs = await mount({ requestQueues: 2 });
    const queue = queueOf(fs, 1);
    fs.frontend.stopQueue(queue);
    const ticket = fs.submit(3, ROOT, Buffer.alloc(16), 120, { noKick: true });
    expectServes(fs, 2);
    expect(queue.pending).toBe(false);
    fs.frontend.startQueue(queue);
    expect(fs.wait(ticket).error).toBeNull();
  });

  test("the session goes on over a stop of all rings", async () => {
    const fs = await mount();
    const { nodeid, fh } = ok(fs.create(ROOT, "file"));
    for (const queue of fs.frontend.queues) fs.frontend.stopQueue(queue);
    fs.frontend.startQueues();
    expect(ok(fs.write(nodeid, fh, 0, "abc")).size).toBe(3);
  });
});

describe("a reboot of the guest", () => {
  test.each([{ memorySlots: true }, { memorySlots: false }])(
    "starts a new session with new memory (slots: $memorySlots)",
    async (options) => {
      const fs = await mount(options);
      const { nodeid, fh } = ok(fs.create(ROOT, "file"));
      expect(ok(fs.write(nodeid, fh, 0, "kept")).size).toBe(4);
      for (let boot = 0; boot < 3; boot++) {
        fs.frontend.reboot();
        fs.abandon();
        ok(fs.init());
        expect(fs.getattr(nodeid).error).toBeOneOf(GONE);
        expect(fs.read(nodeid, fh, 0, 4).error).toBeOneOf(GONE);
        const again = ok(fs.lookup(ROOT, "file"));
        const opened = ok(fs.open(again.nodeid));
        expect(ok(fs.read(again.nodeid, opened.fh, 0, 10)).data.toString()).toBe("kept");
        fs.forget(again.nodeid);
        ok(fs.release(again.nodeid, opened.fh));
      }
    },
  );

  test("RESET_DEVICE stops the rings; the device can be set up again", async () => {
    const fs = await mount();
    makeFile(fs, "file", "kept");
    fs.frontend.command(Request.RESET_DEVICE, Buffer.alloc(0));
    fs.abandon();
    for (const queue of fs.frontend.queues) queue.reset();
    fs.frontend.startQueues();
    ok(fs.init());
    expect(ok(fs.lookup(ROOT, "file")).attr.size).toBe(4);
  });
});

describe("the end of the connection", () => {
  const lines = [
    "Waiting for vhost-user socket connection...",
    "Client connected, servicing requests",
    "Client disconnected, shutting down",
  ];

  test("ends the process with 0 after three lines", async () => {
    const fs = await mount();
    fs.frontend.close();
    expect(await fs.gateway.waitForExit()).toEqual({ code: 0, signal: null });
    const said = fs.gateway
      .stderr()
      .split("\n")
      .filter((line) => line !== "");
    expect(said).toHaveLength(lines.length);
    lines.forEach((line, i) => {
      expect(said[i]).toContain(line);
    });
  });

  test("ends it with 0 before anything was negotiated", async () => {
    const gateway = await startGateway(["--backend", "memory", "--size", "16MiB"]);
    Frontend.open(gateway.socketPath).close();
    expect(await gateway.waitForExit()).toEqual({ code: 0, signal: null });
    await gateway.stop();
  });

  test("ends it with 0 while requests are in flight", async () => {
    const fs = await mount({ ringSize: 256 });
    const { nodeid, fh } = ok(fs.create(ROOT, "file"));
    expect(ok(fs.write(nodeid, fh, 0, Buffer.alloc(1 << 20))).size).toBe(1 << 20);
    const body = Buffer.alloc(40);
    body.writeBigUInt64LE(fh, 0);
    body.writeUInt32LE(65_536, 16);
    for (let i = 0; i < 64; i++) fs.submit(15, nodeid, body, 16 + 65_536);
    fs.frontend.close();
    expect(await fs.gateway.waitForExit()).toEqual({ code: 0, signal: null });
  });

  test.each(["SIGTERM", "SIGHUP"] as const)("%s ends a waiting server with 1", async (signal) => {
    const gateway = await startGateway(["--backend", "memory", "--size", "16MiB"]);
    gateway.signal(signal);
    expect(await gateway.waitForExit()).toEqual({ code: 1, signal: null });
    await gateway.stop();
  });

  test("a second server on a socket in use is refused and the first goes on", async () => {
    const fs = await mount();
    const words = ["--backend", "memory", "--size", "16MiB", "--socket-path", fs.gateway.socketPath];
    const second = spawnGateway(words);
    const { code } = await second.waitForExit();
    expect(code).toBeOneOf([1, 2]);
    expect(second.stderr()).toContain(fs.gateway.socketPath);
    await second.stop();
    expectServes(fs);
  });
});
