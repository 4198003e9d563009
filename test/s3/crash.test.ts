import { describe, expect, it } from "vitest";
import { CrashRun } from "./support/crash-run.js";

/** `npm run crash` takes 300. */
const POINTS = Number(process.env.CRASH_POINTS ?? 12);
const SEED = Number(process.env.CRASH_SEED ?? 1);
const MINUTE_MS = 60_000;

/** What else goes wrong: in a part of the points nothing does. */
const TROUBLE: readonly (readonly object[])[] = [
  [],
  [{ kind: "error", probability: 0.1 }],
  [{ kind: "reset", probability: 0.05 }],
  [{ kind: "lost", probability: 0.05 }],
  [
    { kind: "lost-error", probability: 0.03, status: 500, code: "InternalError" },
    { kind: "delay", probability: 0.1, delayMs: 300 },
  ],
  [
    { kind: "stall", operation: "GetObject", probability: 0.05 },
    { kind: "hang", probability: 0.002 },
  ],
];

describe("a gateway that is killed at any moment", () => {
  it(
    `loses nothing that an fsync has acknowledged, and leaves nothing behind (${POINTS} times)`,
    async () => {
      const run = await CrashRun.start(SEED);
      try {
        for (let point = 0; point < POINTS; point++) {
          const wrong = await run.point(TROUBLE[point % TROUBLE.length] as readonly object[]);
          expect(wrong, `point ${point} of seed ${SEED}`).toEqual([]);
        }
      } finally {
        await run.stop();
      }
    },
    POINTS * MINUTE_MS,
  );
});
