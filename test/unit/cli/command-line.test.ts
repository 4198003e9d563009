import { describe, expect, it } from "vitest";
import { parseCommandLine } from "../../../src/cli/command-line.js";
import { GatewayError } from "../../../src/vfs/gateway-error.js";

const HOST = ["--socket-path", "/run/s.sock", "--shared-dir", "/srv"];
const MEMORY = ["--socket-path", "/run/s.sock", "--backend", "memory"];

function share(...argv: string[]) {
  const commandLine = parseCommandLine(argv);
  if (commandLine.kind !== "serve") {
    throw new Error(`expected a share, got ${commandLine.kind}`);
  }
  return commandLine.share;
}

function errorOf(argv: readonly string[]): string {
  try {
    parseCommandLine(argv);
  } catch (error) {
    expect(error).toBeInstanceOf(GatewayError);
    expect((error as GatewayError).code).toBe("usage");
    return (error as GatewayError).message;
  }
  return "no error";
}

describe("a share", () => {
  it("is a host directory by default", () => {
    expect(share(...HOST)).toMatchObject({
      backend: "passthrough",
      socketPath: "/run/s.sock",
      sharedDir: "/srv",
      readonly: false,
      xattr: false,
      cache: "auto",
      threadPoolSize: 4,
      spinUs: 50,
    });
  });

  it("takes every option of a host directory", () => {
    const options = ["--tag", "home", "--readonly", "--cache=always", "--xattr"];
    const tuning = ["--thread-pool-size=1", "--spin-us=0"];
    expect(share(...HOST, ...options, ...tuning)).toMatchObject({
      tag: "home",
      readonly: true,
      cache: "always",
      xattr: true,
      threadPoolSize: 1,
      spinUs: 0,
    });
  });

  it("takes every option of caching and privileges", () => {
    const timeouts = [
      "--timeout=10",
      "--entry-timeout",
      "0.5",
      "--attr-timeout=2",
      "--negative-timeout=0.000000001",
    ];
    const flags = ["--writeback", "--allow-mmap", "--no-readdirplus", "--allow-direct-io"];
    const rest = [
      "--posix-acl=auto",
      "--killpriv-v2",
      "--no-announce-submounts",
      "--inode-file-handles=mandatory",
    ];
    expect(share(...HOST, ...timeouts, ...flags, ...rest)).toMatchObject({
      timeout: 10,
      entryTimeout: 0.5,
      attrTimeout: 2,
      negativeTimeout: 1e-9,
      writeback: true,
      allowMmap: true,
      readdirplus: false,
      allowDirectIo: true,
      posixAcl: "auto",
      killprivV2: true,
      announceSubmounts: false,
      inodeFileHandles: "mandatory",
    });
  });

  it.each([
    [[], "never"],
    [["--posix-acl"], "always"],
    [["--posix-acl", "--xattr"], "always"],
    [["--posix-acl", "auto"], "auto"],
    [["--posix-acl", "--posix-acl=never"], "never"],
  ])("%o: --posix-acl is %s", (argv, posixAcl) => {
    expect(share(...HOST, ...argv)).toMatchObject({ posixAcl });
  });

  it("lets the last of an option and its opposite win", () => {
    const off = ["--no-killpriv-v2", "--no-announce-submounts", "--no-file-locks"];
    const on = ["--killpriv-v2", "--announce-submounts", "--file-locks"];
    const all = (value: boolean) => ({ killprivV2: value, announceSubmounts: value, fileLocks: value });
    expect(share(...HOST, ...on, ...off)).toMatchObject(all(false));
    expect(share(...HOST, ...off, ...on)).toMatchObject(all(true));
    expect(share(...HOST)).toMatchObject({ announceSubmounts: true, readdirplus: true });
    expect(share(...HOST).killprivV2).toBeUndefined();
  });

  it("reads --xattrmap", () => {
    const { xattrmap } = share(...HOST, "--xattrmap", ":map::user.virtiofs.:");
    expect(xattrmap?.serverName("user.a")).toBe("user.virtiofs.user.a");
  });

  it("takes every option of a memory share", () => {
    expect(share(...MEMORY, "--size", "64M", "--inodes", "1000")).toMatchObject({
      backend: "memory",
      size: 64 * 2 ** 20,
      inodes: 1000,
    });
  });

  it.each([
    ["the last --socket-path", ["--socket-path", "/a", "--socket-path", "/b"]],
    ["--socket after --socket-path", ["--socket-path", "/a", "--socket", "/b"]],
    ["--socket-path after --socket", ["--socket=/a", "--socket-path=/b"]],
    ["--socket alone", ["--socket", "/b"]],
  ])("is served at %s", (_, argv) => {
    expect(share(...argv, "--shared-dir", "/srv").socketPath).toBe("/b");
  });

  it("lets the last of a repeated option win", () => {
    expect(share(...HOST, "--cache", "never", "--cache", "metadata", "--shared-dir", "/x")).toMatchObject({
      cache: "metadata",
      sharedDir: "/x",
    });
  });

  it("takes a value that begins with a dash or holds an equals sign", () => {
    expect(share("--socket-path=/a=b", "--shared-dir", "-d")).toMatchObject({
      socketPath: "/a=b",
      sharedDir: "-d",
    });
  });
});

describe("logging", () => {
  it.each([
    [[], { level: "info", format: "text" }],
    [["--log-level", "off"], { level: "off", format: "text" }],
    [["--log-level=trace", "--log-format=json"], { level: "trace", format: "json" }],
  ])("%o", (argv, logging) => {
    expect(parseCommandLine([...HOST, ...argv])).toMatchObject({ logging });
  });
});

describe("an error names option, expectation and value", () => {
  it.each([
    [["--shared-dir", "/srv"], "--socket-path is required"],
    [["--socket-path", "/s"], "--shared-dir is required with --backend passthrough"],
    [[], "--socket-path is required"],
    [[...MEMORY, "--size", "abc"], '--size: expected a size such as 512MiB or 1GiB, got "abc"'],
    [[...MEMORY, "--inodes", "1e3"], '--inodes: expected a whole number from 1 to 4294967295, got "1e3"'],
    [[...MEMORY, "--inodes", "-1"], '--inodes: expected a whole number from 1 to 4294967295, got "-1"'],
    [[...HOST, "--size", "1G"], "--size: belongs to --backend memory, not to --backend passthrough"],
    [[...HOST, "--inodes", "9"], "--inodes: belongs to --backend memory, not to --backend passthrough"],
    [
      [...MEMORY, "--shared-dir", "/srv"],
      "--shared-dir: belongs to --backend passthrough, not to --backend memory",
    ],
    [
      [...HOST, "--backend", "tape"],
      '--backend: expected one of passthrough, memory, overlay, s3, got "tape"',
    ],
    [[...HOST, "--cache", "none"], '--cache: expected one of auto, always, never, metadata, got "none"'],
    [
      [...HOST, "--timeout=1s"],
      '--timeout: expected seconds from 0 to 1000000000, such as 1 or 0.5, got "1s"',
    ],
    [
      [...HOST, "--xattrmap=:bad:all:::x"],
      '--xattrmap: expected a type and "x" behind it in rule 2 at character 13, got ":bad:all:::x"',
    ],
    [[...HOST, "--tag="], '--tag: expected a name of 1 to 36 bytes, got ""'],
    [[...HOST, "--spin-us", "99999"], "--spin-us: expected a whole number from 0 to 10000, got 99999"],
    [[...HOST, "--thread-pool-size=x"], '--thread-pool-size: expected a whole number from 0 to 256, got "x"'],
    [
      [...HOST, "--log-level", "loud"],
      '--log-level: expected one of error, warn, info, debug, trace, off, got "loud"',
    ],
    [[...HOST, "--log-format", "xml"], '--log-format: expected one of text, json, got "xml"'],
    [[...HOST, "--read-only"], "unknown option --read-only: did you mean --readonly?"],
    [[...HOST, "--shared_dir=/x"], "unknown option --shared_dir: did you mean --shared-dir?"],
    [[...HOST, "--dax-window"], "unknown option --dax-window: see --help"],
    [[...HOST, "-d"], "unknown option -d: see --help"],
    [[...HOST, "--re\u001bad\nonly"], "unknown option --re\\u001bad\\nonly: did you mean --readonly?"],
    [[...HOST, "--readonly=yes"], '--readonly takes no value, got "yes"'],
    [[...HOST, "--tag"], "--tag: expected a value"],
    [[...HOST, "/srv"], 'unexpected argument "/srv": every setting is an option, see --help'],
    [[...HOST, "--", "x"], 'unexpected argument "x": every setting is an option, see --help'],
  ])("%o", (argv, message) => {
    expect(errorOf(argv)).toBe(message);
  });
});

it("--print-capabilities needs nothing else", () => {
  expect(parseCommandLine(["--print-capabilities"])).toEqual({ kind: "capabilities" });
});
