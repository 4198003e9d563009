import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseSize, SIZE_PATTERN } from "../../../src/config/size.js";

describe("parseSize", () => {
  it.each([
    ["0", 0],
    ["4096", 4096],
    ["7B", 7],
    ["1K", 1024],
    ["1k", 1024],
    ["2M", 2 * 1024 ** 2],
    ["3G", 3 * 1024 ** 3],
    ["1T", 1024 ** 4],
    ["1KiB", 1024],
    ["512MiB", 512 * 1024 ** 2],
    ["1gib", 1024 ** 3],
    ["2TiB", 2 * 1024 ** 4],
    ["1kB", 1000],
    ["5MB", 5e6],
    ["6GB", 6e9],
    ["1TB", 1e12],
    ["8191TiB", 8191 * 1024 ** 4],
  ])("%s is %d bytes", (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each([
    "",
    "abc",
    "G",
    "-1",
    "+1",
    "1.5G",
    "1 G",
    "1GG",
    "1Gi",
    "0x10",
    "1e3",
    "8192TiB",
    "9007199254740992",
  ])("%o is no size", (text) => {
    expect(parseSize(text)).toBeUndefined();
  });

  it("accepts what the pattern of the schema accepts, as far as numbers are exact", () => {
    const unit = fc.constantFrom("", "B", "k", "K", "Ki", "KiB", "kb", "m", "MIB", "gB", "tib", "p", "bb");
    fc.assert(
      fc.property(fc.nat(), unit, (count, suffix) => {
        const text = `${count}${suffix}`;
        const bytes = parseSize(text);
        const matches = new RegExp(SIZE_PATTERN).test(text);
        return matches === (bytes !== undefined) || (matches && count >= 8192);
      }),
    );
  });
});
