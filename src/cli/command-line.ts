import { type Command, CommanderError } from "commander";
import { parseLoggingConfig, parseShareConfig } from "../config/parse.js";
import type { ShareConfig } from "../config/share-config.js";
import type { ExportRequest } from "../layer/export.js";
import type { ImportRequest } from "../layer/import.js";
import { escapeControls, quoteValue } from "../observability/escape.js";
import type { LoggingConfig } from "../observability/log-levels.js";
import { GatewayError } from "../vfs/gateway-error.js";
import { createLayerProgram } from "./layer-program.js";
import { nearest } from "./nearest.js";
import { createProgram, optionNames, type RawOptions } from "./program.js";

/** What a command line asks for. */
export type CommandLine =
  /** Serve a share until its front-end disconnects. */
  | { readonly kind: "serve"; readonly share: ShareConfig; readonly logging: LoggingConfig }
  /** Print what launchers ask a server for. */
  | { readonly kind: "capabilities" }
  /** Write an upper directory as a layer of an image. */
  | { readonly kind: "layer-export"; readonly request: ExportRequest }
  /** Unpack layers of images into lower directories. */
  | { readonly kind: "layer-import"; readonly request: ImportRequest }
  /** Help or version: already printed. */
  | { readonly kind: "printed" };

const PROCESS_SETTINGS: ReadonlySet<string> = new Set([
  "logLevel",
  "logFormat",
  "printCapabilities",
  "socket",
]);
const NUMBERS: ReadonlySet<string> = new Set(["inodes", "threadPoolSize", "spinUs"]);
/** Numbers that may have decimals. */
const SECONDS: ReadonlySet<string> = new Set(["timeout", "entryTimeout", "attrTimeout", "negativeTimeout"]);

/** The option that sets a setting: `socketPath` is `--socket-path`. */
function optionName(setting: string): string {
  return `--${setting.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function unknownOption(program: Command, message: string): string {
  const typed = /'(.*)'/s.exec(message)?.[1] ?? "";
  const name = typed.split("=", 1)[0] ?? typed;
  const names = [program, ...program.commands].flatMap(optionNames);
  if (names.includes(name)) {
    return `${name} takes no value, got ${quoteValue(typed.slice(name.length + 1))}`;
  }
  const suggestion = nearest(name, names);
  const hint = suggestion === undefined ? "see --help" : `did you mean ${suggestion}?`;
  return `unknown option ${escapeControls(name)}: ${hint}`;
}

function describe(program: Command, error: CommanderError): string {
  switch (error.code) {
    case "commander.unknownOption":
      return unknownOption(program, error.message);
    case "commander.excessArguments":
      return `unexpected argument ${quoteValue(program.args[0])}: every setting is an option, see --help`;
    case "commander.missingMandatoryOptionValue":
      return `${/--[a-z-]+/.exec(error.message)?.[0]} is required`;
    case "commander.missingArgument":
      return `${/'(.*)'/.exec(error.message)?.[1]?.toUpperCase()} is required`;
    case "commander.optionMissingArgument":
      return `${/--[a-z-]+/.exec(error.message)?.[0]}: expected a value`;
    default:
      return escapeControls(error.message.replace(/^error: /, ""));
  }
}

function isNumber(name: string, value: RawOptions[string]): value is string {
  if (typeof value !== "string") {
    return false;
  }
  return SECONDS.has(name)
    ? /^\d{1,15}(\.\d{1,9})?$/.test(value)
    : NUMBERS.has(name) && /^\d{1,15}$/.test(value);
}

function shareSettings(options: RawOptions): Record<string, unknown> {
  const settings: Record<string, unknown> = { backend: "passthrough" };
  for (const [name, value] of Object.entries(options)) {
    if (!PROCESS_SETTINGS.has(name)) {
      settings[name] = isNumber(name, value) ? Number(value) : value;
    }
  }
  if (settings.posixAcl === true) {
    settings.posixAcl = "always";
  }
  return settings;
}

/** Lets commander read; true when it has printed what was asked for. @throws GatewayError "usage" */
function readArguments(program: Command, argv: readonly string[]): boolean {
  try {
    program.parse(argv, { from: "user" });
    return false;
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      throw error;
    }
    if (error.exitCode === 0) {
      return true;
    }
    throw new GatewayError("usage", describe(program, error), { cause: error });
  }
}

/** `layer …` */
function parseLayerCommand(argv: readonly string[]): CommandLine {
  let parsed: CommandLine = { kind: "printed" };
  const program = createLayerProgram({
    export: (request) => {
      parsed = { kind: "layer-export", request };
    },
    import: (request) => {
      parsed = { kind: "layer-import", request };
    },
  });
  readArguments(program, argv);
  return parsed;
}

/**
 * Reads a command line, without the program's name.
 * @throws GatewayError "usage" for what is wrong with it
 */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  if (argv[0] === "layer") {
    return parseLayerCommand(argv.slice(1));
  }
  const program = createProgram();
  if (readArguments(program, argv)) {
    return { kind: "printed" };
  }
  const options: RawOptions = program.opts();
  if (options.printCapabilities === true) {
    return { kind: "capabilities" };
  }
  const { logLevel, logFormat } = options;
  const logging = parseLoggingConfig(
    { ...(logLevel !== undefined && { logLevel }), ...(logFormat !== undefined && { logFormat }) },
    optionName,
  );
  return { kind: "serve", share: parseShareConfig(shareSettings(options), optionName), logging };
}
