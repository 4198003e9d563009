import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EOPNOTSUPP, EPERM } from "../../../src/vfs/errno.js";
import { parseXattrMap, XattrMap } from "../../../src/vfs/xattr-map.js";

function map(text: string): XattrMap {
  const parsed = parseXattrMap(text);
  if (!(parsed instanceof XattrMap)) {
    throw new Error(`expected ${parsed.expected}`);
  }
  return parsed;
}

function mistake(text: string): string {
  const parsed = parseXattrMap(text);
  return parsed instanceof XattrMap ? "none" : parsed.expected;
}

/** What guest and server get of each name. */
function both(mapping: XattrMap, ...names: string[]) {
  return names.map((name) => [mapping.serverName(name), mapping.clientName(name)]);
}

describe("the examples of virtiofsd's documentation", () => {
  test.each([":prefix:all::user.virtiofs.::bad:all:::", ":map::user.virtiofs.:"])(
    "%s prefixes all attributes",
    (text) => {
      expect(both(map(text), "user.a", "user.virtiofs.user.a", "security.b")).toEqual([
        ["user.virtiofs.user.a", undefined],
        ["user.virtiofs.user.virtiofs.user.a", "user.a"],
        ["user.virtiofs.security.b", undefined],
      ]);
    },
  );

  test.each([
    `/prefix/all/trusted./user.virtiofs./
     /bad/server//trusted./
     /bad/client/user.virtiofs.//
     /ok/all///`,
    "/map/trusted./user.virtiofs./",
  ])("%s prefixes trusted. and keeps others from passing for it", (text) => {
    expect(both(map(text), "trusted.a", "user.virtiofs.trusted.a", "user.b", "security.c")).toEqual([
      ["user.virtiofs.trusted.a", undefined],
      [-EPERM, "trusted.a"],
      ["user.b", "user.b"],
      ["security.c", "security.c"],
    ]);
  });

  test("hides security. and allows everything else", () => {
    const mapping = map("/bad/all/security./security./\n/ok/all///");
    expect(both(mapping, "security.a", "user.b")).toEqual([
      [-EPERM, undefined],
      ["user.b", "user.b"],
    ]);
  });

  test.each([
    [":prefix:client:trusted.:user.virtiofs.:", "trusted.a", "user.virtiofs.trusted.a", "trusted.a"],
    [":prefix:server::user.virtiofs.:", "user.virtiofs.a", "user.virtiofs.a", "a"],
    [":ok:client:user.::", "user.a", "user.a", "user.a"],
    [":ok:server::security.:", "security.a", "security.a", "security.a"],
    [":bad:server::security.:", "security.a", "security.a", undefined],
    [":unsupported:client:security.::", "security.a", -EOPNOTSUPP, "security.a"],
    [":unsupported:all:security.:security.:", "security.a", -EOPNOTSUPP, undefined],
  ])("%s", (rule, name, server, client) => {
    expect(both(map(`${rule}:ok:all:::`), name)).toEqual([[server, client]]);
  });
});

test("the first rule that matches applies", () => {
  const mapping = map(":ok:all:user.:user.: :bad:all:user.secret.:user.secret.: :ok:all:::");
  expect(both(mapping, "user.secret.a")).toEqual([["user.secret.a", "user.secret.a"]]);
});

test("names are bytes, rules are UTF-8", () => {
  const key = Buffer.from("user.é").toString("latin1");
  expect(map(":bad:client:user.é::!ok!all!!!").serverName(key)).toBe(-EPERM);
});

test("each rule has a separator of its own", () => {
  const mapping = map("  /bad/client/user.a:b//\t§ok§all§§§\n");
  expect(mapping.serverName("user.a:b")).toBe(-EPERM);
  expect(mapping.serverName("user.a")).toBe("user.a");
});

describe("a mistake is told with its place", () => {
  test.each([
    ["", "rules such as :map::user.virtiofs.:"],
    [" \n", "rules such as :map::user.virtiofs.:"],
    [":prefx:all:::", "a type in rule 1 at character 2 (one of prefix, ok, bad, unsupported, map)"],
    [":ok:al:::", "a scope in rule 1 at character 5 (one of client, server, all)"],
    [":ok", 'a type and ":" behind it in rule 1 at character 2'],
    [":ok:all", 'a scope and ":" behind it in rule 1 at character 5'],
    [":ok:all:user.", 'a key and ":" behind it in rule 1 at character 9'],
    [":prefix:client:hi:", 'a prefix and ":" behind it in rule 1 at character 19'],
    [":ok:all::: /bad/all//", 'a prefix and "/" behind it in rule 2 at character 22'],
    [":ok:all:::x", 'a type and "x" behind it in rule 2 at character 12'],
    [":map::user.a.::map::user.b.:", "nothing behind rule 1, which is a map"],
    [":map::user.a.::ok:all:::", "nothing behind rule 1, which is a map"],
    [":ok:server:::", "a last rule for all other names of the guest, such as :ok:all:::"],
    [":ok:client:::", "a last rule for all other names of the server, such as :ok:all:::"],
    [":prefix:all:trusted.:user.x.:", "a last rule for all other names of the guest, such as :ok:all:::"],
  ])("%o: %s", (text, expected) => {
    expect(mistake(text)).toBe(expected);
  });
});

describe("any mapping", () => {
  const part = fc.constantFrom("", "user.", "trusted.", "security.", "user.virtiofs.", "a");
  const name = fc
    .tuple(fc.constantFrom("user.", "trusted.", "security.", "system."), fc.stringMatching(/^[a-z.]{1,9}$/))
    .map((parts) => parts.join(""));
  const rule = fc
    .tuple(
      fc.constantFrom(":", "/", "|"),
      fc.constantFrom("prefix", "ok", "bad", "unsupported"),
      fc.constantFrom("client", "server", "all"),
      part,
      part,
    )
    .map(([separator, ...fields]) => `${["", ...fields, ""].join(separator)}`);

  test("with a catch-all has an answer to every name", () => {
    fc.assert(
      fc.property(fc.array(rule), name, (rules, attribute) => {
        const mapping = map([...rules, ":ok:all:::"].join("\n"));
        const server = mapping.serverName(attribute);
        expect(typeof server === "number" ? [-EPERM, -EOPNOTSUPP] : [server]).toContain(server);
        expect(mapping.keeps(attribute)).toBe(
          server === attribute && mapping.clientName(attribute) === server,
        );
      }),
    );
  });

  test("of the form map gives back every name that it lets in", () => {
    fc.assert(
      fc.property(
        part,
        fc.constantFrom("user.virtiofs.", "user.x.", "trusted.vm."),
        name,
        (key, prefix, attribute) => {
          const mapping = map(`|map|${key}|${prefix}|`);
          const server = mapping.serverName(attribute);
          fc.pre(typeof server === "string");
          expect(mapping.clientName(server as string)).toBe(attribute);
        },
      ),
    );
  });

  test("is never confused by what it reads", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const parsed = parseXattrMap(text);
        expect(parsed instanceof XattrMap || parsed.expected.length > 0).toBe(true);
      }),
    );
  });
});
