import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Open, ok, ROOT } from "../support/frontend/index.js";
import { expectFatal, makeFile, mount } from "../support/frontend-testing.js";
import { type Gateway, spawnGateway, startGateway } from "../support/gateway.js";

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "keep-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

function listing(archive: string): string[] {
  return execFileSync("tar", ["-tf", archive], { encoding: "utf8" }).trim().split("\n");
}

/** A server that fails before it listens. */
function spawnRefused(...args: string[]): Gateway {
  const gateway = spawnGateway(["--backend", "memory", "--size", "1MiB", ...args]);
  onTestFinished(() => gateway.stop());
  return gateway;
}

test("a share is saved when the front-end disconnects, and the next one starts from that", async () => {
  const folder = temporary();
  const archive = join(folder, "share.tar.gz");
  const first = await mount({ backend: "memory", args: ["--save", archive] });
  const file = makeFile(first, "file", "kept contents");
  ok(first.setattr(file, { mode: 0o640 }));
  ok(first.symlink(ROOT, "link", "file"));
  const unlinked = ok(first.create(ROOT, "unlinked"));
  ok(first.write(unlinked.nodeid, unlinked.fh, 0, "gone"));
  ok(first.unlink(ROOT, "unlinked"));
  expect(existsSync(archive)).toBe(false);
  first.frontend.close();
  expect(await first.gateway.waitForExit()).toEqual({ code: 0, signal: null });
  expect(listing(archive)).toEqual(["./", "./file", "./link"]);
  expect(readdirSync(folder)).toEqual(["share.tar.gz"]);

  const second = await mount({ backend: "memory", args: ["--seed", archive, "--save", archive] });
  const found = ok(second.lookup(ROOT, "file"));
  expect(found.attr.mode & 0o7777).toBe(0o640);
  const opened = ok(second.open(found.nodeid, Open.RDONLY));
  expect(ok(second.read(found.nodeid, opened.fh, 0, 100)).data.toString()).toBe("kept contents");
  ok(second.mkdir(ROOT, "more"));
  second.frontend.close();
  await second.gateway.waitForExit();
  expect(listing(archive)).toEqual(["./", "./file", "./link", "./more/"]);
});

test.each(["SIGTERM", "SIGHUP", "SIGINT"] as const)("%s saves, too", async (signal) => {
  const folder = temporary();
  const [seed, archive] = [join(folder, "seed"), join(folder, "share.tar")];
  mkdirSync(seed);
  writeFileSync(join(seed, "file"), "from the host");
  const args = ["--backend", "memory", "--readonly", "--seed", seed, "--save", archive];
  const gateway = await startGateway(args);
  onTestFinished(() => gateway.stop());
  gateway.signal(signal);
  expect(await gateway.waitForExit()).toEqual({ code: 1, signal: null });
  expect(listing(archive)).toEqual(["./", "./file"]);
});

test("what cannot be seeded or saved ends the server with one line", async () => {
  const folder = temporary();
  await expectFatal(spawnRefused("--seed", join(folder, "none")), /error: --seed: ".*none": no such file/);
  writeFileSync(join(folder, "text"), "no archive");
  await expectFatal(
    spawnRefused("--seed", join(folder, "text")),
    /error: --seed: ".*text": not a tar archive/,
  );
  writeFileSync(join(folder, "large"), Buffer.alloc(2 << 20));
  await expectFatal(spawnRefused("--seed", folder), /error: --seed: ".*": does not fit .*raise --size/);
  await expectFatal(spawnRefused("--save", join(folder, "no/x.tar")), /error: --save: ".*": no such file/);
});

test("an archive that cannot be written is an error, and nothing half-done is left", async () => {
  const folder = temporary();
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]);
  onTestFinished(() => void execFileSync("umount", [folder]));
  const client = await mount({ backend: "memory", args: ["--save", join(folder, "x.tar")] });
  makeFile(client, "large", Buffer.alloc(256 << 10, "x"));
  client.frontend.close();
  expect(await client.gateway.waitForExit()).toEqual({ code: 1, signal: null });
  expect(client.gateway.stderr()).toMatch(/error: --save: ".*x.tar": no space left on device\n/);
  expect(readdirSync(folder)).toEqual([]);
});
