import fc from "fast-check";
import { expect, it } from "vitest";
import { decodeListedKey, encodeKey, encodeQuery, encodeValue } from "../../../backends/s3/store/uri.js";

it("encodes what SigV4 wants encoded, and nothing else", () => {
  expect(encodeKey("a-b_c.d~e/f")).toBe("a-b_c.d~e/f");
  expect(encodeKey("a b+c%d!'()*:@&=$,;?#[]")).toBe(
    "a%20b%2Bc%25d%21%27%28%29%2A%3A%40%26%3D%24%2C%3B%3F%23%5B%5D",
  );
  expect(encodeKey("ü/😀")).toBe("%C3%BC/%F0%9F%98%80");
  expect(encodeValue("a/b")).toBe("a%2Fb");
  expect(encodeQuery({ uploadId: "x/y==", b: undefined, a: "" })).toBe("a=&uploadId=x%2Fy%3D%3D");
});

it("round-trips every key through a listing, whichever way spaces are encoded", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (key) => {
      expect(decodeListedKey(encodeKey(key))).toBe(key);
      expect(decodeListedKey(encodeKey(key).replaceAll("%20", "+"))).toBe(key);
    }),
  );
});

it("reads a listing although one of its keys is no UTF-8", () => {
  expect(decodeListedKey("a%FFb%C3%BC+%zz")).toBe("a\ufffdbü %zz");
});
