import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { crc32c } from "../../../src/native/checksum.js";
import { emptyRange, type FileRange, HttpConnection } from "../../../src/native/http-connection.js";

const { ECANCELED, ECONNREFUSED, ECONNRESET, EINVAL, EMSGSIZE, ETIMEDOUT, EBADF } = constants.errno;
const PATIENT_MS = 10_000;
const HASTY_MS = 50;
const BLOCK = 128 * 1024;
const HEAD = "HTTP/1.1 200 OK\r\ncontent-length: 5";

let server: Server;
let port: number;
/** What the server does with a connection's requests; each answers one. */
let answers: ((socket: Socket) => void)[];
let accepted: number;
let directory: string;
let fd: number;
let path: string;
let connection: HttpConnection;

beforeEach(async () => {
  answers = [];
  accepted = 0;
  server = createServer({ noDelay: true }, (socket) => {
    accepted++;
    socket.on("error", () => {});
    socket.on("data", () => answers.shift()?.(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as { port: number }).port;
  directory = mkdtempSync(join(tmpdir(), "http-connection-"));
  path = join(directory, "file");
  fd = openSync(path, "w+");
  connection = new HttpConnection();
});
afterEach(() => {
  connection.close();
  server.close();
  closeSync(fd);
  rmSync(directory, { recursive: true });
});

function exchange(timeoutMs = PATIENT_MS) {
  return connection.exchange("127.0.0.1", port, "GET / HTTP/1.1\r\n\r\n", timeoutMs);
}

function pattern(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, at) => (at * 31 + (at >> 8)) & 0xff));
}

describe("a head", () => {
  it("is put together from pieces, and what follows it is the body's", async () => {
    answers.push((socket) => {
      const bytes = `${HEAD}\r\n\r\nhello`;
      let at = 0;
      const send = () => {
        socket.write(bytes.slice(at, at + 1));
        if (++at < bytes.length) setImmediate(send);
      };
      send();
    });
    expect(await exchange()).toBe(HEAD);
    const into = Buffer.alloc(5);
    expect(await connection.receive(into, PATIENT_MS)).toBe(0);
    expect(into.toString()).toBe("hello");
  });

  it("without an end is refused", async () => {
    answers.push((socket) => void socket.write("HTTP/1.1 200 OK\r\n".padEnd(40_000, "x")));
    expect(await exchange()).toBe(EMSGSIZE);
  });

  it("that does not come is not waited for", async () => {
    expect(await exchange(HASTY_MS)).toBe(ETIMEDOUT);
  });

  it("that is cut short is none", async () => {
    answers.push((socket) => void socket.end(HEAD));
    expect(await exchange()).toBe(ECONNRESET);
  });
});

describe("a connection", () => {
  it("serves one exchange after the other", async () => {
    for (let i = 0; i < 3; i++) {
      answers.push((socket) => void socket.write(`${HEAD}\r\n\r\n1234${i}`));
      expect(await exchange()).toBe(HEAD);
      const into = Buffer.alloc(5);
      expect(await connection.receive(into, PATIENT_MS)).toBe(0);
      expect(into.toString()).toBe(`1234${i}`);
    }
    expect(accepted).toBe(1);
  });

  it("is made anew where the other side has ended it, or where something is left of a reply", async () => {
    const ended = new Promise<void>((resolve) => {
      answers.push((socket) => void socket.end("HTTP/1.1 204 None\r\n\r\n", resolve));
    });
    expect(await exchange()).toBe("HTTP/1.1 204 None");
    await ended;
    answers.push((socket) => void socket.write(`${HEAD}\r\n\r\nhello`));
    expect(await exchange()).toBe(HEAD);
    answers.push((socket) => void socket.write("HTTP/1.1 204 Again\r\n\r\n"));
    expect(await exchange()).toBe("HTTP/1.1 204 Again");
    expect(accepted).toBe(3);
  });

  it("that is refused says so", async () => {
    await new Promise((resolve) => server.close(resolve));
    expect(await exchange()).toBe(ECONNREFUSED);
    expect(await connection.exchange("no address", 1, "", HASTY_MS)).toBe(EINVAL);
  });

  it("ends whatever waits when it is closed", async () => {
    const waiting = exchange();
    await expect.poll(() => accepted).toBe(1);
    connection.close();
    expect(await waiting).toBe(ECANCELED);
    expect(await exchange()).toBe(ECANCELED);
  });
});

describe("a body that goes into a file", () => {
  const BODY = pattern(3 * BLOCK + 777);

  function send(bytes: Buffer, end = false): void {
    answers.push((socket) => {
      socket.write("HTTP/1.1 206 Partial\r\n\r\n");
      socket.write(bytes);
      if (end) socket.end();
    });
  }

  function sums(bytes: Buffer): number[] {
    const found: number[] = [];
    for (let at = 0; at < bytes.length; at += BLOCK) found.push(crc32c(bytes.subarray(at, at + BLOCK), 0));
    return found;
  }

  it.each([0, BLOCK, 5])("is written where it belongs, from %d on, with its checksums", async (position) => {
    const range = emptyRange(fd, position, BODY.length, BLOCK);
    send(BODY);
    await exchange();
    expect(await connection.receiveToFile(range, BODY.length, PATIENT_MS)).toBe(0);
    expect([...range.progress]).toEqual([BODY.length, ...sums(BODY)]);
    expect(readFileSync(path).subarray(position).equals(BODY)).toBe(true);
  });

  it("goes on where it broke", async () => {
    const range = emptyRange(fd, 0, BODY.length, BLOCK);
    for (const cut of [1, BLOCK - 1, BLOCK + 5, BODY.length]) {
      const from = range.progress[0] as number;
      send(BODY.subarray(from, cut), cut < BODY.length);
      await exchange();
      const result = await connection.receiveToFile(range, BODY.length - from, PATIENT_MS);
      expect(result).toBe(cut < BODY.length ? ECONNRESET : 0);
      expect(range.progress[0]).toBe(cut);
    }
    expect([...range.progress.subarray(1)]).toEqual(sums(BODY));
    expect(readFileSync(path).equals(BODY)).toBe(true);
  });

  it("that comes with its head is there at once", async () => {
    const range = emptyRange(fd, 0, 5, BLOCK);
    answers.push((socket) => void socket.write(`${HEAD}\r\n\r\nhello`));
    await exchange();
    expect(await connection.receiveToFile(range, 5, PATIENT_MS)).toBe(0);
    expect(readFileSync(path, "latin1")).toBe("hello");
  });

  it("that comes slowly is waited for", async () => {
    const body = BODY.subarray(0, 256 * 1024);
    const range = emptyRange(fd, 0, body.length, BLOCK);
    answers.push((socket) => {
      socket.write("HTTP/1.1 206 Partial\r\n\r\n");
      let at = 0;
      const timer = setInterval(() => {
        socket.write(body.subarray(at, at + 8192));
        at += 8192;
        if (at === body.length) clearInterval(timer);
      }, 30);
    });
    await exchange();
    // Longer than a piece takes, and shorter than as many as the thread would like to have.
    expect(await connection.receiveToFile(range, body.length, 150)).toBe(0);
    expect(readFileSync(path).equals(body)).toBe(true);
  });

  it("that stalls is given up, and what has come counts", async () => {
    const range = emptyRange(fd, 0, BODY.length, BLOCK);
    send(BODY.subarray(0, 1000));
    await exchange();
    const started = performance.now();
    expect(await connection.receiveToFile(range, BODY.length, 500)).toBe(ETIMEDOUT);
    expect(performance.now() - started).toBeLessThan(900);
    expect(range.progress[0]).toBe(1000);
  });

  it("touches no byte beyond what was asked for", async () => {
    const range = emptyRange(fd, 0, 1000, BLOCK);
    send(BODY);
    await exchange();
    expect(await connection.receiveToFile(range, 1000, PATIENT_MS)).toBe(0);
    expect(readFileSync(path)).toHaveLength(1000);
    // What is left of the reply is not taken for another's.
    answers.push((socket) => void socket.write("HTTP/1.1 204 Next\r\n\r\n"));
    expect(await exchange()).toBe("HTTP/1.1 204 Next");
    expect(accepted).toBe(2);
  });

  it("does not end well on a file that takes nothing", async () => {
    const readOnly = openSync(path, "r");
    const range = emptyRange(readOnly, 0, BODY.length, BLOCK);
    send(BODY);
    await exchange();
    expect(await connection.receiveToFile(range, BODY.length, PATIENT_MS)).toBe(-EBADF);
    closeSync(readOnly);
  });

  it.each<[string, Partial<FileRange> & { count?: number }]>([
    ["more than the range has", { count: 1001 }],
    ["no room for the checksums", { progress: new Uint32Array(1) }],
    ["more progress than bytes", { progress: Uint32Array.of(2000, 0) }],
    ["blocks of no bytes", { blockBytes: 0 }],
    ["a position before the file", { position: -1 }],
  ])("is refused with %s", async (_, { count = 1000, ...odd }) => {
    send(BODY);
    await exchange();
    const range = { ...emptyRange(fd, 0, 1000, BLOCK), ...odd };
    expect(await connection.receiveToFile(range, count, PATIENT_MS)).toBe(-EINVAL);
    expect(readFileSync(path)).toHaveLength(0);
  });
});
