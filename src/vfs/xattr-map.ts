import { EOPNOTSUPP, EPERM, type Result } from "./errno.js";

/** What a rule does with the names it matches. */
type RuleType = "prefix" | "ok" | "bad" | "unsupported";

interface Rule {
  readonly type: RuleType;
  /** Matches names that the guest sends, by the prefix `key`. */
  readonly client: boolean;
  /** Matches names that the server lists, by the prefix `prepend`. */
  readonly server: boolean;
  readonly key: string;
  readonly prepend: string;
}

/** Why a text is no mapping: it completes the sentence "expected …". */
export interface XattrMapMistake {
  readonly expected: string;
}

const TYPES: readonly string[] = ["prefix", "ok", "bad", "unsupported"];
const SCOPES: readonly string[] = ["client", "server", "all"];
const MAP = "map";
const WHITE_SPACE = /[ \t\n\r\f\v]/;

/**
 * Rules that rename or refuse extended attributes between guest and server, as virtiofsd has them. The first
 * rule that matches a name applies; a catch-all in both directions makes sure that there is one. Names are
 * bytes as latin1.
 */
export class XattrMap {
  readonly #rules: readonly Rule[];

  constructor(rules: readonly Rule[]) {
    this.#rules = rules;
  }

  /** The server's name for a name of the guest. Errors: EPERM and EOPNOTSUPP where a rule refuses it. */
  serverName(name: string): Result<string> {
    const rule = this.#rules.find(({ client, key }) => client && name.startsWith(key));
    switch (rule?.type) {
      case "prefix":
        return rule.prepend + name;
      case "ok":
        return name;
      case "unsupported":
        return -EOPNOTSUPP;
      case "bad":
      case undefined:
        return -EPERM;
    }
  }

  /** What the guest sees of a name that the server lists; undefined when a rule hides it. */
  clientName(name: string): string | undefined {
    const rule = this.#rules.find(({ server, prepend }) => server && name.startsWith(prepend));
    switch (rule?.type) {
      case "prefix":
        return name.slice(rule.prepend.length);
      case "ok":
        return name;
      case "bad":
      case "unsupported":
      case undefined:
        return undefined;
    }
  }

  /** Whether guest and server call an attribute by the same name and both may. */
  keeps(name: string): boolean {
    return this.serverName(name) === name && this.clientName(name) === name;
  }
}

/** `:map:key:prepend:` in full: prefix `key`, hide what could be taken for it, pass on the rest. */
function expandMap(key: string, prepend: string): Rule[] {
  const both = { client: true, server: true };
  const prefix: Rule = { ...both, type: "prefix", key, prepend };
  if (key === "") {
    return [prefix, { ...both, type: "bad", key: "", prepend: "" }];
  }
  return [
    prefix,
    { ...both, type: "bad", key: prepend, prepend: key },
    { ...both, type: "ok", key: "", prepend: "" },
  ];
}

/** Reads the fields of a mapping one by one and knows where it is. */
class Scanner {
  readonly #text: string;
  #at = 0;
  #separator = "";
  /** Number of the rule that is being read, from 1. */
  rule = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Where the next field begins, for messages. */
  get place(): string {
    return `in rule ${this.rule} at character ${this.#at + 1}`;
  }

  /** Goes to the next rule, past its separator. False when there is none. */
  nextRule(): boolean {
    while (this.#at < this.#text.length && WHITE_SPACE.test(this.#text.charAt(this.#at))) {
      this.#at++;
    }
    if (this.#at === this.#text.length) {
      return false;
    }
    this.#separator = this.#text.charAt(this.#at++);
    this.rule++;
    return true;
  }

  /** The text up to the next separator, or what is wrong. `what` names the field in messages. */
  field(what: string, allowed?: readonly string[]): string | XattrMapMistake {
    const { place } = this;
    const end = this.#text.indexOf(this.#separator, this.#at);
    if (end < 0) {
      return { expected: `${what} and "${this.#separator}" behind it ${place}` };
    }
    const value = this.#text.slice(this.#at, end);
    if (allowed !== undefined && !allowed.includes(value)) {
      return { expected: `${what} ${place} (one of ${allowed.join(", ")})` };
    }
    this.#at = end + this.#separator.length;
    return Buffer.from(value).toString("latin1");
  }
}

function parseRule(scanner: Scanner): readonly Rule[] | XattrMapMistake {
  const type = scanner.field("a type", [...TYPES, MAP]);
  const scope = type === MAP || typeof type !== "string" ? "all" : scanner.field("a scope", SCOPES);
  const key = typeof scope === "string" ? scanner.field("a key") : scope;
  const prepend = typeof key === "string" ? scanner.field("a prefix") : key;
  for (const field of [type, scope, key, prepend]) {
    if (typeof field !== "string") {
      return field;
    }
  }
  const names = { key: key as string, prepend: prepend as string };
  return type === MAP
    ? expandMap(names.key, names.prepend)
    : [{ type: type as RuleType, client: scope !== "server", server: scope !== "client", ...names }];
}

/**
 * Reads rules of the form `:type:scope:key:prepend:`, where any character may be the separator of a rule and
 * white space may be between rules; `:map:key:prepend:` as the last one stands for several.
 */
export function parseXattrMap(text: string): XattrMap | XattrMapMistake {
  const scanner = new Scanner(text);
  const rules: Rule[] = [];
  let mapRule = 0;
  while (scanner.nextRule()) {
    if (mapRule > 0) {
      return { expected: `nothing behind rule ${mapRule}, which is a map` };
    }
    const before = scanner.rule;
    const parsed = parseRule(scanner);
    if ("expected" in parsed) {
      return parsed;
    }
    mapRule = parsed.length > 1 ? before : 0;
    rules.push(...parsed);
  }
  if (rules.length === 0) {
    return { expected: "rules such as :map::user.virtiofs.:" };
  }
  if (!rules.some(({ client, key }) => client && key === "")) {
    return { expected: "a last rule for all other names of the guest, such as :ok:all:::" };
  }
  if (!rules.some(({ server, prepend }) => server && prepend === "")) {
    return { expected: "a last rule for all other names of the server, such as :ok:all:::" };
  }
  return new XattrMap(rules);
}
