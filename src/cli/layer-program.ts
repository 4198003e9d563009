import { Command } from "commander";
import { parseSize } from "../config/size.js";
import type { ExportRequest } from "../layer/export.js";
import type { ImportRequest } from "../layer/import.js";
import { quoteValue } from "../observability/escape.js";
import { GatewayError } from "../vfs/gateway-error.js";
import { quiet } from "./program.js";

const DESCRIPTION = "Layers of container images: lower directories of an overlay, and what its upper adds.";

const IMPORT_HELP = `
A source is an archive of one layer, an image in one archive (an OCI image
layout, or what "docker save" writes), or an OCI image layout in a directory.
Archives may be packed with gzip or zstd. Sources are given base first, and DIR
gets 0001 for the base, 0002 for the next layer, and so on. Digests are checked.
Standard output says how to serve them: --lower options, the top first.`;

const EXPORT_HELP = `
UPPER has whiteouts and opaque directories as overlayfs of the kernel writes
them. The same directory always gives the same archive.`;

/** Names of the machine's architecture in images. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };

/** What is called with what a command line of `layer` asks for. */
export interface LayerActions {
  export(request: ExportRequest): void;
  import(request: ImportRequest): void;
}

function collect(value: string, values: string[] = []): string[] {
  return [...values, value];
}

function maxSize(text: string): number {
  const bytes = parseSize(text);
  if (bytes === undefined) {
    throw new GatewayError("usage", `--max-size: expected a size such as 10GiB, got ${quoteValue(text)}`);
  }
  return bytes;
}

function addExport(program: Command, actions: LayerActions): void {
  quiet(program.command("export"))
    .summary("write an upper directory as a layer")
    .description("Writes the upper directory of an overlay as a layer of an OCI image.")
    .argument("<upper>", "upper directory, which no gateway or mount uses meanwhile")
    .requiredOption("--output <tar>", "archive to write; .gz and .tgz compress")
    .option(
      "--lower <dir>",
      "lower directory, the top first; needed when directories of it were renamed",
      collect,
      [],
    )
    .addHelpText("after", EXPORT_HELP)
    .action((upper: string, { output, lower }: { output: string; lower: string[] }) => {
      actions.export({ upper, output, lowers: lower });
    });
}

function addImport(program: Command, actions: LayerActions): void {
  quiet(program.command("import"))
    .summary("unpack layers into lower directories")
    .description("Unpacks layers of images into lower directories of an overlay.")
    .argument("<source...>", "archives of layers or images, or image layouts; base first")
    .requiredOption("--output <dir>", "directory to make, or an empty one; only for its owner")
    .option(
      "--platform <os/architecture>",
      "which of an image's platforms",
      `linux/${ARCHITECTURES[process.arch] ?? process.arch}`,
    )
    .option("--image <name>", "which image, where there are several: a name or tag")
    .option("--max-size <size>", "refuse what unpacks to more, all layers together (default: no limit)")
    .addHelpText("after", IMPORT_HELP)
    .action((sources: string[], options: Record<"output" | "platform", string> & Record<string, string>) => {
      const { output, platform, image, maxSize: limit } = options;
      const maxSizeBytes = limit === undefined ? Number.MAX_SAFE_INTEGER : maxSize(limit);
      actions.import({ sources, output, platform, image, maxSizeBytes });
    });
}

/** The command line behind `layer`. */
export function createLayerProgram(actions: LayerActions): Command {
  const program = quiet(new Command("virtiofs-gateway layer")).description(DESCRIPTION);
  program.action(() => {
    throw new GatewayError("usage", "layer: expected import or export, see --help");
  });
  addImport(program, actions);
  addExport(program, actions);
  return program;
}
