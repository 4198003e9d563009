import { expect, it } from "vitest";
import { StopSignals } from "../../../src/app/stop-signals.js";

it.each(["SIGTERM", "SIGHUP", "SIGINT"] as const)("%s resolves", async (signal) => {
  const signals = new StopSignals();
  process.kill(process.pid, signal);
  await expect(signals.received).resolves.toBe(signal);
  signals.dispose();
});

it("leaves no listener behind", () => {
  const before = process.listenerCount("SIGTERM");
  const signals = new StopSignals();
  expect(process.listenerCount("SIGTERM")).toBe(before + 1);
  signals.dispose();
  expect(process.listenerCount("SIGTERM")).toBe(before);
});
