import type * as z from "zod/mini";
import { quoteValue } from "../observability/escape.js";
import type { LoggingConfig } from "../observability/log-levels.js";
import { GatewayError } from "../vfs/gateway-error.js";
import { loggingSchema } from "./logging-config.js";
import { BACKEND_NAMES, SETTINGS_OF_BACKEND, type ShareConfig, shareSchema } from "./share-config.js";

/** Settings before they are checked. */
export type Settings = Readonly<Record<string, unknown>>;

/** How an error message names a setting, for example `--shared-dir` for `sharedDir`. */
export type SettingNamer = (key: string) => string;

const plainName: SettingNamer = (key) => key;

function unknownSetting(key: string, settings: Settings, nameOf: SettingNamer): string {
  const owners = BACKEND_NAMES.filter((backend) => SETTINGS_OF_BACKEND[backend].includes(key));
  if (owners.length === 0) {
    return `${nameOf(key)}: no such setting`;
  }
  const backend = nameOf("backend");
  return `${nameOf(key)}: belongs to ${backend} ${owners.join(", ")}, not to ${backend} ${settings.backend}`;
}

function missingSetting(key: string, settings: Settings, nameOf: SettingNamer): string {
  const everywhere = BACKEND_NAMES.every((backend) => SETTINGS_OF_BACKEND[backend].includes(key));
  const condition = everywhere ? "" : ` with ${nameOf("backend")} ${settings.backend}`;
  return `${nameOf(key)} is required${condition}`;
}

function describeIssue(issue: z.core.$ZodIssue, settings: Settings, nameOf: SettingNamer): string {
  if (issue.code === "unrecognized_keys") {
    return unknownSetting(issue.keys[0] ?? "", settings, nameOf);
  }
  const key = String(issue.path[0] ?? "");
  const value = settings[key];
  if (value === undefined) {
    return missingSetting(key, settings, nameOf);
  }
  return `${nameOf(key)}: expected ${issue.message}, got ${quoteValue(value)}`;
}

function parse<S extends z.ZodMiniType>(schema: S, settings: Settings, nameOf: SettingNamer): z.output<S> {
  const result = schema.safeParse(settings);
  if (result.success) {
    return result.data;
  }
  const { issues } = result.error;
  // A setting of another backend explains why something else is missing, so it comes first.
  const issue = issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0];
  const message = issue === undefined ? "bad configuration" : describeIssue(issue, settings, nameOf);
  throw new GatewayError("usage", message, { cause: result.error });
}

/**
 * Checks the settings of a share and fills in the defaults.
 * @throws GatewayError "usage" that names the setting, what was expected and what came
 */
export function parseShareConfig(settings: Settings, nameOf: SettingNamer = plainName): ShareConfig {
  return parse(shareSchema, settings, nameOf);
}

/** Checks `logLevel` and `logFormat`; otherwise as {@link parseShareConfig}. */
export function parseLoggingConfig(settings: Settings, nameOf: SettingNamer = plainName): LoggingConfig {
  const { logLevel, logFormat } = parse(loggingSchema, settings, nameOf);
  return { level: logLevel, format: logFormat };
}
