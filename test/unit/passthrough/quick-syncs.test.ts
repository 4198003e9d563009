import { expect, test } from "vitest";
import { QuickSyncs } from "../../../backends/passthrough/quick-syncs.js";
import { EIO } from "../../../src/vfs/errno.js";

/** A disk whose fsync takes as long as the clock is moved. */
function disk() {
  let now = 0;
  const syncs = new QuickSyncs(() => now);
  return {
    syncs,
    sync: (ms: number): unknown =>
      syncs.time(() => {
        now += ms;
        return 0;
      }),
    syncInPool: async (ms: number): Promise<unknown> => {
      const done = syncs.time(() => Promise.resolve(-EIO));
      now += ms;
      return done;
    },
  };
}

test("a disk is quick when eight in a row were", async () => {
  const { syncs, syncInPool } = disk();
  for (let i = 0; i < 7; i++) {
    expect(await syncInPool(0.1)).toBe(-EIO);
  }
  expect(syncs.areLikely).toBe(false);
  await syncInPool(0.1);
  expect(syncs.areLikely).toBe(true);
});

test("one slow fsync ends the trust, wherever it ran", async () => {
  const { syncs, sync, syncInPool } = disk();
  for (let i = 0; i < 8; i++) {
    sync(0.1);
  }
  expect(syncs.areLikely).toBe(true);
  expect(sync(20)).toBe(0);
  expect(syncs.areLikely).toBe(false);
  for (let i = 0; i < 8; i++) {
    await syncInPool(0.1);
  }
  expect(syncs.areLikely).toBe(true);
  await syncInPool(20);
  expect(syncs.areLikely).toBe(false);
});
