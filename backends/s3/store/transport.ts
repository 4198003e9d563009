import type { IncomingHttpHeaders } from "node:http";
import { type Dispatcher, Pool } from "undici";
import type { FileRange } from "../../../src/native/http-connection.js";

/** Replies that are collected are documents of at most 1,000 entries; more than this is no S3. */
const MAX_COLLECTED_BYTES = 64 * 2 ** 20;

export interface TransportOptions {
  /** Scheme, host and port. */
  readonly origin: string;
  /** Connections at most. */
  readonly connections: number;
  readonly connectTimeoutMs: number;
  /** PEM of the authorities that are trusted. Default: whom Node trusts. */
  readonly ca: string | undefined;
}

/** Receives the body of a reply instead of its being collected. */
export type BodyReceiver = (chunk: Buffer) => void;

/** Where a body goes: through JavaScript, or straight into a file. */
export type BodySink = BodyReceiver | FileRange;

export type Receive = (status: number, headers: IncomingHttpHeaders) => BodySink | undefined;

export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** With the query. */
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: string[];
  readonly body?: Uint8Array;
  /** For the headers of the reply, and for each piece of its body. */
  readonly timeoutMs: number;
  /** Asked when the headers are there; undefined collects the body. A throw ends the request with it. */
  readonly receive?: Receive | undefined;
}

export interface HttpReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Empty where a receiver took it. */
  readonly body: Buffer;
}

/** One request on its way: the body is consumed whatever happens, or the connection is given up. */
export interface RunningExchange {
  /** Rejects with the connection's error, or with what it was aborted for, when nothing is received any more. */
  readonly reply: Promise<HttpReply>;
  /** Gives the connection up; `reason` is what the reply rejects with. No effect after the end. */
  abort(reason: unknown): void;
}

/** A request on its way over undici. */
class Exchange implements Dispatcher.DispatchHandler, RunningExchange {
  readonly reply: Promise<HttpReply>;
  readonly #receive: HttpRequest["receive"];
  #resolve: (reply: HttpReply) => void = () => {};
  #reject: (error: unknown) => void = () => {};
  #controller: Dispatcher.DispatchController | undefined;
  #abortReason: unknown;
  #status = 0;
  #headers: IncomingHttpHeaders = {};
  #receiver: BodyReceiver | undefined;
  readonly #chunks: Buffer[] = [];
  #collected = 0;

  constructor(receive: HttpRequest["receive"]) {
    this.#receive = receive;
    this.reply = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  abort(reason: unknown): void {
    this.#abortReason ??= reason;
    this.#controller?.abort(reason instanceof Error ? reason : new Error(String(reason)));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#abortReason !== undefined) this.abort(this.#abortReason);
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return;
    this.#status = status;
    this.#headers = headers;
    const sink = this.#receive?.(status, headers);
    if (typeof sink === "object") throw new Error("a file that JavaScript would have to fill");
    this.#receiver = sink;
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#receiver !== undefined) {
      this.#receiver(chunk);
      return;
    }
    this.#collected += chunk.length;
    if (this.#collected > MAX_COLLECTED_BYTES) throw new Error("the reply is too long");
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    const [only] = this.#chunks;
    const body = this.#chunks.length === 1 && only !== undefined ? only : Buffer.concat(this.#chunks);
    this.#resolve({ status: this.#status, headers: this.#headers, body });
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#reject(this.#abortReason ?? error);
  }
}

/** Pooled connections to one endpoint. */
export class Transport {
  readonly #pool: Pool;

  constructor({ origin, connections, connectTimeoutMs, ca }: TransportOptions) {
    this.#pool = new Pool(origin, {
      connections,
      pipelining: 1,
      connect: { timeout: connectTimeoutMs, ...(ca !== undefined && { ca }) },
      keepAliveTimeout: 20_000,
      // A reply's length is checked by undici: one that is cut short is an error.
      strictContentLength: true,
    });
  }

  send({ method, path, headers, body, timeoutMs, receive }: HttpRequest): RunningExchange {
    const exchange = new Exchange(receive);
    this.#pool.dispatch(
      {
        ...{ method, path, headers, body: body ?? null },
        ...{ headersTimeout: timeoutMs, bodyTimeout: timeoutMs },
        // undici would close the connection after every HEAD, for servers that send a body all the same.
        reset: false,
      },
      exchange,
    );
    return exchange;
  }

  /** Ends what is under way. */
  close(): Promise<void> {
    return this.#pool.destroy();
  }
}
