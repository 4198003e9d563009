import { describe, expect, test } from "vitest";
import {
  ATTR_OUT_BYTES,
  type Client,
  native,
  Opcode,
  OUT_HEADER_BYTES,
  ROOT,
  type Virtqueue,
} from "../support/frontend/index.js";
import { mount } from "../support/frontend-testing.js";

const WAIT_MS = 10_000;

function requestQueue(fs: Client): Virtqueue {
  const queue = fs.frontend.queues[1];
  if (queue === undefined) throw new Error("no queue 1");
  return queue;
}

/** Sends a GETATTR and watches the used ring until it moves, without asking for a signal. */
function getattrByPolling(fs: Client): void {
  const queue = requestQueue(fs);
  fs.submit(Opcode.GETATTR, ROOT, Buffer.alloc(16), OUT_HEADER_BYTES + ATTR_OUT_BYTES);
  const deadline = Date.now() + WAIT_MS;
  while (!queue.pending) {
    if (Date.now() > deadline) throw new Error("no answer");
    native.waitReadable([], 1);
  }
  fs.collect(queue);
}

function expectSignal(queue: Virtqueue): void {
  expect(native.waitReadable([queue.callFd], WAIT_MS)).toBe(1);
}

describe("signals to the guest", () => {
  test("with EVENT_IDX none comes before used_event is passed", async () => {
    const fs = await mount({ eventIndex: true });
    const queue = requestQueue(fs);
    queue.takeCalls();
    queue.setUsedEvent(queue.takenUsedIndex + 4);
    for (let i = 0; i < 4; i++) getattrByPolling(fs);
    getattrByPolling(fs);
    expectSignal(queue);
    expect(queue.takeCalls()).toBe(1);
  });

  test("with EVENT_IDX used_event works across the wrap of the index", async () => {
    const fs = await mount({ eventIndex: true, firstIndex: 65_533, noInit: true });
    const queue = requestQueue(fs);
    queue.takeCalls();
    queue.setUsedEvent(65_533 + 5);
    for (let i = 0; i < 6; i++) getattrByPolling(fs);
    expectSignal(queue);
    expect(queue.takeCalls()).toBe(1);
    expect(queue.takenUsedIndex).toBe(3);
  });

  test("without EVENT_IDX none comes while the guest's flag forbids it", async () => {
    const fs = await mount({ eventIndex: false });
    const queue = requestQueue(fs);
    queue.takeCalls();
    queue.setInterruptFlag(false);
    for (let i = 0; i < 4; i++) getattrByPolling(fs);
    queue.setInterruptFlag(true);
    getattrByPolling(fs);
    expectSignal(queue);
    expect(queue.takeCalls()).toBe(1);
  });

  test("a server that sleeps asks for kicks again", async () => {
    const fs = await mount({ eventIndex: true });
    const queue = requestQueue(fs);
    for (let i = 0; i < 5; i++) {
      getattrByPolling(fs);
      // Longer than any spinning of the server: afterwards only a kick wakes it.
      native.waitReadable([], 50);
      expect(queue.takenUsedIndex).toBe(queue.serverUsedIndex);
    }
    getattrByPolling(fs);
    expect(queue.pending).toBe(false);
  });

  test.each([true, false])("none is lost among many requests at once, EVENT_IDX %s", async (eventIndex) => {
    const fs = await mount({ eventIndex });
    const reply = OUT_HEADER_BYTES + ATTR_OUT_BYTES;
    for (let count = 1; count <= 60; count++) {
      const tickets = Array.from({ length: count }, () =>
        fs.submit(Opcode.GETATTR, ROOT, Buffer.alloc(16), reply, { noKick: count % 2 === 0 }),
      );
      requestQueue(fs).forceKick();
      // Each wait asks for a signal and sleeps until it comes.
      expect(tickets.map((ticket) => fs.wait(ticket).error)).toEqual(tickets.map(() => null));
    }
  });
});
