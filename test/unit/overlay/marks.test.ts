import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { withHigh } from "../../../backends/overlay/inode-numbers.js";
import { decodeOrigin, encodeOrigin } from "../../../backends/overlay/origin.js";
import { XattrNames } from "../../../backends/overlay/xattr-names.js";

describe.each(["trusted", "user"] as const)("names of attributes in %s.", (namespace) => {
  const names = new XattrNames(namespace);

  it("of the overlay are hidden from the guest", () => {
    expect(names.isOwn(`${namespace}.overlay.opaque`)).toBe(true);
    expect(names.toGuest(names.opaque)).toBeUndefined();
    expect(names.toGuest(`${namespace}.overlay.whatever`)).toBeUndefined();
  });

  it("of the guest's own overlay are escaped, as deep as they are nested", () => {
    expect(names.toDisk(`${namespace}.overlay.opaque`)).toBe(`${namespace}.overlay.overlay.opaque`);
    expect(names.toDisk(`${namespace}.overlay.overlay.opaque`)).toBe(
      `${namespace}.overlay.overlay.overlay.opaque`,
    );
    expect(names.isOwn(`${namespace}.overlay.overlay.opaque`)).toBe(false);
  });

  it("come back as the guest gave them, and never collide with the overlay's", () => {
    const part = fc.constantFrom("overlay.", "trusted.", "user.", "opaque", "x");
    const name = fc.array(part, { maxLength: 5 }).map((parts) => `${namespace}.${parts.join("")}`);
    fc.assert(
      fc.property(name, (given) => {
        expect(names.toGuest(names.toDisk(given))).toBe(given);
        expect(names.isOwn(names.toDisk(given))).toBe(false);
      }),
    );
  });

  it("of other kinds stay as they are", () => {
    expect(names.toDisk("user.comment")).toBe("user.comment");
    expect(names.toGuest("security.capability")).toBe("security.capability");
  });
});

describe("the origin of a copy", () => {
  it("has the form of Linux", () => {
    // Written by Linux 6.18 for a file of an ext4 without UUID: inode 0x23a60d, generation 0xb93bdaf9.
    const value = Buffer.from("00fb1d0001000000000000000000000000000000000da62300f9da3bb9", "hex");
    const identifier = decodeOrigin(value);
    expect(identifier).toEqual({
      type: 1,
      bytes: Buffer.from("0da62300f9da3bb9", "hex"),
      fileSystem: Buffer.alloc(16),
    });
    expect(identifier && encodeOrigin(identifier)).toEqual(value);
  });

  it.each([
    ["nothing", ""],
    ["another magic number", "00fc1d0001000000000000000000000000000000000da62300f9da3bb9"],
    ["another version", "01fb1d0001000000000000000000000000000000000da62300f9da3bb9"],
    ["another length", "00fb1c0001000000000000000000000000000000000da62300f9da3bb9"],
    ["the other order of bytes", "00fb1d0101000000000000000000000000000000000da62300f9da3bb9"],
    ["no handle", "00fb15000100000000000000000000000000000000"],
  ])("is not read from %s", (_what, hex) => {
    expect(decodeOrigin(Buffer.from(hex, "hex"))).toBeUndefined();
  });
});

describe("inode numbers", () => {
  it("of the first file system stay as they are", () => {
    expect(withHigh(0xffff_ffff, 0)).toBe(0xffff_ffff);
  });

  it("of others have the file system's number above bit 48", () => {
    expect(withHigh(0x12, 3 << 16)).toBe(0x3_0012);
    expect(withHigh(0xabcd_0012, 0xfff1_0000)).toBe(0xfff1_0012);
  });
});
