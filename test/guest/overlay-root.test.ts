import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Gateway } from "../support/guest/gateway.mjs";
import { Guest } from "../support/guest/guest.mjs";
import { buildRootTree, ensureGuestImage } from "../support/guest/image.mjs";
import { manifest } from "../support/manifest.js";
import { GUEST_TEST_TIMEOUT_MS } from "./harness.js";

vi.setConfig({ testTimeout: GUEST_TEST_TIMEOUT_MS, hookTimeout: GUEST_TEST_TIMEOUT_MS });

/** A guest whose root is an overlay of the same lower layers as that of others. */
interface Machine {
  readonly gateway: Gateway;
  readonly guest: Guest;
}

describe.skipIf(process.getuid?.() !== 0)("guests whose root is an overlay", () => {
  let directory: string;
  let before: string[];
  const machines: Machine[] = [];

  const describeLowers = () =>
    ["base", "top"].flatMap((name) => manifest(path.join(directory, name), { times: () => true }));

  async function start(name: string, upper: string, ...more: string[]): Promise<Machine> {
    const socketPath = path.join(directory, `${name}.socket`);
    const lowers = ["top", "base"].flatMap((layer) => ["--lower", path.join(directory, layer)]);
    const gateway = await Gateway.start([
      "--socket-path",
      socketPath,
      "--backend",
      "overlay",
      ...lowers,
      "--upper",
      upper,
      ...more,
    ]);
    const image = await ensureGuestImage();
    const guest = await Guest.boot({ image, shares: [{ socketPath, tag: "root" }], rootTag: "root" });
    const machine = { gateway, guest };
    machines.push(machine);
    return machine;
  }

  async function run({ guest, gateway }: Machine, script: string): Promise<string> {
    const { status, output } = await guest.run(script);
    expect(status, `${script}\n${output}\n${gateway.stderr}`).toBe(0);
    return output;
  }

  beforeAll(async () => {
    directory = mkdtempSync(path.join(os.tmpdir(), "virtiofs-rootfs-"));
    await buildRootTree(path.join(directory, "base"));
    mkdirSync(path.join(directory, "top/etc"), { recursive: true });
    mkdirSync(path.join(directory, "upper"));
    execFileSync("sh", [
      "-c",
      'cd "$0/top" && echo golden >etc/release && mkdir -p data/old && echo 1 >data/old/file',
      directory,
    ]);
    before = describeLowers();
  });
  afterAll(async () => {
    for (const { guest, gateway } of machines) {
      await guest.kill();
      await gateway.kill();
    }
    rmSync(directory, { recursive: true, force: true });
  });

  test("two at a time, each with changes of its own", async () => {
    const first = await start("first", "memory:256MiB");
    const second = await start("second", path.join(directory, "upper"), "--cache", "never");
    expect(await run(first, "grep ' / ' /proc/mounts | tail -1")).toMatch(/^root \/ virtiofs rw/);
    await run(first, "echo first >/etc/release && rm -r /data && mkdir -p /data && echo new >/data/file");
    await run(
      second,
      "mv /data/old /data/moved && echo second >>/etc/release && rm /bin/wget && passwd -d alice",
    );
    expect(await run(first, "cat /etc/release; ls /data")).toBe("first\nfile");
    expect(await run(second, "cat /etc/release /data/moved/file; ls /data")).toBe("golden\nsecond\n1\nmoved");
    await run(second, "[ ! -e /bin/wget ]");
    await run(first, "[ -e /bin/wget ]");
  });

  test("install software in it and run that", async () => {
    const [first] = machines as [Machine];
    const program = "#!/bin/sh\\necho installed\\n";
    await run(
      first,
      `mkdir -p /tmp/p/usr/bin && printf '${program}' >/tmp/p/usr/bin/hello && chmod 755 /tmp/p/usr/bin/hello`,
    );
    await run(first, "tar -C /tmp/p -cf /tmp/p.tar . && tar -C / -xf /tmp/p.tar");
    expect(await run(first, "/usr/bin/hello")).toBe("installed");
  });

  test("mount overlays of their own whose upper is in it", async () => {
    for (const machine of machines) {
      await run(
        machine,
        "mkdir -p /nested/lower/d /nested/upper /nested/work /nested/merged && echo 1 >/nested/lower/d/f",
      );
      await run(
        machine,
        "cd /nested && mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged",
      );
      await run(
        machine,
        "cd /nested/merged && echo 2 >>d/f && mkdir e && mv d/f e/f && rmdir d && mkdir d && echo 3 >d/g",
      );
      expect(await run(machine, "cd /nested/merged && find . | sort && cat e/f d/g")).toBe(
        ".\n./d\n./d/g\n./e\n./e/f\n1\n2\n3",
      );
      await run(machine, "umount /nested/merged && cat /nested/lower/d/f | grep -qx 1");
      await run(
        machine,
        "cd /nested && mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged && cat merged/e/f merged/d/g && umount merged",
      );
    }
  });

  test("leave the lower layers as they were", async () => {
    for (const { guest, gateway } of machines) {
      await guest.powerOff();
      expect(await gateway.waitForExit(), gateway.stderr).toBe("0");
    }
    expect(readFileSync(path.join(directory, "upper/etc/release"), "latin1")).toBe("golden\nsecond\n");
    expect(describeLowers()).toEqual(before);
  });
});
