import { type ExportRequest, exportLayer } from "../layer/export.js";
import { type ImportRequest, importLayers } from "../layer/import.js";
import { escapeControls } from "../observability/escape.js";
import { GatewayError } from "../vfs/gateway-error.js";

const EXIT_OK = 0;

function note(lines: readonly string[]): void {
  for (const line of lines) {
    process.stderr.write(`${escapeControls(line)}\n`);
  }
}

/** A word for a shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** What the system refuses is the environment's fault, and its own words say what it is. */
async function orGatewayError<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (err) {
    if (err instanceof Error && (err as NodeJS.ErrnoException).errno !== undefined) {
      throw new GatewayError("environment", err.message, { cause: err });
    }
    throw err;
  }
}

/** Runs `layer export`; the exit code. */
export async function runExport(request: ExportRequest): Promise<number> {
  note(await orGatewayError(exportLayer(request)));
  return EXIT_OK;
}

/** Runs `layer import`; prints how to serve the layers. */
export async function runImport(request: ImportRequest): Promise<number> {
  const { layers, notes } = await orGatewayError(importLayers(request));
  note(notes);
  const lowers = [...layers].reverse().map((path) => `--lower ${quoted(path)}`);
  process.stdout.write(`${lowers.join(" ")}\n`);
  return EXIT_OK;
}
