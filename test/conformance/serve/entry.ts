import createBackend from "backend-under-test";
import { createShareContainer } from "../../../src/app/container.js";
import { Tokens } from "../../../src/app/tokens.js";
import { parseCommandLine } from "../../../src/cli/command-line.js";
import { createLogger } from "../../../src/observability/logger.js";

/** Serves the backend under test as the product serves its own; the exit code of the process. */
export async function serve(argv: readonly string[]): Promise<number> {
  const commandLine = parseCommandLine(argv);
  if (commandLine.kind !== "serve") return 2;
  const logger = createLogger(commandLine.logging);
  const container = createShareContainer(commandLine.share, logger);
  (await container.rebind(Tokens.backend)).toConstantValue(await createBackend({ logger }));
  const share = await container.getAsync(Tokens.share);
  return share.run();
}
