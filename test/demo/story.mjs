// @ts-check
import * as fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { print } from "./style.mjs";

const LARGE_FILE_MIB = 64;

/**
 * What the demo shows; each claim is checked.
 *
 * @param {import('./session.mjs').Session} session
 * @throws {Error} Saying which claim did not hold.
 */
export async function runStory(session) {
  print.step("The guest mounts both shares");
  await session.inGuest("mkdir -p /host /memory");
  await session.inGuest("mount -t virtiofs host /host");
  await session.inGuest("mount -t virtiofs memory /memory");
  await session.inGuest("df -h -t virtiofs");

  print.step("It reads what the host put there");
  await readFromHost(session);

  print.step("What it writes appears on the host");
  await writeToHost(session);

  print.step(`The memory share returns ${LARGE_FILE_MIB} MiB unharmed`);
  await keepInMemory(session);
}

/** @param {import('./session.mjs').Session} session */
async function readFromHost(session) {
  const greeting = `Hello from ${os.hostname()}, it is ${new Date().toISOString()}.`;
  await fs.writeFile(path.join(session.sharedDirectory, "greeting.txt"), `${greeting}\n`);
  print.command("host", `echo '${greeting}' >greeting.txt`, "");
  const output = await session.inGuest("cat /host/greeting.txt");
  expectEqual("what the guest read from the host", output, greeting);
}

/** @param {import('./session.mjs').Session} session */
async function writeToHost(session) {
  await session.inGuest("mkdir /host/from-guest");
  await session.inGuest("uname -sr >/host/from-guest/kernel.txt");
  const expected = await session.inGuest("cat /host/from-guest/kernel.txt");

  const file = path.join(session.sharedDirectory, "from-guest/kernel.txt");
  const actual = (await fs.readFile(file, "utf8")).trim();
  print.command("host", "cat from-guest/kernel.txt", actual);
  expectEqual("what the host found of the guest", actual, expected);
}

/** @param {import('./session.mjs').Session} session */
async function keepInMemory(session) {
  await session.inGuest(`dd if=/dev/urandom of=/tmp/random bs=1M count=${LARGE_FILE_MIB} status=none`);
  const written = await session.inGuest("sha256sum </tmp/random");
  await session.inGuest("cp /tmp/random /memory/random");
  print.note("Mounted anew, the guest knows nothing of the file but what the gateway tells it.");
  await session.inGuest("umount /memory && mount -t virtiofs memory /memory");
  const size = await session.inGuest("stat -c %s /memory/random");
  expectEqual("the size of the file", size, `${LARGE_FILE_MIB * 1024 * 1024}`);
  expectEqual("its SHA-256", await session.inGuest("sha256sum </memory/random"), written);
}

/**
 * @param {string} what
 * @param {string} actual
 * @param {string} expected
 */
function expectEqual(what, actual, expected) {
  if (actual !== expected) {
    throw new Error(`${what} is not right: expected "${expected}", got "${actual}"`);
  }
}
