import * as z from "zod/mini";
import { LOG_FORMATS, LOG_LEVELS } from "../observability/log-levels.js";

/** What the process writes to standard error. */
export const loggingSchema = z.strictObject({
  logLevel: z._default(z.enum(LOG_LEVELS, { error: `one of ${LOG_LEVELS.join(", ")}` }), "info"),
  logFormat: z._default(z.enum(LOG_FORMATS, { error: `one of ${LOG_FORMATS.join(", ")}` }), "text"),
});
