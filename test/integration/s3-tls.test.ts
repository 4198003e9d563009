import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Client, ok, ROOT } from "../support/frontend/index.js";
import { spawnGateway } from "../support/gateway.js";
import { pattern } from "../support/s3/data.mjs";
import { CREDENTIALS_ENV, FakeProcess } from "../support/s3/fake-process.js";

const MIB = 2 ** 20;
const SIZE = 40 * MIB;
const FILES = 100;

let directory: string;
let fake: FakeProcess;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "s3-tls-"));
  fake = await FakeProcess.start("--tls", directory);
  await fake.command("synthetic", { bucket: "test", prefix: "large/", count: 1, size: SIZE });
  await fake.command("synthetic", { bucket: "test", prefix: "small/", count: FILES, size: 4096 });
});
afterAll(async () => {
  await fake.close();
  rmSync(directory, { recursive: true });
});

test("a bucket behind TLS is served as any other", async () => {
  const fs = await Client.mount({
    serve: (place) => fake.shareArgs(place),
    gateway: { env: { ...CREDENTIALS_ENV, NODE_EXTRA_CA_CERTS: join(directory, "ca.pem") } },
  });
  const large = ok(fs.walk("large/00000000"));
  const { fh } = ok(fs.open(large.nodeid));
  for (let at = 0; at < SIZE; at += MIB) {
    expect(ok(fs.read(large.nodeid, fh, at, MIB)).data.equals(pattern())).toBe(true);
  }
  ok(fs.release(large.nodeid, fh));
  const small = ok(fs.lookup(ROOT, "small")).nodeid;
  for (const name of fs.list(small).slice(-FILES / 2)) {
    const { nodeid } = ok(fs.lookup(small, name.name.toString()));
    const opened = ok(fs.open(nodeid));
    const { data } = ok(fs.read(nodeid, opened.fh, 0, 4096));
    expect(data.equals(pattern().subarray(0, 4096))).toBe(true);
    ok(fs.release(nodeid, opened.fh));
  }
  expect(await fs.unmount()).toBe(0);
});

test("a server that nobody vouches for is refused at the start, in one line", async () => {
  const gateway = spawnGateway((place) => fake.shareArgs(place), { env: CREDENTIALS_ENV });
  const { code } = await gateway.waitForExit();
  expect(code).not.toBe(0);
  const lines = gateway.stderr().trim().split("\n");
  expect(lines.at(-1)).toMatch(/the endpoint https:.* is not trusted .*: .*self-signed certificate/);
  expect(lines).toHaveLength(1);
  await gateway.stop();
});
