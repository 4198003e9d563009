import { describe, expect, it } from "vitest";
import { parseLoggingConfig, parseShareConfig } from "../../../src/config/parse.js";
import { GatewayError } from "../../../src/vfs/gateway-error.js";

const host = { backend: "passthrough", socketPath: "/run/s.sock", sharedDir: "/srv" };
const memory = { backend: "memory", socketPath: "/run/s.sock" };

function errorOf(settings: Record<string, unknown>): string {
  try {
    parseShareConfig(settings);
  } catch (error) {
    expect(error).toBeInstanceOf(GatewayError);
    expect((error as GatewayError).code).toBe("usage");
    return (error as GatewayError).message;
  }
  return "no error";
}

describe("parseShareConfig", () => {
  it("fills in the defaults of a host share", () => {
    expect(parseShareConfig(host)).toEqual({
      ...host,
      readonly: false,
      cache: "auto",
      writeback: false,
      allowMmap: false,
      readdirplus: true,
      xattr: false,
      posixAcl: "never",
      announceSubmounts: true,
      allowDirectIo: false,
      inodeFileHandles: "prefer",
      threadPoolSize: 4,
      spinUs: 50,
    });
  });

  it("fills in the defaults of a memory share", () => {
    expect(parseShareConfig(memory)).toMatchObject({ backend: "memory", size: 2 ** 30 });
  });

  it("reads sizes as text and as bytes", () => {
    expect(parseShareConfig({ ...memory, size: "512MiB" })).toMatchObject({ size: 2 ** 29 });
    expect(parseShareConfig({ ...memory, size: 5_000_000 })).toMatchObject({ size: 5_000_000 });
  });

  it("takes 0 threads for the default", () => {
    expect(parseShareConfig({ ...host, threadPoolSize: 0 }).threadPoolSize).toBe(4);
    expect(parseShareConfig({ ...host, threadPoolSize: 1 }).threadPoolSize).toBe(1);
  });

  it("counts the bytes of a tag, not its characters", () => {
    expect(parseShareConfig({ ...host, tag: "é".repeat(18) }).tag).toHaveLength(18);
    expect(errorOf({ ...host, tag: "é".repeat(19) })).toMatch(
      /^tag: expected a name of 1 to 36 bytes, got "é/,
    );
  });

  it.each([
    [{ ...memory, size: "abc" }, 'size: expected a size such as 512MiB or 1GiB, got "abc"'],
    [{ ...memory, size: -1 }, "size: expected a size such as 512MiB or 1GiB, got -1"],
    [
      { ...memory, size: "4095" },
      'size: expected a size such as 512MiB or 1GiB, of at least 4KiB, got "4095"',
    ],
    [
      { ...memory, size: "9999T" },
      'size: expected a size such as 512MiB or 1GiB, below 8192TiB, got "9999T"',
    ],
    [{ ...memory, inodes: 0 }, "inodes: expected a whole number from 1 to 4294967295, got 0"],
    [{ ...memory, inodes: "x" }, 'inodes: expected a whole number from 1 to 4294967295, got "x"'],
    [{ ...host, threadPoolSize: 257 }, "threadPoolSize: expected a whole number from 0 to 256, got 257"],
    [{ ...host, spinUs: 0.5 }, "spinUs: expected a whole number from 0 to 10000, got 0.5"],
    [{ ...host, cache: "none" }, 'cache: expected one of auto, always, never, metadata, got "none"'],
    [{ ...host, tag: "" }, 'tag: expected a name of 1 to 36 bytes, got ""'],
    [{ ...host, tag: "x".repeat(37) }, `tag: expected a name of 1 to 36 bytes, got "${"x".repeat(37)}"`],
    [{ ...host, readonly: "yes" }, 'readonly: expected true or false, got "yes"'],
    [{ ...host, sharedDir: "" }, 'sharedDir: expected a path, got ""'],
    [{ ...host, socketPath: "a\0b" }, 'socketPath: expected a path without NUL, got "a\\u0000b"'],
    [{ ...host, backend: "tape" }, 'backend: expected one of passthrough, memory, overlay, s3, got "tape"'],
    [{ backend: "passthrough", socketPath: "s" }, "sharedDir is required with backend passthrough"],
    [{ backend: "memory" }, "socketPath is required"],
    [{ ...host, size: "1G" }, "size: belongs to backend memory, not to backend passthrough"],
    [{ ...memory, sharedDir: "/srv" }, "sharedDir: belongs to backend passthrough, not to backend memory"],
    [{ backend: "passthrough", size: "1G" }, "size: belongs to backend memory, not to backend passthrough"],
    [{ ...host, colour: "red" }, "colour: no such setting"],
    [{ ...host, timeout: -1 }, "timeout: expected seconds from 0 to 1000000000, such as 1 or 0.5, got -1"],
    [
      { ...host, attrTimeout: "1" },
      'attrTimeout: expected seconds from 0 to 1000000000, such as 1 or 0.5, got "1"',
    ],
    [{ ...host, posixAcl: "yes" }, 'posixAcl: expected one of never, auto, always, got "yes"'],
    [
      { ...host, inodeFileHandles: "maybe" },
      'inodeFileHandles: expected one of never, prefer, mandatory, got "maybe"',
    ],
    [
      { ...host, xattrmap: ":ok:all:" },
      'xattrmap: expected a key and ":" behind it in rule 1 at character 9, got ":ok:all:"',
    ],
    [{ ...host, xattrmap: 7 }, "xattrmap: expected rules such as :map::user.virtiofs.:, got 7"],
    [
      { ...memory, allowDirectIo: true },
      "allowDirectIo: belongs to backend passthrough, not to backend memory",
    ],
  ])("%o: %s", (settings, message) => {
    expect(errorOf(settings)).toBe(message);
  });
});

describe("parseLoggingConfig", () => {
  it("has defaults", () => {
    expect(parseLoggingConfig({})).toEqual({ level: "info", format: "text" });
  });

  it("names a wrong level as the caller names it", () => {
    expect(() => parseLoggingConfig({ logLevel: "loud" }, () => "--log-level")).toThrow(
      '--log-level: expected one of error, warn, info, debug, trace, off, got "loud"',
    );
  });
});
