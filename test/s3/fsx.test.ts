import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { GetObjectCommand } from "@aws-sdk/client-s3";
import { expect, it, onTestFinished } from "vitest";
import { MountedShare, whyNoHostMounts } from "../host/mounted-share.js";
import { connectSdk } from "./support/connect.js";
import { ServerProcess } from "./support/server-process.js";

const SOURCE = fileURLToPath(new URL("programs/fsx.c", import.meta.url));
const MIB = 2 ** 20;
const MINUTE_MS = 60_000;
/** `npm run fsx` takes 10,000 on 100 MiB. */
const OPERATIONS = Number(process.env.FSX_OPERATIONS ?? 600);
const SIZE = Number(process.env.FSX_MIB ?? 16) * MIB;
const SEED = process.env.FSX_SEED ?? "1";

const run = promisify(execFile);

it.skipIf(whyNoHostMounts() !== undefined)(
  `${OPERATIONS} random changes leave the object as a local file that got the same ones`,
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "fsx-"));
    const server = await ServerProcess.start();
    onTestFinished(async () => {
      await server.stop();
      rmSync(folder, { recursive: true });
    });
    const program = join(folder, "fsx");
    execFileSync("gcc", ["-O2", "-o", program, SOURCE], { stdio: "inherit" });
    const share = await MountedShare.open(
      [...server.gatewayArguments, "--staging-dir", join(folder, "staging")],
      { env: server.gatewayEnvironment },
    );
    const copy = join(folder, "copy");
    try {
      await run(program, [join(share.path, "file"), copy, String(OPERATIONS), SEED, String(SIZE)]);
    } finally {
      expect((await share.close()).gateway).toBe(0);
    }
    const sdk = connectSdk(server.endpoint);
    const { Body } = await sdk.send(new GetObjectCommand({ Bucket: "bucket", Key: "file" }));
    const object = Buffer.from((await Body?.transformToByteArray()) ?? []);
    sdk.destroy();
    expect(object.length).toBe(readFileSync(copy).length);
    expect(object.equals(readFileSync(copy))).toBe(true);
  },
  Math.max(20 * MINUTE_MS, OPERATIONS * 400),
);
