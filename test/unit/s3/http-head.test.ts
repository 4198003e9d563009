import { describe, expect, it } from "vitest";
import { bodyLength, formatRequest, parseReplyHead } from "../../../backends/s3/store/http-head.js";

describe("the head of a request", () => {
  it("has a line for each header", () => {
    const head = formatRequest("GET", "/b/k?a=1", ["host", "h:1", "range", "bytes=0-9"]);
    expect(head).toBe("GET /b/k?a=1 HTTP/1.1\r\nhost: h:1\r\nrange: bytes=0-9\r\n\r\n");
    const put = formatRequest("PUT", "/b/k", ["host", "h"], 0);
    expect(put).toBe("PUT /b/k HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n");
  });

  it.each(['"e"\r\nx-amz-acl: public-read', "a\nb", "a\rb", "a\0b"])("refuses the value %j", (value) => {
    expect(() => formatRequest("GET", "/", ["if-match", value])).toThrow(/if-match/);
  });
});

describe("the head of a reply", () => {
  it("is taken apart", () => {
    const head = parseReplyHead(
      'HTTP/1.1 206 Partial Content\r\nETag: "x"\r\ncontent-length:10 \r\nA:\r\nA: b',
    );
    expect(head).toMatchObject({ status: 206, keepsAlive: true });
    expect(head.headers).toEqual({ etag: '"x"', "content-length": "10", a: ["", "b"] });
    expect(bodyLength("GET", head)).toBe(10);
    expect(bodyLength("HEAD", head)).toBe(0);
  });

  it("keeps the bytes of values", () => {
    const wire = Buffer.from("HTTP/1.1 200 OK\r\nx-amz-meta-a: grün").toString("latin1");
    const { headers } = parseReplyHead(wire);
    expect(Buffer.from(String(headers["x-amz-meta-a"]), "latin1").toString()).toBe("grün");
  });

  it.each([
    ["HTTP/1.1 200", true],
    ["HTTP/1.1 200 OK\r\nConnection: close", false],
    ["HTTP/1.0 200 OK", false],
    ["HTTP/1.0 200 OK\r\nConnection: Keep-Alive", true],
  ])("%j: the connection stays: %s", (text, keepsAlive) => {
    expect(parseReplyHead(text).keepsAlive).toBe(keepsAlive);
  });

  it.each([
    "",
    "HTTP/2 200 OK",
    "ICY 200 OK",
    "HTTP/1.1 20 OK",
    "HTTP/1.1 2000",
    "HTTP/1.1 200 OK\r\nno colon",
    "HTTP/1.1 200 OK\r\n: no name",
    "HTTP/1.1 200 OK\r\na b: c",
    "HTTP/1.1 200 OK\r\n folded: c",
    "HTTP/1.1 200 OK\r\na: b\nc: d",
  ])("is none: %j", (text) => {
    expect(() => parseReplyHead(text)).toThrow();
  });

  it("reaches no prototype", () => {
    const { headers } = parseReplyHead("HTTP/1.1 200 OK\r\n__proto__: x\r\nconstructor: y");
    expect(Object.keys(headers)).toEqual(["__proto__", "constructor"]);
    expect(({} as { x?: string }).x).toBeUndefined();
  });

  it.each([
    ["content-length: 5\r\ntransfer-encoding: Chunked", "chunked"],
    ["transfer-encoding: gzip, chunked", undefined],
    ["a: b", undefined],
    ["content-length: 0", 0],
  ])("with %j: the body has %s bytes", (lines, length) => {
    expect(bodyLength("GET", parseReplyHead(`HTTP/1.1 200 OK\r\n${lines}`))).toBe(length);
  });

  it.each(["-1", "1e3", "0x10", "5, 5", "5\r\ncontent-length: 6", "9999999999999999", ""])(
    "refuses content-length %j",
    (length) => {
      const head = parseReplyHead(`HTTP/1.1 200 OK\r\ncontent-length: ${length}`);
      expect(() => bodyLength("GET", head)).toThrow();
    },
  );
});
