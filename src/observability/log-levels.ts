export const LOG_LEVELS = ["error", "warn", "info", "debug", "trace", "off"] as const;
export const LOG_FORMATS = ["text", "json"] as const;

/** Least important level that is written; "off" writes nothing. */
export type LogLevel = (typeof LOG_LEVELS)[number];
/** "text": lines for people, as virtiofsd writes them; "json": one JSON object per line. */
export type LogFormat = (typeof LOG_FORMATS)[number];

export interface LoggingConfig {
  readonly level: LogLevel;
  readonly format: LogFormat;
}
