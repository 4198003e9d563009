import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GuestSession, type ShareKind } from "../../guest/harness.js";
import { addFixture, ensureGuestImage } from "../../support/guest/image.mjs";
import { without } from "./capabilities.js";
import type { Environment } from "./cases.js";
import { BACKEND_LACKS, NOT_MOUNTED } from "./environments.js";
import { compileExecutor, ExecutorSystem } from "./executor.js";

const SHARE = "/share";
const WIRE = "/dev/ttyS1";

/** Named pipes that QEMU connects to the guest's second serial port. */
function makeWire(directory: string) {
  const path = join(directory, "wire");
  execFileSync("mkfifo", [`${path}.in`, `${path}.out`]);
  // Opened for both ways, so that opening does not wait; a guest that is gone shows as a timeout.
  const flags = constants.O_RDWR | constants.O_NONBLOCK;
  return {
    wire: { requests: openSync(`${path}.in`, "r+"), replies: openSync(`${path}.out`, flags) },
    qemuArgs: ["-chardev", `pipe,id=wire,path=${path}`, "-serial", "chardev:wire"],
  };
}

/** A share that a Linux guest in QEMU has mounted; the executor runs in the guest. */
export async function guestEnvironment(kind: ShareKind): Promise<Environment> {
  const scratch = mkdtempSync(join(tmpdir(), "conformance-guest-"));
  const { wire, qemuArgs } = makeWire(scratch);
  const image = await addFixture(await ensureGuestImage(), [compileExecutor(scratch)], scratch);
  const gatewayArgs = ["--posix-acl", "--killpriv-v2", ...(kind.onHost ? ["--xattr"] : [])];
  const session = await GuestSession.start({ kind, image, extraArgs: qemuArgs, gatewayArgs });
  await session.run(
    `mkdir -p ${SHARE} && mount -t virtiofs share ${SHARE} && stty -F ${WIRE} 115200 raw -echo`,
  );
  await session.run(`/fixture/executor <${WIRE} >${WIRE} 2>/dev/null &`);
  const system = new ExecutorSystem(wire, SHARE);
  system.synchronize();
  return {
    name: `${kind.name} in a guest`,
    kind: kind.name,
    system,
    // Kernels before 6.6 do not ask for birth times, those before 6.3 send no supplementary groups.
    capabilities: without(...BACKEND_LACKS[kind.name], ...NOT_MOUNTED, "birthTime", "creatorGroups"),
    close: async () => {
      try {
        system.leave();
        await session.powerOff();
      } finally {
        await session.cleanUp();
        closeSync(wire.requests);
        closeSync(wire.replies);
        rmSync(scratch, { recursive: true });
      }
    },
  };
}
