// @ts-check
// Serves the backend of a module for the conformance suite, with the server's own command line:
//
//   CONFORMANCE_BACKEND=./my-backend.js node serve-backend.mjs --backend memory --socket-path SOCKET
//
// The module's default export makes the backend; it imports its base class and types from "virtiofs-gateway".
// Module and server are bundled together, so that a backend may be TypeScript and there is one copy of everything.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { rolldown } from "rolldown";

const CACHE = fileURLToPath(new URL("../../.cache", import.meta.url));

/** @param {string} name */
function here(name) {
  return fileURLToPath(new URL(`serve/${name}`, import.meta.url));
}

/**
 * @param {string} module
 * @param {string} directory
 */
async function bundle(module, directory) {
  const build = await rolldown({
    input: { entry: here("entry.ts") },
    platform: "node",
    resolve: {
      extensionAlias: { ".js": [".ts", ".js"] },
      alias: { "backend-under-test": module, "virtiofs-gateway": here("api.ts") },
    },
  });
  await build.write({ dir: directory, format: "esm", entryFileNames: "[name].mjs" });
  await build.close();
  return pathToFileURL(join(directory, "entry.mjs")).href;
}

const module = process.env.CONFORMANCE_BACKEND;
if (module === undefined) {
  process.stderr.write("error: expected the module of a backend in CONFORMANCE_BACKEND\n");
  process.exit(2);
}
mkdirSync(CACHE, { recursive: true });
// Below package.json, where the server looks for its addon.
const directory = mkdtempSync(join(CACHE, "conformance-"));
const { serve } = await import(await bundle(resolve(module), directory)).finally(() =>
  rmSync(directory, { recursive: true }),
);
process.exit(await serve(process.argv.slice(2)));
