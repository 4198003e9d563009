import { fileURLToPath } from "node:url";
import { ESLint } from "eslint";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const RULES = new Set([
  "no-restricted-imports",
  "no-restricted-syntax",
  "max-lines",
  "max-lines-per-function",
]);

// Types are not needed here, and the files do not exist.
const eslint = new ESLint({
  cwd: ROOT,
  ruleFilter: ({ ruleId }) => RULES.has(ruleId),
  overrideConfig: { languageOptions: { parserOptions: { projectService: false } } },
});

async function violations(filePath: string, text: string): Promise<(string | null)[]> {
  const [result] = await eslint.lintText(text, { filePath: ROOT + filePath });
  return [...new Set(result?.messages.map(({ ruleId }) => ruleId))];
}

describe("the lint rules refuse", () => {
  it.each([
    ["src/vfs/x.ts", "../native/addon.js"],
    ["src/vfs/x.ts", "../observability/once.js"],
    ["src/vfs/deep/x.ts", "../../fuse/session.js"],
    ["src/native/x.ts", "../fuse/session.js"],
    ["src/tar/x.ts", "../native/posix.js"],
    ["src/fuse/x.ts", "../tar/reader.js"],
    ["src/config/x.ts", "../app/share.js"],
    ["src/fuse/x.ts", "../vhost-user/server.js"],
    ["src/vhost-user/x.ts", "../fuse/session.js"],
    ["src/vhost-user/x.ts", "../../backends/memory/memory-backend.js"],
    ["src/fuse/x.ts", "../native/addon.js"],
    ["src/app/x.ts", "../cli/main.js"],
    ["src/app/x.ts", "node:module"],
    ["src/cli/x.ts", "../../backends/memory/memory-backend.js"],
    ["src/cli/x.ts", "../native/lane.js"],
    ["src/cli/x.ts", "inversify"],
    ["src/fuse/x.ts", "pino"],
    ["src/app/x.ts", "@aws-sdk/client-s3"],
    ["backends/passthrough/x.ts", "../../src/fuse/session.js"],
    ["backends/passthrough/x.ts", "../../src/native/addon.js"],
    ["backends/passthrough/x.ts", "../memory/memory-backend.js"],
    ["backends/overlay/x.ts", "../../src/native/posix.js"],
    ["backends/memory/x.ts", "@aws-sdk/client-s3"],
  ])("%s importing %s", async (file, specifier) => {
    expect(await violations(file, `import x from "${specifier}"; x();\n`)).toEqual(["no-restricted-imports"]);
    expect(await violations(file, `void import("${specifier}");\n`)).toEqual(["no-restricted-syntax"]);
  });

  it("files over 600 lines and functions over 50", async () => {
    expect(await violations("src/vfs/x.ts", "export {};\n".repeat(601))).toEqual(["max-lines"]);
    const body = "  x += 1;\n".repeat(50);
    expect(await violations("src/vfs/x.ts", `let x = 0;\nexport function f() {\n${body}}\n`)).toEqual([
      "max-lines-per-function",
    ]);
  });
});

describe("the lint rules allow", () => {
  it.each([
    ["src/vfs/x.ts", "./node.js"],
    ["src/native/posix.ts", "./addon.js"],
    ["src/native/addon.ts", "node:module"],
    ["src/native/addon.ts", "../vfs/gateway-error.js"],
    ["src/fuse/x.ts", "../native/lane.js"],
    ["src/app/x.ts", "../../backends/memory/memory-backend.js"],
    ["src/app/x.ts", "inversify"],
    ["src/cli/x.ts", "../app/serve-share.js"],
    ["backends/passthrough/x.ts", "../../src/vfs/node.js"],
    ["backends/memory/x.ts", "../../src/native/arena.js"],
    ["backends/memory/x.ts", "./memory-node.js"],
    ["backends/s3/x.ts", "@aws-sdk/client-s3"],
  ])("%s importing %s", async (file, specifier) => {
    expect(await violations(file, `import x from "${specifier}"; x();\n`)).toEqual([]);
  });
});
