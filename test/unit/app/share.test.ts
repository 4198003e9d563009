import { existsSync } from "node:fs";
import { describe, expect, it, onTestFinished } from "vitest";
import { type Gateway, READY_LINE, startGateway } from "../../support/gateway.js";

async function start(...argv: string[]): Promise<Gateway> {
  const gateway = await startGateway(["--backend", "memory", "--size", "1MiB", ...argv]);
  onTestFinished(() => gateway.stop());
  return gateway;
}

describe("an idle share", () => {
  it("says that it waits, in the form of virtiofsd", async () => {
    const gateway = await start();
    expect(gateway.stderr()).toMatch(
      /^\[\S+Z INFO {2}virtiofs_gateway\] Waiting for vhost-user socket connection\.\.\.\n$/,
    );
  });

  it("says it in JSON on request", async () => {
    const gateway = await start("--log-format", "json");
    expect(JSON.parse(gateway.stderr())).toMatchObject({ level: 30, msg: READY_LINE });
  });

  it.each(["SIGTERM", "SIGHUP", "SIGINT"] as const)(
    "%s ends it with 1 and removes the socket",
    async (signal) => {
      const gateway = await start();
      expect(existsSync(gateway.socketPath)).toBe(true);
      gateway.signal(signal);
      expect(await gateway.waitForExit()).toEqual({ code: 1, signal: null });
      expect(existsSync(gateway.socketPath)).toBe(false);
      expect(gateway.stderr()).not.toContain("    at ");
    },
  );
});

it("a socket of a live server is not taken over", async () => {
  const first = await start();
  const second = startGateway(["--backend", "memory", "--socket-path", first.socketPath]);
  await expect(second).rejects.toThrow(/error: --socket-path: /);
  expect(first.exited).toBeUndefined();
});
