// @ts-check
// npm run demo [-- --no-shell]: a real Linux guest mounts a host directory and a memory share.
// npm run demo -- rootfs [--no-shell]: a guest whose root file system is an overlay share.

import { once } from "node:events";
import { ensureSetupOrExit } from "../setup.mjs";
import { ensureGuestImage } from "../support/guest/image.mjs";
import { RootSession } from "./rootfs.mjs";
import { Session } from "./session.mjs";
import { print } from "./style.mjs";

const options = process.argv.slice(2);
const unknown = options.find((option) => option !== "--no-shell" && option !== "rootfs");
if (unknown !== undefined) {
  process.stderr.write(`demo: unknown option ${unknown}; there are rootfs and --no-shell\n`);
  process.exit(2);
}
const wantsShell = !options.includes("--no-shell") && process.stdin.isTTY && process.stdout.isTTY;

/** @param {Session | RootSession} session */
async function play(session) {
  print.step("Starting gateways, and a guest in QEMU");
  const image = await ensureGuestImage();
  await session.start(image);
  await session.tell();
  if (wantsShell) {
    process.stdout.write(session.hint);
    await session.guest.attachTerminal({ input: process.stdin, output: process.stdout });
  } else {
    await session.guest.powerOff();
  }
  await session.checkGatewaysEnded();
}

async function main() {
  ensureSetupOrExit({ apt: ["build", "guest"] });
  const session = options.includes("rootfs") ? new RootSession() : new Session();
  const interruption = Promise.race(
    ["SIGINT", "SIGTERM", "SIGHUP"].map(async (signal) => {
      await once(process, signal);
      throw new Error(`interrupted by ${signal}`);
    }),
  );
  try {
    await Promise.race([play(session), interruption]);
    print.success("All of it held.");
  } catch (error) {
    print.failure(error instanceof Error ? error : new Error(String(error)));
    process.exitCode = 1;
  } finally {
    await session.cleanUp();
  }
  // A signal that never came would keep nothing alive, but an interrupted story may.
  process.exit();
}

await main();
