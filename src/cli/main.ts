import { escapeControls } from "../observability/escape.js";
import { GatewayError } from "../vfs/gateway-error.js";
import { parseCommandLine } from "./command-line.js";

/** What launchers read with --print-capabilities: the features of the vhost-user descriptor file. */
const CAPABILITIES = { type: "fs", features: ["separate-options"] };

const EXIT_OK = 0;
const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

function reportError(error: unknown): number {
  const known = error instanceof GatewayError;
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`error: ${known ? "" : "internal error: "}${escapeControls(message)}\n`);
  return known && error.code === "usage" ? EXIT_USAGE : EXIT_FAILURE;
}

/**
 * Runs the program and returns its exit code: 0 after a front-end disconnected, 1 for an error of
 * the environment or the protocol and after a signal, 2 for a wrong command line.
 * @param argv arguments without the names of node and the script
 */
export async function main(argv: readonly string[]): Promise<number> {
  try {
    const commandLine = parseCommandLine(argv);
    switch (commandLine.kind) {
      case "printed":
        return EXIT_OK;
      case "capabilities":
        process.stdout.write(`${JSON.stringify(CAPABILITIES, null, 2)}\n`);
        return EXIT_OK;
      case "serve": {
        const { serveShare } = await import("../app/serve-share.js");
        return await serveShare(commandLine.share, commandLine.logging);
      }
      case "layer-export": {
        const { runExport } = await import("./layer-commands.js");
        return await runExport(commandLine.request);
      }
      case "layer-import": {
        const { runImport } = await import("./layer-commands.js");
        return await runImport(commandLine.request);
      }
    }
  } catch (error) {
    return reportError(error);
  }
}
