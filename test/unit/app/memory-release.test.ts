import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { MemoryRelease } from "../../../src/app/memory-release.js";

const LONG_MS = 60_000;

describe("MemoryRelease", () => {
  let collections = 0;
  let memory: MemoryRelease;
  const session = { batches: 0, inodes: { size: 1 } };

  beforeEach(() => {
    vi.useFakeTimers();
    collections = 0;
    session.batches = 0;
    session.inodes.size = 1;
    memory = new MemoryRelease(() => collections++);
  });
  afterEach(() => {
    memory.close();
    vi.useRealTimers();
  });

  test("collects once after very many nodes were forgotten, and then sleeps", () => {
    for (let i = 0; i < 100; i++) memory.forgotten(1000, session);
    expect(collections).toBe(0);
    vi.advanceTimersByTime(LONG_MS);
    expect(collections).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("does nothing, not even wait, for a few nodes", () => {
    memory.forgotten(20_000, session);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("does nothing while more nodes are known than were forgotten", () => {
    session.inodes.size = 1_000_000;
    memory.forgotten(500_000, session);
    expect(vi.getTimerCount()).toBe(0);
    memory.forgotten(500_000, session);
    vi.advanceTimersByTime(LONG_MS);
    expect(collections).toBe(1);
  });

  test("waits until no more requests come", () => {
    memory.forgotten(100_000, session);
    for (let second = 0; second < 30; second++) {
      session.batches++;
      vi.advanceTimersByTime(1000);
    }
    expect(collections).toBe(0);
    vi.advanceTimersByTime(LONG_MS);
    expect(collections).toBe(1);
  });

  test("is nothing that close leaves behind", () => {
    memory.forgotten(100_000, session);
    memory.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("the collector of V8 works", () => {
    const real = new MemoryRelease();
    let garbage: object[] | undefined = Array.from({ length: 200_000 }, (_, i) => ({ i, text: `x${i}` }));
    expect(garbage).toHaveLength(200_000);
    const before = process.memoryUsage().heapUsed;
    garbage = undefined;
    real.forgotten(200_000, session);
    vi.advanceTimersByTime(LONG_MS);
    expect(process.memoryUsage().heapUsed).toBeLessThan(before - 8_000_000);
  });
});
