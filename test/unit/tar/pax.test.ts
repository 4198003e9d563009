import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodePax, decodeTime, encodePax, encodeTime, type PaxRecords } from "../../../src/tar/pax.js";
import { GatewayError } from "../../../src/vfs/gateway-error.js";

function decoded(body: Buffer): PaxRecords {
  const records: PaxRecords = new Map();
  decodePax(body, records);
  return records;
}

const bytes = (minLength: number) =>
  fc.uint8Array({ minLength, maxLength: 200 }).map((array) => Buffer.from(array).toString("latin1"));

describe("extended headers", () => {
  it("come back as they were, whatever bytes they are", () => {
    const keyword = bytes(1).filter((text) => !text.includes("="));
    fc.assert(
      fc.property(fc.array(fc.tuple(keyword, bytes(1))), (list) => {
        const records = new Map(list);
        expect(decoded(encodePax(records))).toEqual(records);
      }),
    );
  });

  it.each([0, 1, 80, 90, 91, 92, 93, 94, 990, 991, 992, 993, 994])("count themselves at %i", (length) => {
    const records = new Map([["SCHILY.xattr.user.x", "v".repeat(length)]]);
    const body = encodePax(records);
    expect(Number.parseInt(body.toString("latin1"), 10)).toBe(body.length);
    expect(decoded(body)).toEqual(records);
  });

  it("are unset by empty values, attributes excepted", () => {
    expect(decoded(Buffer.from("9 path=x\n8 path=\n19 SCHILY.xattr.a=\n"))).toEqual(
      new Map([["SCHILY.xattr.a", ""]]),
    );
  });

  it.each(["x", "5 a=b", "99 a=b\n", "6 a=bc\n", "0 a=b\n", "-6 a=b\n", "5 ab\n", "5 =b\n", "6  a=b"])(
    "%j is malformed",
    (text) => {
      expect(() => decoded(Buffer.from(text))).toThrow(GatewayError);
    },
  );

  it("of any bytes are read or refused", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (array) => {
        try {
          decoded(Buffer.from(array));
        } catch (err) {
          expect(err).toBeInstanceOf(GatewayError);
        }
      }),
    );
  });
});

describe("times", () => {
  it("are exact to the nanosecond on both sides of the epoch", () => {
    const seconds = fc.integer({ min: -(2 ** 40), max: 2 ** 40 });
    fc.assert(
      fc.property(seconds, fc.nat(999_999_999), (sec, nsec) => {
        const time = { seconds: sec, nanoseconds: nsec };
        expect(decodeTime(encodeTime(time))).toEqual(time);
      }),
    );
    expect(encodeTime({ seconds: -2, nanoseconds: 750_000_000 })).toBe("-1.25");
    expect(encodeTime({ seconds: -1, nanoseconds: 500_000_000 })).toBe("-0.5");
    expect(decodeTime("1.5")).toEqual({ seconds: 1, nanoseconds: 500_000_000 });
    expect(decodeTime("1.0000000009")).toEqual({ seconds: 1, nanoseconds: 0 });
    expect(decodeTime("now")).toBeUndefined();
  });
});
