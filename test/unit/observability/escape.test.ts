import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { escapeControls, quoteValue } from "../../../src/observability/escape.js";

describe("escapeControls", () => {
  it("shows control characters as escapes", () => {
    expect(escapeControls("a\nb\r\t\u001b[31mred\u0000\u007f\u0085\u2028\u202e")).toBe(
      "a\\nb\\r\\t\\u001b[31mred\\u0000\\u007f\\u0085\\u2028\\u202e",
    );
  });

  it("leaves ordinary text alone", () => {
    expect(escapeControls('Grüße, 世界 🎉 \\ "quoted"')).toBe('Grüße, 世界 🎉 \\ "quoted"');
  });

  it("never lets a control character through", () => {
    const unsafe = (text: string) =>
      [...text].some((c) => c < " " || (c >= "\u007f" && c <= "\u009f") || c === "\u2028" || c === "\u202e");
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => !unsafe(escapeControls(text))));
  });
});

describe("quoteValue", () => {
  it.each([
    ["abc", '"abc"'],
    ["a\u001b\u009b", '"a\\u001b\\u009b"'],
    [17, "17"],
    [17n, "17"],
    [undefined, "undefined"],
    [null, "null"],
  ])("shows %o as %s", (value, text) => {
    expect(quoteValue(value)).toBe(text);
  });
});
