import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hasDigest, keyPartOf, nameOf } from "../../../backends/s3/namespace/names.js";
import { EILSEQ } from "../../../src/vfs/errno.js";

const latin1 = (text: string) => Buffer.from(text).toString("latin1");
const component = fc
  .oneof(
    fc.string({ unit: "grapheme", maxLength: 300 }),
    fc.constantFrom("", ".", "..", "%:", "%:%!", "%~", "a\0b", "é".repeat(200)),
  )
  .filter((text) => !text.includes("/"));

describe("names of keys", () => {
  it.each([
    ["plain.txt", "plain.txt"],
    ["100%", "100%"],
    ["", "%:"],
    [".", "%:."],
    ["..", "%:.."],
    ["%:x", "%:%25:x"],
    ["a\0b", "%:a%00b"],
    ["grüße", latin1("grüße")],
  ])("%j is shown as %j", (key, name) => {
    expect(nameOf(key)).toBe(name);
    expect(keyPartOf(name)).toEqual({ component: key, shadowed: false, digest: undefined });
  });

  it("an object beside a directory has a name of its own", () => {
    expect(nameOf("a", true)).toBe("%:a%!");
    expect(keyPartOf("%:a%!")).toEqual({ component: "a", shadowed: true, digest: undefined });
  });

  it("are names of 1 to 255 bytes, never dots, one for one", () => {
    fc.assert(
      fc.property(component, fc.boolean(), (key, shadowed) => {
        const name = nameOf(key, shadowed);
        expect(name.length).toBeGreaterThan(0);
        expect(name.length).toBeLessThanOrEqual(255);
        expect([".", ".."]).not.toContain(name);
        expect(name).not.toMatch(/[/\0]/);
        const part = keyPartOf(name);
        if (typeof part === "number") throw new Error(`no key for ${name}`);
        expect(part.shadowed).toBe(shadowed);
        if (part.digest === undefined) {
          expect(part.component).toBe(key);
        } else {
          expect(key.startsWith(part.component)).toBe(true);
          expect(hasDigest(key, part.digest)).toBe(true);
        }
      }),
    );
  });

  it.each(["\xff\xfe", "%:plain", "%:%2", latin1("%:a%00").slice(0, 5)])("%j is no key: EILSEQ", (name) => {
    expect(keyPartOf(name)).toBe(-EILSEQ);
  });
});
