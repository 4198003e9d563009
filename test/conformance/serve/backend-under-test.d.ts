declare module "backend-under-test" {
  import type { Backend } from "../../../src/vfs/backend.js";
  import type { Logger } from "../../../src/vfs/logger.js";

  /** The default export of a backend's module. */
  export default function createBackend(options: { logger: Logger }): Backend | Promise<Backend>;
}
