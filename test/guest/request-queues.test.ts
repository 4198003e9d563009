import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { ensureGuestImage } from "../support/guest/image.mjs";
import { GUEST_TEST_TIMEOUT_MS, GuestSession, SHARE_KINDS } from "./harness.js";

vi.setConfig({ testTimeout: GUEST_TEST_TIMEOUT_MS, hookTimeout: GUEST_TEST_TIMEOUT_MS });

const PROCESSORS = [0, 1];
/** Queue 0 is for FORGET. */
const REQUEST_QUEUES = [1, 2];
const FILES_PER_PROCESSOR = 150;

/** Creates, writes, reads and renames files on one processor, in a directory of its own. */
function workload(processor: number): string {
  return `taskset ${1 << processor} sh -c '
    set -e
    mkdir /share/cpu${processor} && cd /share/cpu${processor}
    for i in $(seq ${FILES_PER_PROCESSOR}); do
      echo "$i on ${processor}" >new
      mv new file$i
    done
    cat $(ls | sort -V) >../all${processor}'`;
}

describe.each(SHARE_KINDS)("two processors on a $name share", (kind) => {
  let session: GuestSession;

  beforeAll(async () => {
    // Older kernels use the first request queue only.
    const image = await ensureGuestImage("backports");
    session = await GuestSession.start({
      kind,
      image,
      cpus: PROCESSORS.length,
      requestQueues: REQUEST_QUEUES.length,
      gatewayArgs: ["--log-level", "debug"],
    });
    await session.run("mkdir /share && mount -t virtiofs share /share");
  });

  afterAll(async () => {
    await session?.cleanUp();
  });

  async function interruptsByQueue(): Promise<number[]> {
    const lines = (await session.run("cat /proc/interrupts")).split("\n");
    return REQUEST_QUEUES.map((_, queue) => {
      const line = lines.find((candidate) => candidate.endsWith(`-requests.${queue}`)) ?? "";
      return PROCESSORS.reduce((sum, cpu) => sum + Number(line.trim().split(/\s+/)[cpu + 1]), 0);
    });
  }

  test("use a request queue each", async () => {
    const before = await interruptsByQueue();
    const jobs = PROCESSORS.map((processor) => `${workload(processor)} & job${processor}=$!`);
    await session.run([...jobs, "wait $job0 && wait $job1"].join("\n"));
    const after = await interruptsByQueue();
    for (const [queue, count] of after.entries()) {
      expect(count, `interrupts of request queue ${queue}`).toBeGreaterThan(before[queue] ?? NaN);
    }
  });

  test("get right results", async () => {
    for (const processor of PROCESSORS) {
      const wanted = `seq ${FILES_PER_PROCESSOR} | sed 's/$/ on ${processor}/'`;
      await session.run(`${wanted} | cmp - /share/all${processor}`);
      expect(await session.run(`ls /share/cpu${processor} | wc -l`)).toBe(`${FILES_PER_PROCESSOR}`);
    }
  });

  test("are served from both queues by the gateway", async () => {
    await session.powerOff();
    const lines = session.gateway.stderr.matchAll(/queue (\d+): (\d+) requests/g);
    const requests = new Map([...lines].map(([, queue, count]) => [Number(queue), Number(count)]));
    for (const queue of REQUEST_QUEUES) {
      // Each file takes about ten requests; a stray one on the wrong queue proves nothing.
      expect(requests.get(queue), session.gateway.stderr).toBeGreaterThan(FILES_PER_PROCESSOR);
    }
  });
});
