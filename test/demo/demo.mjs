// @ts-check
// npm run demo [-- [bucket] [--no-shell]]: a real Linux guest mounts a host directory and a memory share, or
// a bucket of an S3 server on this machine.

import { once } from "node:events";
import { ensureSetupOrExit } from "../setup.mjs";
import { ensureGuestImage } from "../support/guest/image.mjs";
import { BucketSession, runBucketStory } from "./bucket.mjs";
import { Session } from "./session.mjs";
import { runStory } from "./story.mjs";
import { print } from "./style.mjs";

/** What can be shown, by the word that asks for it. */
const DEMOS = {
  shares: {
    begin: "Starting two gateways, and a guest in QEMU",
    where: "/host is a directory of this machine, /memory lives in the gateway",
    open: () => new Session(),
    run: runStory,
  },
  bucket: {
    begin: "Starting an S3 server, a gateway, and a guest in QEMU",
    where: "/bucket is a bucket of the S3 server",
    open: () => new BucketSession(),
    /** @param {Session} session */
    run: (session) => runBucketStory(/** @type {BucketSession} */ (session)),
  },
};

const options = process.argv.slice(2);
const [name = "shares", ...others] = options.filter((option) => option !== "--no-shell");
const demo = Object.entries(DEMOS).find(([word]) => word === name)?.[1];
if (demo === undefined || others.length > 0) {
  process.stderr.write(`demo: expected one of ${Object.keys(DEMOS).join(", ")}, and --no-shell\n`);
  process.exit(2);
}
const { begin, where, open, run } = demo;
const HINT = `
You are in the guest now: ${where}.
Leave with "exit" (or Ctrl-] if the guest is stuck); everything is cleaned up then.

`;
const wantsShell = !options.includes("--no-shell") && process.stdin.isTTY && process.stdout.isTTY;

/** @param {Session} session */
async function play(session) {
  print.step(begin);
  const image = await ensureGuestImage();
  await session.start(image);
  await run(session);
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
  const session = open();
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
