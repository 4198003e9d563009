/** What kind of failure a {@link GatewayError} is; the exit code follows from it. */
export type GatewayErrorCode =
  /** The command line or a configuration value is wrong: exit code 2. */
  | "usage"
  /** The host refuses what the configuration asks for (missing directory, socket in use): exit code 1. */
  | "environment"
  /** The front-end broke the vhost-user protocol: exit code 1. */
  | "protocol";

/**
 * The one error type of the control plane. The message is one line that a user can act on: which
 * option or message, what was expected, what came.
 */
export class GatewayError extends Error {
  readonly code: GatewayErrorCode;

  constructor(code: GatewayErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "GatewayError";
    this.code = code;
  }
}
