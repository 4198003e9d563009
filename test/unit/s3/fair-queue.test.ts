import { expect, it } from "vitest";
import { FairQueue } from "../../../backends/s3/store/fair-queue.js";

/** Enters in this order, then leaves until nobody waits; the order of the turns. */
async function turns(queue: FairQueue, flows: readonly string[]): Promise<string[]> {
  const order: string[] = [];
  const all = flows.map(async (flow) => {
    await queue.enter(flow);
    order.push(flow);
    queue.leave();
  });
  queue.leave();
  await Promise.all(all);
  return order;
}

it("lets flows take turns", async () => {
  const queue = new FairQueue(1);
  expect(queue.enter("first")).toBeUndefined();
  expect(await turns(queue, ["a", "a", "a", "b", "c", "b"])).toEqual(["a", "b", "c", "a", "b", "a"]);
  expect(queue.running).toBe(0);
});

it("runs as many as it may, and no more", async () => {
  const queue = new FairQueue(2);
  expect(queue.enter("a")).toBeUndefined();
  expect(queue.enter("a")).toBeUndefined();
  const third = queue.enter("b");
  expect(third).toBeInstanceOf(Promise);
  expect(queue.running).toBe(2);
  queue.leave();
  await third;
  expect(queue.running).toBe(2);
  queue.leave();
  queue.leave();
  expect(queue.running).toBe(0);
});

it("forgets who does not want to wait any more", async () => {
  const queue = new FairQueue(1);
  expect(queue.enter("a")).toBeUndefined();
  const abort = new AbortController();
  const given = queue.enter("b", abort.signal);
  const waits = queue.enter("b");
  abort.abort(new Error("enough"));
  await expect(given).rejects.toThrow("enough");
  expect(() => queue.enter("c", abort.signal)).toThrow("enough");
  queue.leave();
  await waits;
  queue.leave();
  expect(queue.running).toBe(0);
});
