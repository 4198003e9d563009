import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MountedShare, whyNoHostMounts } from "./mounted-share.js";

const directory = mkdtempSync(join(tmpdir(), "virtiofs-gateway-options-"));
chmodSync(directory, 0o755);
afterAll(() => rmSync(directory, { recursive: true }));

const passthrough = (name: string) => {
  mkdirSync(join(directory, name));
  return ["--shared-dir", join(directory, name)];
};
const memory = ["--backend", "memory", "--size", "256MiB"];
const shares = [
  { args: [...passthrough("writeback"), "--writeback"] },
  { args: [...passthrough("metadata"), "--cache=metadata", "--allow-mmap", "--posix-acl=auto"] },
  { args: [...memory, "--killpriv-v2"] },
  { args: [...memory, "--cache=never", "--allow-mmap", "--no-readdirplus", "--negative-timeout=5"] },
  { args: [...memory, "--cache=always", "--writeback", "--xattrmap=:map::user.virtiofs.:"] },
];

describe.skipIf(whyNoHostMounts() !== undefined).each(shares)(
  "programs on a share with $args",
  ({ args }) => {
    let share: MountedShare;
    beforeAll(async () => {
      share = await MountedShare.open(args);
    });
    afterAll(async () => {
      const { mount, gateway, log } = await share.close();
      expect({ mount, gateway }, log).toEqual({ mount: 0, gateway: 0 });
      expect(log).not.toContain("ERROR");
    });

    const fio = (...options: string[]) => {
      const common = ["--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--output-format=terse"];
      const report = share.run("fio", "--name=verify", "--size=16m", ...common, ...options);
      // The fifth field of a terse line is the error of the job.
      expect(
        report
          .split("\n")
          .find((text) => text.startsWith("3;"))
          ?.split(";")[4],
      ).toBe("0");
    };

    test("fio verifies what it wrote, and what it mapped", () => {
      fio("--filename=written", "--rw=randwrite", "--bsrange=512-64k", "--ioengine=psync", "--end_fsync=1");
      fio("--filename=mapped", "--rw=randwrite", "--bs=4k", "--ioengine=mmap", "--end_fsync=1");
    });

    test("two programs append to one file", () => {
      const path = join(share.path, "log");
      for (let line = 0; line < 50; line++) {
        appendFileSync(path, `${line}\n`);
        share.run("sh", "-c", `echo ${line} >>log`);
      }
      const expected = Array.from({ length: 50 }, (_, line) => `${line}\n${line}\n`).join("");
      expect(readFileSync(path, "latin1")).toBe(expected);
      expect(statSync(path).size).toBe(expected.length);
    });

    test("a file opened for writing alone is changed in the middle of a page", () => {
      share.run(
        "sh",
        "-c",
        "seq 1 2000 >numbers && printf XXXX | dd of=numbers bs=1 seek=100 conv=notrunc status=none",
      );
      const expected = Buffer.from(Array.from({ length: 2000 }, (_, i) => `${i + 1}\n`).join(""));
      expected.write("XXXX", 100);
      share.run("sync", "-f", ".");
      expect(readFileSync(join(share.path, "numbers")).equals(expected)).toBe(true);
    });

    test("names that were not there can be made at once", () => {
      share.run(
        "sh",
        "-c",
        "for i in 1 2 3; do [ ! -e new$i ] && mkdir new$i && rmdir new$i && touch new$i; done",
      );
      expect(share.run("sh", "-c", "ls | grep -c ^new").trim()).toBe("3");
    });

    test("git commits, and clones what it committed", () => {
      const env = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"];
      share.run("sh", "-c", "mkdir repository && cd repository && seq 1 5000 | split -l 50 - part-");
      for (const command of [
        ["init", "-q"],
        ["add", "."],
        ["commit", "-qm", "first"],
        ["gc", "-q"],
      ]) {
        share.run("git", "-C", "repository", ...env, ...command);
      }
      share.run("git", ...env, "clone", "-q", "repository", "clone");
      expect(share.run("diff", "-r", "--exclude=.git", "repository", "clone")).toBe("");
      expect(share.run("git", "-C", "clone", "fsck", "--full")).not.toContain("missing");
    });

    test("stat shows when a file was born", () => {
      writeFileSync(join(share.path, "born"), "");
      expect(Math.abs(Number(share.run("stat", "-c", "%W", "born")) - Date.now() / 1000)).toBeLessThan(60);
    });

    test("setuid and setgid stay when root writes and go when another user does", () => {
      const path = join(share.path, "set-id");
      writeFileSync(path, "#!");
      chmodSync(path, 0o6777);
      appendFileSync(path, "by root\n");
      expect(statSync(path).mode & 0o7777).toBe(0o6777);
      share.run("setpriv", "--reuid=1000", "--clear-groups", "sh", "-c", "echo by another >>set-id");
      expect(statSync(path).mode & 0o7777).toBe(0o777);
    });
  },
);
