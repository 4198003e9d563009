// Writes config/share.schema.json from the schema in src/config: `npm run schema`.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { rolldown } from "rolldown";

const folder = await mkdtemp(join(tmpdir(), "virtiofs-gateway-schema-"));
try {
  const file = join(folder, "schema.mjs");
  const bundle = await rolldown({
    input: new URL("../src/config/json-schema.ts", import.meta.url).pathname,
    platform: "node",
    resolve: { extensionAlias: { ".js": [".ts", ".js"] } },
  });
  await bundle.write({ file, format: "esm" });
  const { shareJsonSchema } = await import(pathToFileURL(file).href);
  await writeFile(new URL("../config/share.schema.json", import.meta.url), shareJsonSchema());
} finally {
  await rm(folder, { recursive: true });
}
