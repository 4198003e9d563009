import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { emptyRange, HttpConnection, TlsClient } from "../../../src/native/http-connection.js";
import { makeCertificate } from "../../support/s3/certificates.mjs";

const { ECANCELED, ECONNRESET, ETIMEDOUT } = constants.errno;
const PATIENT_MS = 10_000;
const HASTY_MS = 50;
const BLOCK = 128 * 1024;
const BODY = Buffer.from(
  Uint8Array.from({ length: 5 * BLOCK + 777 }, (_, at) => (at * 31 + (at >> 8)) & 0xff),
);
const HEAD = "HTTP/1.1 200 OK";

const directory = mkdtempSync(join(tmpdir(), "tls-connection-"));
const certificate = makeCertificate(directory);
afterAll(() => rmSync(directory, { recursive: true }));

/** What the server does with a connection's requests; each answers one. */
let answers: ((socket: TLSSocket) => void)[];
let accepted: number;
let connection: HttpConnection;
let fd: number;

beforeEach(() => {
  answers = [];
  accepted = 0;
  const options = { host: "localhost", ca: certificate.ca, verifies: true };
  connection = new HttpConnection(TlsClient.create(options));
  fd = openSync(join(directory, "file"), "w+");
});
afterEach(() => {
  connection.close();
  closeSync(fd);
});

describe.each(["TLSv1.2", "TLSv1.3"] as const)("a connection with %s", (version) => {
  let server: Server;
  let port: number;

  beforeEach(async () => {
    // What a connection of an earlier test still sends is not answered with these.
    const own = answers;
    server = createServer({ ...certificate, minVersion: version, maxVersion: version }, (socket) => {
      accepted++;
      socket.on("error", () => {});
      socket.on("data", () => own.shift()?.(socket));
    });
    server.on("connection", (socket) => void socket.setNoDelay());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    port = (server.address() as { port: number }).port;
  });
  afterEach(() => void server.close());

  function exchange(timeoutMs = PATIENT_MS) {
    return connection.exchange("127.0.0.1", port, "GET / HTTP/1.1\r\n\r\n", timeoutMs);
  }

  it("puts a head together from records of a byte each", async () => {
    answers.push((socket) => {
      for (const byte of `${HEAD}\r\n\r\nhello`) socket.write(byte);
    });
    expect(await exchange()).toBe(HEAD);
    const into = Buffer.alloc(5);
    expect(await connection.receive(into, PATIENT_MS)).toBe(0);
    expect(into.toString()).toBe("hello");
  });

  it("moves bodies into files, one after the other", async () => {
    for (let i = 0; i < 3; i++) {
      answers.push((socket) => {
        expect(socket.servername).toBe("localhost");
        socket.write(`${HEAD}\r\n\r\n`);
        socket.write(BODY);
      });
      const range = emptyRange(fd, 5, BODY.length, BLOCK);
      expect(await exchange()).toBe(HEAD);
      expect(await connection.receiveToFile(range, BODY.length, PATIENT_MS)).toBe(0);
      expect(readFileSync(join(directory, "file")).subarray(5).equals(BODY)).toBe(true);
    }
    expect(accepted).toBe(1);
  });

  it.each(["end", "destroy"] as const)("that breaks by %s keeps what has come", async (how) => {
    answers.push((socket) => {
      socket.write(`${HEAD}\r\n\r\n`);
      socket.write(BODY.subarray(0, 1000), () => void socket[how]());
    });
    const range = emptyRange(fd, 0, BODY.length, BLOCK);
    expect(await exchange()).toBe(HEAD);
    expect(await connection.receiveToFile(range, BODY.length, PATIENT_MS)).toBe(ECONNRESET);
    expect(range.progress[0]).toBe(1000);
    expect(connection.tlsFailure).toBe("");
    answers.push((socket) => void socket.write(`${HEAD}\r\n\r\n`));
    expect(await exchange()).toBe(HEAD);
    expect(accepted).toBe(2);
  });

  it("that stalls is given up, and so is one that is closed", async () => {
    expect(await exchange(HASTY_MS)).toBe(ETIMEDOUT);
    const waiting = exchange();
    connection.close();
    expect(await waiting).toBe(ECANCELED);
  });
});
