import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { ensureGuestImage } from "../support/guest/image.mjs";
import { GUEST_TEST_TIMEOUT_MS, GuestSession, SHARE_KINDS } from "./harness.js";

vi.setConfig({ testTimeout: GUEST_TEST_TIMEOUT_MS, hookTimeout: GUEST_TEST_TIMEOUT_MS });

describe.each(SHARE_KINDS)("locks of a guest's programs on a $name share", (kind) => {
  let session: GuestSession;

  beforeAll(async () => {
    session = await GuestSession.start({ kind, image: await ensureGuestImage(), cpus: 2 });
    await session.run("mkdir -p /share && mount -t virtiofs share /share");
  });

  afterAll(() => session?.cleanUp());

  // The same program on the guest's own file system tells what is right.
  test.each(["/tmp/file", "/share/file"])("are what they are on every file system: %s", async (file) => {
    expect(await session.run(`file-lock-check ${file} 2>&1`)).toBe("locks are right");
  });

  test("are still waited for after a pause", async () => {
    const hold = "file-lock-check /share/paused hold >/dev/null 2>&1 & echo $! >/tmp";
    await session.run(`${hold}/holder; sleep 1; ${hold}/waiter; sleep 1`);
    for (let round = 0; round < 3; round++) await session.pauseAndResume();
    // The console's shell must not learn of an end while it reads the next order: it would lose a part of that.
    const end = "kill $process && while kill -0 $process; do sleep 0.1; done 2>/dev/null";
    await session.run(`sleep 1; kill -0 $(cat /tmp/waiter) && process=$(cat /tmp/holder) && ${end}`);
    await session.run("kill -0 $(cat /tmp/waiter) && ! file-lock-check /share/paused try");
    await session.run(`process=$(cat /tmp/waiter); ${end}`);
    await session.run("until file-lock-check /share/paused try; do sleep 0.1; done");
  });

  test("are gone after a reboot", async () => {
    const hold = "file-lock-check /share/held hold >/dev/null 2>&1 &";
    await session.run(`${hold} sleep 1; ${hold} sleep 1; ! file-lock-check /share/held try`);
    await session.guest.reboot();
    await session.run("mkdir -p /share && mount -t virtiofs share /share");
    await session.run("file-lock-check /share/held try");
  });

  test("do not keep the share from ending when they are held and waited for", async () => {
    const hold = "file-lock-check /share/held hold >/dev/null 2>&1 &";
    await session.run(`${hold} ${hold} ${hold} sleep 1; ! file-lock-check /share/held try`);
    await session.powerOff();
  });
});
