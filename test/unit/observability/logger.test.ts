import { describe, expect, it } from "vitest";
import type { LoggingConfig } from "../../../src/observability/log-levels.js";
import { createLogger } from "../../../src/observability/logger.js";
import { GatewayError } from "../../../src/vfs/gateway-error.js";

function capture(config: Partial<LoggingConfig> = {}) {
  const lines: string[] = [];
  const logger = createLogger(
    { level: "info", format: "text", ...config },
    { write: (line) => lines.push(line) },
  );
  return { logger, lines };
}

describe("text", () => {
  it("writes lines as virtiofsd does", () => {
    const { logger, lines } = capture();
    logger.info("Waiting for vhost-user socket connection...");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO {2}virtiofs_gateway\] Waiting for vhost-user socket connection\.\.\.\n$/,
    );
  });

  it("names the levels in five columns", () => {
    const { logger, lines } = capture({ level: "debug" });
    logger.error("x");
    logger.warn("x");
    logger.debug("x");
    expect(lines.map((line) => line.slice(26, 31))).toEqual(["ERROR", "WARN ", "DEBUG"]);
  });

  it("puts fields behind the message, quoted where they need it", () => {
    const { logger, lines } = capture();
    logger.warn({ operation: "lookup", name: "a b", count: 3, list: [1] }, "odd");
    expect(lines[0]).toContain('] odd operation=lookup name="a b" count=3 list=[1]\n');
  });

  it("keeps what a guest sends on one line", () => {
    const { logger, lines } = capture();
    logger.info({ name: "x\n[2026] ERROR forged\u009b2J" }, "name\r\nforged\u001b[2J");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^[\u0020-\u007e]+\n$/);
  });
});

describe("json", () => {
  it("writes one object per line with escaped controls", () => {
    const { logger, lines } = capture({ format: "json" });
    logger.info({ name: "a\u009b\n\u2028b" }, "hello");
    expect(lines[0]).toMatch(/^[\u0020-\u007e]+\n$/);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: 30, msg: "hello", name: "a\u009b\n\u2028b" });
  });
});

describe("levels", () => {
  it.each([
    ["off", 0],
    ["error", 1],
    ["warn", 2],
    ["info", 3],
    ["debug", 4],
    ["trace", 4],
  ] as const)("%s writes %d of four", (level, count) => {
    const { logger, lines } = capture({ level });
    logger.error("x");
    logger.warn("x");
    logger.info("x");
    logger.debug("x");
    expect(lines).toHaveLength(count);
  });
});

describe("errors", () => {
  const error = new GatewayError("environment", "no such directory", { cause: new Error("ENOENT") });

  it("are shown with code and cause, without a stack", () => {
    const { logger, lines } = capture({ format: "json" });
    logger.error({ err: error }, "failed");
    expect(JSON.parse(lines[0] ?? "").err).toEqual({
      type: "GatewayError",
      message: "no such directory",
      code: "environment",
      cause: "ENOENT",
    });
  });

  it("have their stack at debug", () => {
    const { logger, lines } = capture({ format: "json", level: "debug" });
    logger.error({ err: error }, "failed");
    expect(JSON.parse(lines[0] ?? "").err.stack).toContain("logger.test");
  });

  it("may be anything that was thrown", () => {
    const { logger, lines } = capture();
    logger.error({ err: "a string" }, "failed");
    expect(lines[0]).toContain('failed err="a string"');
  });
});
