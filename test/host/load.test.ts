import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { compileLoad } from "../load/places.mjs";
import { MountedShare, whyNoHostMounts } from "./mounted-share.js";

/** What each of the 8 processes does; `npm run soak` goes on for longer. */
const OPERATIONS = 8000;

const scratch = mkdtempSync(join(tmpdir(), "virtiofs-gateway-load-"));
const shared = mkdtempSync(join(tmpdir(), "virtiofs-gateway-load-share-"));
afterAll(() => {
  rmSync(scratch, { recursive: true });
  rmSync(shared, { recursive: true });
});

const backends = [
  { name: "passthrough", args: ["--shared-dir", shared, "--xattr"], onHost: shared },
  { name: "memory", args: ["--backend", "memory", "--size", "1GiB"], onHost: undefined },
];

describe.skipIf(whyNoHostMounts() !== undefined).each(backends)("random load on a $name share", (backend) => {
  test("8 processes read and find what they wrote, and the host sees the same tree", async () => {
    const load = compileLoad(scratch);
    const share = await MountedShare.open(backend.args);
    const output = share.run("sh", "-c", `${load} run . -s 1 -n ${OPERATIONS} 2>&1 || true`);
    expect(output.trim().split("\n").at(-1), output).toBe("0 of 8 processes found something wrong");
    share.run("sync");
    const digest = share.run(load, "digest", ".");
    expect(digest).toMatch(/^digest \d{3,} entries \d{6,} bytes [0-9a-f]{16}\n$/);
    const { mount, gateway, log } = await share.close();
    expect({ mount, gateway }, log).toEqual({ mount: 0, gateway: 0 });
    expect(log).not.toContain("ERROR");
    if (backend.onHost !== undefined) {
      expect(execFileSync(load, ["digest", backend.onHost], { encoding: "utf8" })).toBe(digest);
    }
  });
});
