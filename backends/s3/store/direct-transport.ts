import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { getSystemErrorName } from "node:util";
import { type FileRange, HttpConnection, TlsClient } from "../../../src/native/http-connection.js";
import { bodyLength, formatRequest, parseReplyHead, type ReplyHead } from "./http-head.js";
import { StoreError } from "./object-store.js";
import type { HttpReply, HttpRequest, RunningExchange } from "./transport.js";

/** What is no file's is an error document: they are short. */
const MAX_COLLECTED_BYTES = 2 ** 20;
/** Connections that nobody used for so long are closed. */
const IDLE_MS = 20_000;
/** Another address of the server may do better. */
const UNREACHABLE = new Set(["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL", "ETIMEDOUT"]);

/** Why there is no reply, or no more of it. */
export interface ConnectionError extends Error {
  readonly code: string;
  /** Nothing of the request was sent if it is false. */
  readonly wasSent: boolean;
}

function errorOf(errno: number, doing: string, wasSent = true): ConnectionError {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(`${doing}: ${code}`), { code, wasSent });
}

/** A connection, and the address that it is to. */
class Connection {
  readonly native: HttpConnection;
  readonly address: string;
  readonly port: number;
  idleSinceMs = 0;

  constructor(address: string, port: number, tls: TlsClient | undefined) {
    this.address = address;
    this.port = port;
    this.native = new HttpConnection(tls);
  }

  async exchange(request: string, body: Uint8Array | undefined, timeoutMs: number): Promise<string> {
    const head = await this.native.exchange(this.address, this.port, request, timeoutMs, body);
    if (typeof head === "string") return head;
    const where = `${this.address}:${this.port}`;
    const { tlsFailure, wasSent } = this.native;
    if (tlsFailure === "") throw errorOf(head, where, wasSent);
    const error = new Error(`TLS with ${where}: ${tlsFailure}`);
    throw Object.assign(error, { code: "ERR_TLS_HANDSHAKE", wasSent });
  }
}

/** One request on its way; see {@link RunningExchange}. */
class DirectExchange implements RunningExchange {
  readonly reply: Promise<HttpReply>;
  readonly #transport: DirectTransport;
  readonly #request: HttpRequest;
  #connection: Connection | undefined;
  #abortReason: unknown;
  /** Something is left on the connection. */
  #isLast = false;

  constructor(transport: DirectTransport, request: HttpRequest) {
    this.#transport = transport;
    this.#request = request;
    this.reply = this.#run();
  }

  abort(reason: unknown): void {
    this.#abortReason ??= reason;
    this.#connection?.native.close();
  }

  async #run(): Promise<HttpReply> {
    try {
      const head = await this.#exchange();
      const reply = await this.#receive(head);
      this.#checkGoesOn();
      if (head.keepsAlive && !this.#isLast) this.#transport.keep(this.#connection as Connection);
      else this.#connection?.native.close();
      return reply;
    } catch (error) {
      this.#connection?.native.close();
      throw this.#abortReason ?? error;
    }
  }

  #checkGoesOn(): void {
    if (this.#abortReason !== undefined) throw new Error("aborted");
  }

  async #exchange(): Promise<ReplyHead> {
    const { method, path, headers, body, timeoutMs } = this.#request;
    const request = formatRequest(method, path, headers, body?.length);
    const idle = this.#transport.takeIdle();
    const connections = idle === undefined ? await this.#transport.connections() : [idle];
    for (const [index, connection] of connections.entries()) {
      this.#connection = connection;
      this.#checkGoesOn();
      try {
        return parseReplyHead(await connection.exchange(request, body, timeoutMs));
      } catch (error) {
        const { code = "", wasSent = true } = error as Partial<ConnectionError>;
        if (index === connections.length - 1 || wasSent || !UNREACHABLE.has(code)) throw error;
      }
    }
    throw new Error("the server has no address");
  }

  async #receive(head: ReplyHead): Promise<HttpReply> {
    const { method, timeoutMs, receive } = this.#request;
    const { status, headers } = head;
    this.#checkGoesOn();
    if (status < 200) throw new Error(`HTTP ${status} that nobody asked for`);
    const { native } = this.#connection as Connection;
    const sink = receive?.(status, headers);
    if (typeof sink === "function") throw new Error("a body that JavaScript receives");
    const length = bodyLength(method, head);
    if (sink !== undefined) {
      await fill(native, sink, length, timeoutMs);
      return { status, headers, body: Buffer.alloc(0) };
    }
    // A body that only the connection's end would end: of an error document the status tells enough.
    this.#isLast = length === undefined;
    return { status, headers, body: await collect(native, length, timeoutMs) };
  }
}

type BodyLength = ReturnType<typeof bodyLength>;

async function fill(
  native: HttpConnection,
  sink: FileRange,
  length: BodyLength,
  timeoutMs: number,
): Promise<void> {
  if (typeof length !== "number") throw new Error("a body of unknown length");
  const result = await native.receiveToFile(sink, length, timeoutMs);
  if (result < 0) throw new StoreError("io", `the disk cache takes no data: error ${-result}`);
  if (result > 0) throw errorOf(result, "receiving");
}

async function collect(native: HttpConnection, length: BodyLength, timeoutMs: number): Promise<Buffer> {
  if (length === "chunked") {
    const text = await native.receiveChunked(MAX_COLLECTED_BYTES, timeoutMs);
    if (typeof text === "number") throw errorOf(text, "receiving");
    return Buffer.from(text, "latin1");
  }
  if (length !== undefined && length > MAX_COLLECTED_BYTES) throw new Error("the reply is too long");
  const body = Buffer.alloc(length ?? 0);
  const result = body.length === 0 ? 0 : await native.receive(body, timeoutMs);
  if (result !== 0) throw errorOf(result, "receiving");
  return body;
}

/** A host as system calls have it: URLs put IPv6 addresses in brackets. */
function unbracketed(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "");
}

/** {@link DirectTransport} */
export interface DirectOptions {
  /** Scheme, host and port. */
  readonly origin: string;
  /** PEM of the authorities that are trusted. Default: whom Node trusts. */
  readonly ca: string | undefined;
}

/**
 * Pooled connections whose bodies native code moves into files: no byte of them comes into JavaScript. What is
 * no file's comes from memory and goes there.
 */
export class DirectTransport {
  readonly #hostname: string;
  readonly #port: number;
  readonly #tls: TlsClient | undefined;
  readonly #idle: Connection[] = [];
  readonly #running = new Set<DirectExchange>();
  #sweeping: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor({ protocol, hostname, port }: URL, tls: TlsClient | undefined) {
    this.#hostname = unbracketed(hostname);
    this.#port = port !== "" ? Number(port) : protocol === "https:" ? 443 : 80;
    this.#tls = tls;
  }

  /** Undefined where the origin wants TLS and native code has none. */
  static create({ origin, ca }: DirectOptions): DirectTransport | undefined {
    const url = new URL(origin);
    if (url.protocol === "http:") return new DirectTransport(url, undefined);
    const verifies = process.env.NODE_TLS_REJECT_UNAUTHORIZED !== "0";
    const tls = TlsClient.create({ host: unbracketed(url.hostname), ca, verifies });
    return tls === undefined ? undefined : new DirectTransport(url, tls);
  }

  send(request: HttpRequest): RunningExchange {
    const exchange = new DirectExchange(this, request);
    this.#running.add(exchange);
    const ended = () => void this.#running.delete(exchange);
    exchange.reply.then(ended, ended);
    return exchange;
  }

  /** The connection that was used last; undefined where none is idle. */
  takeIdle(): Connection | undefined {
    return this.#idle.pop();
  }

  /** New ones that are not open yet, one for each address of the server. */
  async connections(): Promise<Connection[]> {
    const open = (address: string) => new Connection(address, this.#port, this.#tls);
    if (isIP(this.#hostname) !== 0) return [open(this.#hostname)];
    const addresses = await lookup(this.#hostname, { all: true });
    return addresses.map(({ address }) => open(address));
  }

  keep(connection: Connection): void {
    if (this.#closed) {
      connection.native.close();
      return;
    }
    connection.idleSinceMs = performance.now();
    this.#idle.push(connection);
    this.#sweeping ??= setInterval(() => this.#sweep(), IDLE_MS).unref();
  }

  /** Ends what is under way. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#sweeping);
    for (const exchange of this.#running) exchange.abort(new StoreError("io", "the store is closed"));
    for (const connection of this.#idle.splice(0)) connection.native.close();
  }

  #sweep(): void {
    const before = performance.now() - IDLE_MS;
    while ((this.#idle[0]?.idleSinceMs ?? Number.POSITIVE_INFINITY) < before) {
      this.#idle.shift()?.native.close();
    }
  }
}
