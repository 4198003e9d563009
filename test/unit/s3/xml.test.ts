import fc from "fast-check";
import { expect, it } from "vitest";
import { childText, escapeXml, parseXml, requiredText } from "../../../backends/s3/store/xml.js";

it("parses what S3 answers", () => {
  const root = parseXml(
    '<?xml version="1.0" encoding="UTF-8"?>\n<Result xmlns="http://s3.amazonaws.com/doc/2006-03-01/">\n  <Name>b &amp; c</Name><Empty/><None></None>\n<Item><Key>&lt;&#97;&#x62;&quot;&apos;</Key></Item>\n</Result>\n',
  );
  expect(root.name).toBe("Result");
  expect(root.children.map(({ name }) => name)).toEqual(["Name", "Empty", "None", "Item"]);
  expect(childText(root, "Name")).toBe("b & c");
  expect(childText(root, "Empty")).toBe("");
  expect(childText(root, "Missing")).toBeUndefined();
  expect(root.children[3]?.children).toEqual([{ name: "Key", children: [], text: `<ab"'` }]);
  expect(() => requiredText(root, "Missing")).toThrow("<Result> has no <Missing>");
});

it.each([
  ["", "cut short"],
  ["<a><b></b>", "cut short"],
  ["<a></a><b></b>", "cut short"],
  ["<a></b>", "unexpected </b>"],
  ["</a>", "unexpected </a>"],
  ["<a", "not closed"],
  ["<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "unexpected <!DOCTYPE"],
  ["<a>&x;</a>", "unknown entity"],
  ["<a>&#x110000;</a>", "there is no such character"],
  ["not XML", "cut short"],
])("refuses %j", (text, why) => {
  expect(() => parseXml(text)).toThrow(
    expect.objectContaining({ code: "io", message: expect.stringContaining(why) }),
  );
});

it("round-trips text", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "grapheme" }), fc.string({ unit: "binary-ascii" })), (text) => {
      expect(parseXml(`<a>${escapeXml(text)}</a>`).text).toBe(text);
    }),
  );
});
