import { describe, expect, it } from "vitest";
import { createShareContainer } from "../../../src/app/container.js";
import { createBackend } from "../../../src/app/create-backend.js";
import { Share } from "../../../src/app/share.js";
import { Tokens } from "../../../src/app/tokens.js";
import { parseShareConfig } from "../../../src/config/parse.js";
import { createLogger } from "../../../src/observability/logger.js";
import { ReadOnlyBackend } from "../../../src/vfs/read-only-backend.js";

const logger = createLogger({ level: "off", format: "text" });
const memory = { backend: "memory", socketPath: "/nonexistent/socket", size: "1MiB" };
const host = { backend: "passthrough", socketPath: "/nonexistent/socket", sharedDir: "/nonexistent" };

describe("createBackend", () => {
  it.each([
    [memory, "MemoryBackend"],
    [host, "PassthroughBackend"],
  ])("%o", async (settings, name) => {
    const backend = await createBackend(parseShareConfig(settings), logger);
    expect(backend.constructor.name).toBe(name);
  });

  it("wraps a read-only share", async () => {
    const backend = await createBackend(parseShareConfig({ ...memory, readonly: true }), logger);
    expect(backend).toBeInstanceOf(ReadOnlyBackend);
  });
});

describe("the container", () => {
  const container = createShareContainer(parseShareConfig({ ...memory, cache: "never" }), logger);

  it("wires a share, once", async () => {
    const share = await container.getAsync(Tokens.share);
    expect(share).toBeInstanceOf(Share);
    expect(await container.getAsync(Tokens.share)).toBe(share);
  });

  it("finds the cache policy by its name", () => {
    expect(container.get(Tokens.cachePolicy)).toMatchObject({ directIo: true, entryTimeoutSec: 0 });
  });
});
