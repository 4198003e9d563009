// @ts-check
// npm run demo [-- --no-shell]: a real Linux guest mounts a host directory and a memory share.

import { once } from "node:events";
import { ensureSetupOrExit } from "../setup.mjs";
import { ensureGuestImage } from "../support/guest/image.mjs";
import { Session } from "./session.mjs";
import { runStory } from "./story.mjs";
import { print } from "./style.mjs";

const HINT = `
You are in the guest now: /host is a directory of this machine, /memory lives in the gateway.
Leave with "exit" (or Ctrl-] if the guest is stuck); everything is cleaned up then.

`;

const options = process.argv.slice(2);
const unknown = options.find((option) => option !== "--no-shell");
if (unknown !== undefined) {
  process.stderr.write(`demo: unknown option ${unknown}; the only one is --no-shell\n`);
  process.exit(2);
}
const wantsShell = !options.includes("--no-shell") && process.stdin.isTTY && process.stdout.isTTY;

/** @param {Session} session */
async function play(session) {
  print.step("Starting two gateways, and a guest in QEMU");
  const image = await ensureGuestImage();
  await session.start(image);
  await runStory(session);
  if (wantsShell) {
    process.stdout.write(HINT);
    await session.guest.attachTerminal({ input: process.stdin, output: process.stdout });
  } else {
    await session.guest.powerOff();
  }
  await session.checkGatewaysEnded();
}

async function main() {
  ensureSetupOrExit({ apt: ["build", "guest"] });
  const session = new Session();
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
