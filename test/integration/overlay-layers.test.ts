import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Gateway, spawnGateway, startGateway } from "../support/gateway.js";

const isRoot = process.getuid?.() === 0;

let directory: string;
let lower: string;
let upper: string;
const running: Gateway[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "overlay-layers-"));
  [lower, upper] = [join(directory, "lower"), join(directory, "upper")];
  for (const layer of [lower, upper]) mkdirSync(layer);
});
afterEach(async () => {
  for (const gateway of running.splice(0)) await gateway.stop();
  rmSync(directory, { recursive: true });
});

function args(...more: string[]): string[] {
  return ["--backend", "overlay", "--lower", lower, ...more];
}

async function start(...more: string[]): Promise<Gateway> {
  const gateway = await startGateway(args(...more));
  running.push(gateway);
  return gateway;
}

/** The exit code and the last line of a server that does not start. */
async function refusal(...more: string[]): Promise<[number | null, string]> {
  const gateway = spawnGateway(args(...more));
  running.push(gateway);
  const { code } = await gateway.waitForExit();
  return [code, gateway.stderr().trim().split("\n").at(-1) ?? ""];
}

describe("the layers of an overlay", () => {
  test("have to exist", async () => {
    const [code, line] = await refusal("--lower", join(directory, "none"));
    expect(code).toBe(1);
    expect(line).toMatch(/--lower: ".*none" is not a directory that can be opened: ENOENT/);
  });

  test.each([
    ["upper inside lower", () => join(lower, "upper"), () => join(directory, "work")],
    ["work inside upper", () => upper, () => join(upper, "work")],
    ["upper and lower the same", () => lower, () => join(directory, "work")],
  ])("are apart from each other: %s", async (_what, upperPath, workPath) => {
    mkdirSync(upperPath(), { recursive: true });
    const [code, line] = await refusal("--upper", upperPath(), "--work", workPath());
    expect(code).toBe(2);
    expect(line).toMatch(/expected (a directory|directories) outside of/);
  });

  test("on top may not come with the work directory of another one", async () => {
    const gateway = await start("--upper", upper);
    await gateway.stop();
    const other = join(directory, "other");
    mkdirSync(other);
    const [code, line] = await refusal("--upper", other, "--work", `${upper}.work`);
    expect(code).toBe(1);
    expect(line).toMatch(/other": the work directory belongs to another upper layer/);
    await start("--upper", other, "--work", `${upper}.work`, "--index", "off");
  });

  test("may be memory on top, of a size that makes sense", async () => {
    await start("--upper", "memory:1MiB");
    expect(await refusal("--upper", "memory:much")).toEqual([
      2,
      expect.stringContaining("--upper: expected memory:SIZE such as memory:1GiB"),
    ]);
    expect(await refusal("--upper", "memory", "--work", directory)).toEqual([
      2,
      expect.stringContaining("--work: a memory layer needs none"),
    ]);
  });

  test("are written to by one gateway at a time", async () => {
    const first = await start("--upper", upper);
    const [code, line] = await refusal("--upper", upper, "--work", join(directory, "other"));
    expect(code).toBe(1);
    expect(line).toMatch(/--upper: ".*" is in use by another gateway/);
    const other = join(directory, "second");
    mkdirSync(other);
    const [, work] = await refusal("--upper", other, "--work", `${upper}.work`);
    expect(work).toMatch(/--work: ".*" is in use by another gateway/);
    first.signal("SIGTERM");
    await first.waitForExit();
    await start("--upper", upper);
  });

  test("are read by many at a time", async () => {
    await start();
    await start("--upper", "memory:1MiB");
    await start("--upper", upper);
  });
});

describe.runIf(isRoot)("the work directory", () => {
  test("is emptied of what a crash has left", async () => {
    const left = join(`${upper}.work`, "work", "#1", "deep");
    mkdirSync(left, { recursive: true });
    writeFileSync(join(left, "file"), "");
    await start("--upper", upper);
    expect(() => mkdirSync(join(`${upper}.work`, "work", "#1"))).not.toThrow();
  });

  test("tells that a volatile overlay was not ended", async () => {
    const crashed = await start("--upper", upper, "--volatile");
    crashed.signal("SIGKILL");
    await crashed.waitForExit();
    const [code, line] = await refusal("--upper", upper);
    expect(code).toBe(1);
    expect(line).toContain("was last used as volatile and not ended properly");
  });

  test("does not mind a volatile overlay that was ended", async () => {
    const ended = await start("--upper", upper, "--volatile");
    ended.signal("SIGTERM");
    await ended.waitForExit();
    await start("--upper", upper);
  });
});
