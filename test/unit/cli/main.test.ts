import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const PROGRAM = join(ROOT, "bin/virtiofs-gateway");

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "gateway-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function run(argv: readonly string[], env: NodeJS.ProcessEnv = {}, program = PROGRAM) {
  const { status, stdout, stderr } = spawnSync(program, argv, {
    encoding: "utf8",
    timeout: 15_000,
    killSignal: "SIGKILL",
    env: { ...process.env, ...env },
  });
  return { status, stdout, stderr };
}

const WITHOUT_ADDON = { VIRTIOFS_GATEWAY_ADDON: "/nonexistent/addon.node" };

describe("what needs no share", () => {
  it("--version prints the version of package.json, without the addon", () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    const printed = { status: 0, stdout: `virtiofs-gateway ${version}\n`, stderr: "" };
    expect(run(["--version"], WITHOUT_ADDON)).toEqual(printed);
    expect(run(["-V"], WITHOUT_ADDON)).toEqual(printed);
  });

  it("--help names every option, within 80 columns, without the addon", () => {
    const { status, stdout, stderr } = run(["--help"], { ...WITHOUT_ADDON, COLUMNS: "80" });
    expect([status, stderr]).toEqual([0, ""]);
    for (const option of [
      "--socket-path <path>",
      "--shared-dir",
      "--size",
      "--print-capabilities",
      "-h, --help",
    ]) {
      expect(stdout).toContain(option);
    }
    expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it("--print-capabilities prints JSON for launchers", () => {
    const { status, stdout, stderr } = run(["--print-capabilities"], WITHOUT_ADDON);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toBe('{\n  "type": "fs",\n  "features": [\n    "separate-options"\n  ]\n}\n');
  });
});

describe("a wrong command line", () => {
  it.each([
    [[], "--socket-path is required"],
    [
      ["--socket-path", "s", "--backend", "memory", "--size", "abc"],
      '--size: expected a size such as 512MiB or 1GiB, got "abc"',
    ],
    [["--sokcet-path", "s"], "unknown option --sokcet-path: did you mean --socket-path?"],
  ])("%o is one line on stderr and exit code 2", (argv, message) => {
    expect(run(argv, WITHOUT_ADDON)).toEqual({ status: 2, stdout: "", stderr: `error: ${message}\n` });
  });
});

describe("an unusable host", () => {
  function expectOneLine(argv: readonly string[], env: NodeJS.ProcessEnv, text: RegExp) {
    const { status, stdout, stderr } = run(argv, env);
    expect(stderr).toMatch(text);
    expect(stderr.split("\n")).toHaveLength(2);
    expect([status, stdout]).toEqual([1, ""]);
  }

  it("a missing addon is one line and exit code 1", () => {
    const argv = ["--socket-path", join(folder, "s"), "--backend", "memory"];
    expectOneLine(argv, WITHOUT_ADDON, /^error: cannot load the native addon \/nonexistent\/addon\.node: /);
  });

  it("a missing directory is one line and exit code 1", () => {
    const argv = ["--socket-path", join(folder, "s"), "--shared-dir", join(folder, "missing")];
    expectOneLine(argv, {}, /^error: .*--shared-dir.*missing/);
  });

  it("a file in place of the directory is one line and exit code 1", () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    expectOneLine(
      ["--socket-path", join(folder, "s"), "--shared-dir", join(file, "below")],
      {},
      /^error: .*below/,
    );
  });

  it("a socket path that is too long is one line and exit code 1", () => {
    const argv = ["--socket-path", join(folder, "x".repeat(120)), "--shared-dir", folder];
    expectOneLine(argv, {}, /^error: .*--socket-path.*x{120}/);
  });

  it("a socket in a missing folder is one line and exit code 1", () => {
    const argv = ["--socket-path", join(folder, "missing/s"), "--shared-dir", folder];
    expectOneLine(argv, {}, /^error: .*missing\/s/);
  });
});

it("a program that is not built says what to do", () => {
  const copy = join(folder, "package");
  mkdirSync(join(copy, "bin"), { recursive: true });
  copyFileSync(PROGRAM, join(copy, "bin/virtiofs-gateway"));
  copyFileSync(join(ROOT, "package.json"), join(copy, "package.json"));
  expect(run(["--help"], {}, join(copy, "bin/virtiofs-gateway"))).toEqual({
    status: 1,
    stdout: "",
    stderr: 'error: virtiofs-gateway is not built: run "npm ci" or "npm run build"\n',
  });
});
