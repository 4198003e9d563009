import { type LoggerOptions, pino } from "pino";
import type { Logger } from "../vfs/logger.js";
import { escapeControls } from "./escape.js";
import type { LoggingConfig, LogLevel } from "./log-levels.js";
import { formatTextLine } from "./text-line.js";

/** Where lines go: `write` gets whole lines that end in a newline. */
export interface LineSink {
  write(line: string): void;
}

/** Levels at which the stack of an error is worth its lines. */
const STACK_LEVELS: ReadonlySet<LogLevel> = new Set(["debug", "trace"]);

/**
 * Standard error, written synchronously: a line is out before the process can die, and no worker
 * thread is involved. A reader that went away is no reason to stop serving.
 */
function standardError(): LineSink {
  const destination = pino.destination({ dest: 2, sync: true });
  destination.on("error", () => {});
  return destination;
}

function errorSerializer(withStack: boolean): (error: unknown) => unknown {
  return (error) => {
    if (!(error instanceof Error)) {
      return error;
    }
    const serialized: Record<string, unknown> = { type: error.name, message: error.message };
    if ("code" in error) {
      serialized.code = error.code;
    }
    if (error.cause !== undefined) {
      serialized.cause = error.cause instanceof Error ? error.cause.message : String(error.cause);
    }
    if (withStack) {
      serialized.stack = error.stack;
    }
    return serialized;
  };
}

/**
 * The logger of the process. Errors are logged as fields named `err`; their stack appears only at
 * debug and below. Whatever is logged, control characters come out escaped.
 */
export function createLogger(config: LoggingConfig, sink: LineSink = standardError()): Logger {
  const options: LoggerOptions = {
    level: config.level === "off" ? "silent" : config.level,
    base: null,
    serializers: { err: errorSerializer(STACK_LEVELS.has(config.level)) },
  };
  const format = config.format === "json" ? formatJsonLine : formatTextLine;
  return pino(options, { write: (json: string) => sink.write(format(json)) });
}

/** JSON escapes C0 controls by itself; the other unsafe characters get the same form. */
function formatJsonLine(json: string): string {
  return `${escapeControls(json.trimEnd())}\n`;
}
