import { escapeControls } from "./escape.js";

const TARGET = "virtiofs_gateway";
const LEVEL_NAMES: Readonly<Record<number, string>> = {
  10: "TRACE",
  20: "DEBUG",
  30: "INFO ",
  40: "WARN ",
  50: "ERROR",
  60: "ERROR",
};

/** A pino record as it comes out of pino: one JSON object per line. */
interface LogRecord {
  readonly level: number;
  readonly time: number;
  readonly msg?: string;
  readonly [field: string]: unknown;
}

function formatField(name: string, value: unknown): string {
  const isPlain = typeof value === "string" && /^[^\s"=]+$/.test(value);
  return ` ${name}=${isPlain ? value : JSON.stringify(value)}`;
}

/**
 * A pino record as one line in the form of virtiofsd, its fields behind the message:
 * `[2026-11-22T10:00:00.123Z INFO  virtiofs_gateway] message name=value`
 */
export function formatTextLine(json: string): string {
  const { level, time, msg, ...fields } = JSON.parse(json) as LogRecord;
  let text = msg ?? "";
  for (const [name, value] of Object.entries(fields)) {
    text += formatField(name, value);
  }
  const head = `${new Date(time).toISOString()} ${LEVEL_NAMES[level] ?? String(level)} ${TARGET}`;
  return `[${head}] ${escapeControls(text)}\n`;
}
