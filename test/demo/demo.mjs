// @ts-check
// npm run demo [-- [shares | rootfs | bucket] [--no-shell]]
//   shares  a real Linux guest mounts a host directory and a memory share (unless another is named)
//   rootfs  a guest whose root file system is an overlay share
//   bucket  a guest mounts a bucket of an S3 server on this machine

import { once } from "node:events";
import { ensureSetupOrExit } from "../setup.mjs";
import { ensureGuestImage } from "../support/guest/image.mjs";
import { print } from "./style.mjs";

/** Makes the session of a demo; loaded after the packages it needs were installed. */
const DEMOS = {
  shares: async () => new (await import("./session.mjs")).Session(),
  rootfs: async () => new (await import("./rootfs.mjs")).RootSession(),
  bucket: async () => new (await import("./bucket.mjs")).BucketSession(),
};

const options = process.argv.slice(2);
const [name = "shares", ...others] = options.filter((option) => option !== "--no-shell");
const open = Object.entries(DEMOS).find(([word]) => word === name)?.[1];
if (open === undefined || others.length > 0) {
  process.stderr.write(`demo: expected one of ${Object.keys(DEMOS).join(", ")}, and --no-shell\n`);
  process.exit(2);
}
const wantsShell = !options.includes("--no-shell") && process.stdin.isTTY && process.stdout.isTTY;

/** @param {Awaited<ReturnType<(typeof DEMOS)[keyof typeof DEMOS]>>} session */
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

/** @param {NonNullable<typeof open>} open */
async function main(open) {
  ensureSetupOrExit({ apt: ["build", "guest"] });
  const session = await open();
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

await main(open);
