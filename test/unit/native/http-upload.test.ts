import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { HttpConnection, TlsClient } from "../../../src/native/http-connection.js";
import { makeCertificate } from "../../support/s3/certificates.mjs";

const { ECANCELED, ECONNREFUSED, ECONNRESET, EMSGSIZE, EPIPE, EPROTO, ETIMEDOUT } = constants.errno;
const PATIENT_MS = 10_000;
const HASTY_MS = 50;
const REQUEST = "PUT / HTTP/1.1\r\n\r\n";
/** More than what sockets hold for each other. */
const BODY = Buffer.from(
  Uint8Array.from({ length: 12 * 2 ** 20 + 7 }, (_, at) => (at * 31 + (at >> 8)) & 0xff),
);
const HEAD = "HTTP/1.1 200 OK";

const directory = mkdtempSync(join(tmpdir(), "http-upload-"));
const certificate = makeCertificate(directory);
afterAll(() => rmSync(directory, { recursive: true }));

/** Both ways to send. */
describe.each(["http", "https"])("an upload over %s", (scheme) => {
  let server: Server;
  let port: number;
  let sockets: Socket[];
  let connection: HttpConnection;

  beforeEach(async () => {
    const accepted: Socket[] = [];
    const accept = (socket: Socket) => {
      socket.on("error", () => {});
      accepted.push(socket);
    };
    sockets = accepted;
    server = scheme === "http" ? createServer(accept) : createTlsServer(certificate, accept);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    port = (server.address() as { port: number }).port;
    const tls = TlsClient.create({ host: "localhost", ca: certificate.ca, verifies: true });
    connection = new HttpConnection(scheme === "http" ? undefined : tls);
  });
  afterEach(() => {
    connection.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  function upload(body = BODY, timeoutMs = PATIENT_MS) {
    return connection.exchange("127.0.0.1", port, REQUEST, timeoutMs, body);
  }

  async function accepted(): Promise<Socket> {
    await expect.poll(() => sockets.length).toBeGreaterThan(0);
    return sockets.at(-1) as Socket;
  }

  /** Takes a request with a body of so many bytes, and gives it back. */
  async function take(socket: Socket, length: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let missing = REQUEST.length + length;
    await new Promise<void>((resolve) => {
      const onData = (chunk: Buffer) => {
        chunks.push(chunk);
        missing -= chunk.length;
        if (missing > 0) return;
        socket.off("data", onData);
        resolve();
      };
      socket.on("data", onData);
    });
    return Buffer.concat(chunks);
  }

  it("sends what is behind the head, one after the other", async () => {
    for (const body of [BODY, Buffer.alloc(0), BODY.subarray(5, 6)]) {
      const head = upload(body);
      const socket = await accepted();
      expect((await take(socket, body.length)).equals(Buffer.concat([Buffer.from(REQUEST), body]))).toBe(
        true,
      );
      socket.write(`${HEAD}\r\n\r\n`);
      expect(await head).toBe(HEAD);
      expect(connection.wasSent).toBe(true);
    }
    expect(sockets).toHaveLength(1);
  });

  it("ends when the server has answered without taking all of it", async () => {
    const head = upload();
    const first = await accepted();
    first.pause();
    first.write(`${HEAD}\r\n\r\n`);
    expect(await head).toBe(HEAD);
    // What the server still waits for is not taken for the next request.
    const next = upload(Buffer.from("x"));
    await expect.poll(() => sockets.length).toBe(2);
    const second = await accepted();
    await take(second, 1);
    second.write("HTTP/1.1 204 Next\r\n\r\n");
    expect(await next).toBe("HTTP/1.1 204 Next");
  });

  it("fails with the connection", async () => {
    const failing = upload();
    (await accepted()).destroy();
    expect([ECONNRESET, EPIPE]).toContain(await failing);
    expect(connection.wasSent).toBe(true);
  });

  it("that nobody takes is given up, and so is one that is closed", async () => {
    const stalled = upload(BODY, HASTY_MS);
    (await accepted()).pause();
    expect(await stalled).toBe(ETIMEDOUT);
    const waiting = upload();
    await expect.poll(() => sockets.length).toBe(2);
    (await accepted()).pause();
    connection.close();
    expect(await waiting).toBe(ECANCELED);
  });

  it("that could not begin was not sent", async () => {
    server.close();
    await once(server, "close");
    expect(await upload()).toBe(ECONNREFUSED);
    expect(connection.wasSent).toBe(false);
  });

  async function receiveChunked(body: string, most = 1000): Promise<string | number> {
    const head = upload(Buffer.from("x"));
    const socket = await accepted();
    await take(socket, 1);
    socket.write(`${HEAD}\r\n\r\n`);
    for (const byte of body) socket.write(byte);
    expect(await head).toBe(HEAD);
    return connection.receiveChunked(most, PATIENT_MS);
  }

  it("is answered by chunks", async () => {
    expect(await receiveChunked("5\r\nhello\r\n1;a=b\r\n \r\n5\r\nworld\r\n0\r\nt: x\r\n\r\n")).toBe(
      "hello world",
    );
    expect(await receiveChunked("0\r\n\r\n")).toBe("");
    expect(sockets).toHaveLength(1);
  });

  it.each([
    ["a chunk that is too long", "401\r\n", EMSGSIZE],
    ["a length that is none", "x\r\n", EPROTO],
    ["a length beyond all numbers", "fffffffffffffffff\r\n", EPROTO],
    ["a chunk without an end", "1\r\nab\r\n", EPROTO],
    ["a line without an end", "0".repeat(5000), EMSGSIZE],
  ])("refuses %s", async (_, body, error) => {
    expect(await receiveChunked(body)).toBe(error);
  });
});
