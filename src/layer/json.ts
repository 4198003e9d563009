import { GatewayError } from "../vfs/gateway-error.js";

/** The fields of a JSON object that came from outside, each checked when it is asked for. */
export class JsonObject {
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #what: string;

  /** @throws GatewayError when it is no object; `what` is for messages */
  constructor(value: unknown, what: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new GatewayError("environment", `${what}: expected a JSON object`);
    }
    this.#fields = value as Record<string, unknown>;
    this.#what = what;
  }

  /** @throws GatewayError when the text is no JSON */
  static parse(text: string, what: string): unknown {
    try {
      return JSON.parse(text) as unknown;
    } catch (cause) {
      throw new GatewayError("environment", `${what}: not JSON`, { cause });
    }
  }

  /** A text, or undefined when there is none. */
  text(name: string): string | undefined {
    const value = this.#fields[name];
    if (value !== undefined && typeof value !== "string") {
      throw new GatewayError("environment", `${this.#what}: expected ${name} to be a text`);
    }
    return value;
  }

  object(name: string): JsonObject | undefined {
    const value = this.#fields[name];
    return value === undefined ? undefined : new JsonObject(value, `${this.#what}: ${name}`);
  }

  /** A list, empty when there is none. */
  list(name: string): readonly unknown[] {
    const value = this.#fields[name] ?? [];
    if (!Array.isArray(value)) {
      throw new GatewayError("environment", `${this.#what}: expected ${name} to be a list`);
    }
    return value;
  }

  objects(name: string): JsonObject[] {
    return this.list(name).map((value) => new JsonObject(value, `${this.#what}: ${name}`));
  }

  texts(name: string): string[] {
    return this.list(name).map((value) => {
      if (typeof value !== "string") {
        throw new GatewayError("environment", `${this.#what}: expected ${name} to be a list of texts`);
      }
      return value;
    });
  }
}
