import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crc32c, crc32cPortable, crc64nvme } from "../../../src/native/checksum.js";
import { checksum } from "../../support/s3/checksums.mjs";

const CHECK = Buffer.from("123456789");

describe.each([
  ["by the instruction", crc32c],
  ["by tables", crc32cPortable],
])("CRC-32C %s", (_, compute) => {
  // The check value of the catalogue of CRCs, and RFC 3720, B.4.
  it.each([
    [CHECK, 0xe3069283],
    [Buffer.alloc(32), 0x8a9136aa],
    [Buffer.alloc(32, 0xff), 0x62a8ab43],
    [Buffer.from(Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e],
    [Buffer.from(Array.from({ length: 32 }, (_, index) => 31 - index)), 0x113fdb5c],
    [Buffer.alloc(0), 0],
  ])("of %j", (bytes, expected) => {
    expect(compute(bytes, 0)).toBe(expected);
  });

  it("goes on from piece to piece, wherever they begin", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), fc.nat(8), (bytes, cut, shift) => {
        const shifted = Buffer.concat([Buffer.alloc(shift), bytes]).subarray(shift);
        const whole = compute(shifted, 0);
        expect(compute(shifted.subarray(cut), compute(shifted.subarray(0, cut), 0))).toBe(whole);
        const expected = Buffer.from(checksum("CRC32C", [bytes]), "base64").readUInt32BE();
        expect(whole).toBe(expected);
      }),
    );
  });
});

describe("CRC-64/NVME", () => {
  // The NVMe command set specification, and the check value of the catalogue.
  it.each([
    [CHECK, 0xae8b14860a799888n],
    [Buffer.alloc(4096), 0x6482d367eb22b64en],
    [Buffer.alloc(4096, 0xff), 0xc0ddba7302eca3acn],
    [Buffer.alloc(0), 0n],
  ])("of %j", (bytes, expected) => {
    expect(crc64nvme(bytes, 0n)).toBe(expected);
  });

  it("goes on from piece to piece", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (bytes, cut) => {
        const whole = crc64nvme(bytes, 0n);
        expect(crc64nvme(bytes.subarray(cut), crc64nvme(bytes.subarray(0, cut), 0n))).toBe(whole);
        const expected = Buffer.from(checksum("CRC64NVME", [bytes]), "base64").readBigUInt64BE();
        expect(whole).toBe(expected);
      }),
    );
  });
});
