import { statfsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ALL_CAPABILITIES, CAPABILITIES, type Capability, isCapability } from "./capabilities.js";

/** What is tested when nobody names a backend. */
export const EXAMPLE_BACKEND = fileURLToPath(new URL("../examples/plain-files-backend.js", import.meta.url));
export const EXAMPLE_CAPABILITIES = "-hardLinks,-specialFiles,-xattrs,-posixAcl,-tmpfile,-inodeFlags";
export const SERVE_BACKEND = fileURLToPath(new URL("../serve-backend.mjs", import.meta.url));

/** `a,b`: these alone; `-a,-b`: all but these. */
export function parseCapabilities(text: string): Set<Capability> {
  const words = text.split(",").filter((word) => word !== "");
  const chosen = new Set<Capability>(words.every((word) => word.startsWith("-")) ? ALL_CAPABILITIES : []);
  for (const word of words) {
    const name = word.replace(/^-/, "");
    if (!isCapability(name)) {
      throw new Error(`expected one of ${Object.keys(CAPABILITIES).join(", ")}, got "${name}"`);
    }
    if (word.startsWith("-")) chosen.delete(name);
    else chosen.add(name);
  }
  return chosen;
}

/** An existing directory on a file system that is to be tested. */
export function requireDirectory(path: string): string {
  statfsSync(path);
  return resolve(path);
}
