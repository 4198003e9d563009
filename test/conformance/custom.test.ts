import { resolve } from "node:path";
import {
  EXAMPLE_BACKEND,
  EXAMPLE_CAPABILITIES,
  parseCapabilities,
  requireDirectory,
  SERVE_BACKEND,
} from "./support/custom.js";
import { directoryEnvironment, mountEnvironment, ringsEnvironment } from "./support/environments.js";
import { conformanceSuite } from "./support/suite.js";

// A backend or a directory that somebody names (run.mjs); the example backend otherwise.
const { CONFORMANCE_PATH, CONFORMANCE_BACKEND, CONFORMANCE_CAPABILITIES } = process.env;

if (CONFORMANCE_PATH !== undefined) {
  const capabilities = parseCapabilities(CONFORMANCE_CAPABILITIES ?? "");
  conformanceSuite(CONFORMANCE_PATH, () =>
    directoryEnvironment("directory", requireDirectory(CONFORMANCE_PATH), { kind: "other", capabilities }),
  );
} else {
  const module = resolve(CONFORMANCE_BACKEND ?? EXAMPLE_BACKEND);
  const isExample = module === EXAMPLE_BACKEND;
  const declared = CONFORMANCE_CAPABILITIES ?? (isExample ? EXAMPLE_CAPABILITIES : "");
  process.env.CONFORMANCE_BACKEND = module;
  process.env.GATEWAY_COMMAND = `${process.execPath} ${SERVE_BACKEND}`;
  const custom = { kind: "other", declared: parseCapabilities(declared) } as const;
  conformanceSuite("the backend over rings", () => ringsEnvironment("memory", custom));
  conformanceSuite("the backend mounted", () => mountEnvironment("memory", custom));
}
