/** The part of pino's interface that the project uses, so that a backend needs no logging library. */
export interface Logger {
  error(fields: object, message: string): void;
  error(message: string): void;
  warn(fields: object, message: string): void;
  warn(message: string): void;
  info(fields: object, message: string): void;
  info(message: string): void;
  debug(fields: object, message: string): void;
  debug(message: string): void;
}
