import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { GatewayError } from "../vfs/gateway-error.js";

const ADDON_FILE = "build/Release/virtiofs_gateway.node";

/** The addon lies beside package.json, which is above both src/ and dist/src/. */
function findAddon(): string {
  const override = process.env.VIRTIOFS_GATEWAY_ADDON;
  if (override !== undefined && override !== "") {
    return override;
  }
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) {
    const parent = dirname(folder);
    if (parent === folder) {
      break;
    }
    folder = parent;
  }
  return join(folder, ADDON_FILE);
}

function loadAddon(): unknown {
  const path = findAddon();
  try {
    return createRequire(import.meta.url)(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw new GatewayError(
      "environment",
      `cannot load the native addon ${path}: ${reason}; run "npm run build"`,
      {
        cause,
      },
    );
  }
}

/** The addon's exports, untyped: each file in this folder types the part it wraps. */
export const addon: unknown = loadAddon();
