import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MountedShare, whyNoHostMounts } from "./mounted-share.js";

const SOURCE = fileURLToPath(new URL("../guest/programs/file-lock-check.c", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "virtiofs-gateway-locks-"));
const program = join(directory, "file-lock-check");
mkdirSync(join(directory, "share"));
afterAll(() => rmSync(directory, { recursive: true }));

mkdirSync(join(directory, "lower"));

/** With an overlay the guest keeps the locks. */
const backends = [
  { name: "passthrough", args: ["--shared-dir", join(directory, "share")] },
  { name: "memory", args: ["--backend", "memory", "--size", "64MiB"] },
  {
    name: "overlay",
    args: ["--backend", "overlay", "--lower", join(directory, "lower"), "--upper", "memory:64MiB"],
  },
];

/** Twenty transactions of each of four processes on a journal, locked as SQLite does it. */
const TRANSACTIONS = `
import fcntl, os, sys, time
PENDING, RESERVED, SHARED = 0x40000000, 0x40000001, 0x40000002
def writer():
    fd = os.open("database", os.O_RDWR | os.O_CREAT, 0o644)
    for _ in range(20):
        while True:
            try:
                fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, PENDING)
                fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB, 510, SHARED)
                fcntl.lockf(fd, fcntl.LOCK_UN, 1, PENDING)
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, RESERVED)
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, PENDING)
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, SHARED)
                break
            except BlockingIOError:
                fcntl.lockf(fd, fcntl.LOCK_UN, 512, PENDING)
                time.sleep(0.001 * (os.getpid() % 7))
        count = int(os.pread(fd, 20, 0) or b"0")
        os.pwrite(fd, b"%20d" % (count + 1), 0)
        fcntl.lockf(fd, fcntl.LOCK_UN, 512, PENDING)
children = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        writer()
        os._exit(0)
    children.append(pid)
failed = [pid for pid in children if os.waitpid(pid, 0)[1] != 0]
print(open("database").read().strip(), len(failed))
`;

/** A signal ends the waiting, and the lock is not taken. */
const INTERRUPTED = `
import errno, fcntl, os, signal
class Alarm(Exception): pass
def raise_alarm(*_): raise Alarm
signal.signal(signal.SIGALRM, raise_alarm)
holder = open("interrupted", "w")
fcntl.flock(holder, fcntl.LOCK_EX)
waiter = open("interrupted", "w")
signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    fcntl.flock(waiter, fcntl.LOCK_EX)
    print("locked")
except Alarm:
    print("interrupted")
fcntl.flock(holder, fcntl.LOCK_UN)
fcntl.flock(open("interrupted"), fcntl.LOCK_EX | fcntl.LOCK_NB)
print("free")
`;

describe.skipIf(whyNoHostMounts() !== undefined).each(backends)(
  "locks of programs on a mounted $name share",
  ({ args }) => {
    let share: MountedShare;

    beforeAll(async () => {
      execFileSync("gcc", ["-O2", "-o", program, SOURCE]);
      share = await MountedShare.open(args);
    });

    test("are what they are on every file system", () => {
      expect(execFileSync(program, [join(directory, "reference")], { encoding: "utf8" })).toBe(
        "locks are right\n",
      );
      expect(share.run(program, "file")).toBe("locks are right\n");
    });

    test("flock(1) makes commands take turns", () => {
      const turn = "flock turn sh -c 'echo a >>log; echo b >>log'";
      share.run("sh", "-c", `for i in 1 2 3 4 5 6 7 8; do ${turn} & done; wait`);
      expect(share.run("cat", "log")).toBe("a\nb\n".repeat(8));
      expect(share.run("sh", "-c", "flock turn flock -n turn true || echo busy")).toBe("busy\n");
      expect(share.run("sh", "-c", "flock turn flock -w 0.3 turn true || echo late")).toBe("late\n");
    });

    test("a database's transactions exclude each other", () => {
      expect(share.run("python3", "-c", TRANSACTIONS)).toBe("80 0\n");
    });

    test("a signal ends the waiting", () => {
      expect(share.run("python3", "-c", INTERRUPTED)).toBe("interrupted\nfree\n");
    });

    test("nothing is left when it is unmounted", async () => {
      const { mount, gateway, log } = await share.close();
      expect(log).not.toMatch(/bug|error/i);
      expect([mount, gateway]).toEqual([0, 0]);
    });
  },
);
