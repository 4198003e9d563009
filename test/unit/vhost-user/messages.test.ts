import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  decodeHeader,
  encodeReply,
  encodeU64,
  FrontEndRequest,
  MAX_PAYLOAD_BYTES,
  requestName,
} from "../../../src/vhost-user/messages.js";

function header(request: number, flags: number, size: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32LE(request, 0);
  bytes.writeUInt32LE(flags, 4);
  bytes.writeUInt32LE(size, 8);
  return bytes;
}

describe("decodeHeader", () => {
  test("reads request, need_reply and size", () => {
    expect(decodeHeader(header(5, 1, 8))).toEqual({ request: 5, needReply: false, size: 8 });
    expect(decodeHeader(header(5, 9, MAX_PAYLOAD_BYTES))).toEqual({
      request: 5,
      needReply: true,
      size: MAX_PAYLOAD_BYTES,
    });
  });

  test.each([
    ["another version", header(5, 2, 8), "expected version 1"],
    ["no version", header(5, 0, 8), "expected version 1"],
    ["text", Buffer.from("GET / HTTP/1"), "not vhost-user"],
    ["a reply", header(5, 5, 8), "SET_MEM_TABLE: expected a request, got a reply"],
    [
      "a payload too long",
      header(5, 1, MAX_PAYLOAD_BYTES + 1),
      "expected a payload of at most 4096 bytes, got 4097",
    ],
  ])("says what is wrong with %s", (_name, bytes, text) => {
    expect(decodeHeader(bytes)).toContain(text);
  });

  test("takes any twelve bytes without throwing", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 12, maxLength: 12 }), (bytes) => {
        const decoded = decodeHeader(Buffer.from(bytes));
        expect(typeof decoded === "string" || decoded.size <= MAX_PAYLOAD_BYTES).toBe(true);
      }),
    );
  });
});

test("a reply has version 1, the reply flag and the payload's size", () => {
  const reply = encodeReply(FrontEndRequest.GET_FEATURES, encodeU64(0x1_2345_6789n));
  expect(reply.readUInt32LE(0)).toBe(1);
  expect(reply.readUInt32LE(4)).toBe(5);
  expect(reply.readUInt32LE(8)).toBe(8);
  expect(reply.readBigUInt64LE(12)).toBe(0x1_2345_6789n);
});

test("requests have names, unknown ones a number", () => {
  expect(requestName(38)).toBe("REM_MEM_REG");
  expect(requestName(99)).toBe("request 99");
});
