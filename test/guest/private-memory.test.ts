import { expect, test, vi } from "vitest";
import { ensureGuestImage } from "../support/guest/image.mjs";
import { GUEST_TEST_TIMEOUT_MS, GuestSession, type ShareKind } from "./harness.js";

vi.setConfig({ testTimeout: GUEST_TEST_TIMEOUT_MS });

const MEMORY_SHARE: ShareKind = { name: "memory", onHost: false };

test("guest memory that is not shared is one line that says how to share it", async () => {
  const image = await ensureGuestImage("stable");
  const session = await GuestSession.start({ kind: MEMORY_SHARE, image, sharedMemory: false });
  try {
    // The mount waits for an answer that cannot come.
    await session.guest.run("mkdir /share; mount -t virtiofs share /share >/dev/null 2>&1 &");
    expect(await session.gateway.waitForExit()).toBe("1");
    const errors = session.gateway.stderr.split("\n").filter((line) => /error/i.test(line));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain("share=on");
  } finally {
    await session.cleanUp();
  }
});
