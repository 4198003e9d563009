import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { GatewayError } from "../../../src/vfs/gateway-error.js";
import type { CredentialSource } from "./credentials.js";
import { type ConnectionError, DirectTransport } from "./direct-transport.js";
import type { Endpoint } from "./endpoint.js";
import { isExpired, isTransient, mayHaveHappened, type ReplyFailure, readFailure } from "./failure.js";
import { FairQueue } from "./fair-queue.js";
import { HedgedExchange, HedgePolicy } from "./hedge.js";
import { type RequestClass, StoreError } from "./object-store.js";
import { PartBuffers } from "./part-buffers.js";
import { type Credentials, Signer } from "./signer.js";
import { type HttpReply, type Receive, type RunningExchange, Transport } from "./transport.js";
import { encodeKey, encodeQuery } from "./uri.js";

export interface ClientOptions {
  readonly endpoint: Endpoint;
  readonly bucket: string;
  readonly credentials: CredentialSource;
  /** Requests at a time. */
  readonly concurrency: number;
  /** For an operation with all its attempts. */
  readonly deadlineMs: number;
  /** For the first byte of an answer, and between two pieces of it. */
  readonly timeoutMs: number;
  /** Native code receives what goes into files, where it can. */
  readonly direct: boolean;
  /** PEM of the authorities that are trusted. Default: whom Node trusts. */
  readonly ca: string | undefined;
}

export interface S3Request {
  readonly class: Exclude<RequestClass, "retries" | "hedges">;
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** Undefined: the bucket itself. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  /** Names in lower case and values in turn; asked before every attempt. */
  readonly headers?: () => string[];
  readonly body?: Uint8Array;
  readonly receive?: Receive;
  /** Goes over connections of native code, where {@link S3Client.isDirect}. */
  readonly direct?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** May be asked twice at the same time when it is slow; needs `receive`. */
  readonly hedged?: boolean;
  /** A success may turn out to be an error document: of what takes the server long. */
  readonly slow?: boolean;
  /** Asked before another attempt, after a failure that may pass; false makes it StoreError "no-upload". */
  readonly isStillOpen?: () => Promise<boolean>;
  /** Attempts at most; default: as many as the deadline allows. */
  readonly attempts?: number;
  /** Not tried again once it may have been carried out: doing it twice leaves something behind. */
  readonly once?: boolean;
}

export interface S3Reply extends HttpReply {
  /** Why it is no success; what was worth retrying was retried. */
  readonly failure: ReplyFailure | undefined;
  /** An attempt before this one may have been carried out: its answer was lost. */
  readonly uncertain: boolean;
}

const MAX_KEY_BYTES = 1024;
const UNSIGNED = "UNSIGNED-PAYLOAD";
const EMPTY_SHA256 = createHash("sha256").digest("hex");
const FIRST_BACKOFF_MS = 50;
const MOST_BACKOFF_MS = 5_000;
/** Lost races that the server wants retried; after so many they count as lost. */
const MOST_CONFLICTS = 4;
/** Uploads that arrived with another checksum than they were sent with. */
const MOST_DIGEST_FAILURES = 2;
/** A slow line gets this much more time for what it sends. */
const SLOWEST_BYTES_PER_MS = 64;
/** Copies and completions answer when all is done. */
const SLOW_FACTOR = 5;
/** Hedges go beside the bounded requests. */
const SPARE_CONNECTIONS = 4;

/** The request was never sent. */
const NOT_SENT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
  "EHOSTUNREACH",
]);
const HOPELESS = /^(CERT_|ERR_TLS_|ERR_SSL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/;

/** The reason that ends an attempt at the operation's deadline. */
const DEADLINE = Object.assign(new Error("the deadline has passed"), { code: "deadline" });

interface Progress {
  readonly deadline: number;
  attempts: number;
  uncertain: boolean;
  refreshed: boolean;
  conflicts: number;
  digestFailures: number;
}

/** Signs, sends, counts, bounds and retries the requests of one bucket. */
export class S3Client {
  readonly counts: Record<RequestClass, number> = {
    ...{ head: 0, get: 0, list: 0, put: 0, copy: 0, delete: 0 },
    ...{ createUpload: 0, uploadPart: 0, copyPart: 0, completeUpload: 0, abortUpload: 0, listParts: 0 },
    ...{ other: 0, retries: 0, hedges: 0 },
  };
  readonly endpoint: Endpoint;
  /** For what is not direct. */
  readonly partBuffers = new PartBuffers();
  readonly #options: ClientOptions;
  readonly #transport: Transport;
  readonly #direct: DirectTransport | undefined;
  readonly #signer: Signer;
  readonly #queue: FairQueue;
  readonly #hedging = new HedgePolicy();
  readonly #closing = new AbortController();

  constructor(options: ClientOptions) {
    const { endpoint, concurrency, ca } = options;
    this.endpoint = endpoint;
    this.#options = options;
    this.#signer = new Signer(endpoint.region);
    this.#queue = new FairQueue(concurrency);
    this.#transport = new Transport({
      origin: endpoint.origin,
      connections: concurrency + SPARE_CONNECTIONS,
      connectTimeoutMs: options.timeoutMs,
      ca,
    });
    this.#direct = options.direct ? DirectTransport.create({ origin: endpoint.origin, ca }) : undefined;
  }

  /** Bodies can be received into files without coming into JavaScript. */
  get isDirect(): boolean {
    return this.#direct !== undefined;
  }

  get bucket(): string {
    return this.#options.bucket;
  }

  /** What messages call a request. */
  describe({ class: name, key }: S3Request): string {
    return `${name} ${key === undefined ? this.bucket : JSON.stringify(key)}`;
  }

  /**
   * Sends a request until there is a success or a failure that another attempt would not change. Rejects with
   * StoreError "io" at the deadline, and with the signal's reason.
   */
  async send(request: S3Request): Promise<S3Reply> {
    if (request.key !== undefined) this.#checkKey(request, request.key);
    const deadlineMs = this.#options.deadlineMs * (request.slow === true ? SLOW_FACTOR : 1);
    const deadline = performance.now() + deadlineMs;
    const progress = {
      deadline,
      attempts: 0,
      uncertain: false,
      refreshed: false,
      conflicts: 0,
      digestFailures: 0,
    };
    for (;;) {
      if (progress.attempts++ > 0) this.counts.retries++;
      let reason: string;
      let retryAfterMs = 0;
      try {
        const reply = await this.#attempt(request, progress.deadline);
        const failure = failureOf(reply, request);
        if (failure === undefined || !(await this.#isWorthRetrying(failure, progress))) {
          return { ...reply, failure, uncertain: progress.uncertain };
        }
        progress.uncertain ||= mayHaveHappened(failure);
        reason = failure.s3Code;
        retryAfterMs = readRetryAfter(reply.headers);
      } catch (error) {
        reason = this.#retryableError(request, error, progress);
      }
      await this.#backOff(request, progress, reason, retryAfterMs);
      if (request.isStillOpen !== undefined && !(await request.isStillOpen())) {
        throw new StoreError("no-upload", `${this.describe(request)}: ${reason}, and the upload is gone`);
      }
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new StoreError("io", "the store is closed"));
    this.#direct?.close();
    await this.#transport.close();
  }

  /** What no server takes is not sent: they would say so in many ways. */
  #checkKey(request: S3Request, key: string): void {
    if (key.length * 3 > MAX_KEY_BYTES && Buffer.byteLength(key) > MAX_KEY_BYTES) {
      throw new StoreError("key-too-long", `${this.describe(request)}: longer than ${MAX_KEY_BYTES} bytes`);
    }
  }

  async #isWorthRetrying(failure: ReplyFailure, progress: Progress): Promise<boolean> {
    if (isTransient(failure)) return true;
    if (isExpired(failure) && !progress.refreshed) {
      progress.refreshed = true;
      return this.#options.credentials.refresh();
    }
    if (failure.status === 409) return progress.conflicts++ < MOST_CONFLICTS;
    return failure.s3Code === "BadDigest" && progress.digestFailures++ < MOST_DIGEST_FAILURES;
  }

  /** The words for an error that another attempt may not meet; throws what is final. */
  #retryableError(request: S3Request, error: unknown, progress: Progress): string {
    if (this.#closing.signal.aborted) throw this.#closing.signal.reason;
    if (request.signal?.aborted === true) throw request.signal.reason;
    if (error instanceof StoreError) throw error;
    if (error instanceof GatewayError) throw new StoreError("access", error.message);
    const { code = "", message = String(error), wasSent } = error as Partial<ConnectionError>;
    const words = code === "" || message.includes(code) ? message : `${code} ${message}`;
    if (HOPELESS.test(code)) throw new StoreError("io", `${this.describe(request)}: ${words}`);
    if (wasSent !== false && !NOT_SENT.has(code)) progress.uncertain = true;
    return words;
  }

  /** Waits with full jitter; throws where the deadline would pass meanwhile. */
  async #backOff(
    request: S3Request,
    progress: Progress,
    reason: string,
    retryAfterMs: number,
  ): Promise<void> {
    const { attempts, deadline } = progress;
    const ceiling = Math.min(MOST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (attempts - 1));
    const waitMs = retryAfterMs + Math.random() * ceiling;
    const isLast =
      attempts >= (request.attempts ?? Infinity) || (request.once === true && progress.uncertain);
    if (isLast || performance.now() + waitMs >= deadline) {
      throw new StoreError("io", `${this.describe(request)}: ${reason}, after ${attempts} attempts`);
    }
    const signals = [this.#closing.signal, ...(request.signal === undefined ? [] : [request.signal])];
    try {
      await delay(waitMs, undefined, { signal: AbortSignal.any(signals) });
    } catch {
      throw signals.find(({ aborted }) => aborted)?.reason;
    }
  }

  async #attempt(request: S3Request, deadline: number): Promise<HttpReply> {
    const { signal } = request;
    const turn = this.#queue.enter(request.key ?? "", signal);
    if (turn !== undefined) await turn;
    let abort: (() => void) | undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
      if (this.#closing.signal.aborted) throw this.#closing.signal.reason;
      const path = this.#path(request);
      const credentials = this.#options.credentials.current();
      const known = credentials instanceof Promise ? await credentials : credentials;
      const exchange = this.#start(request, path, known);
      abort = () => exchange.abort(signal?.reason);
      signal?.addEventListener("abort", abort, { once: true });
      timer = setTimeout(() => exchange.abort(DEADLINE), Math.max(0, deadline - performance.now()));
      return await exchange.reply;
    } finally {
      clearTimeout(timer);
      if (abort !== undefined) signal?.removeEventListener("abort", abort);
      this.#queue.leave();
    }
  }

  #path({ key, query }: S3Request): { path: string; query: string } {
    const path = this.endpoint.basePath + (key === undefined ? "" : encodeKey(key));
    return { path, query: query === undefined ? "" : encodeQuery(query) };
  }

  /** Sends one attempt, or two when the request is hedged and the first is slow. */
  #start(
    request: S3Request,
    { path, query }: { path: string; query: string },
    credentials: Credentials | undefined,
  ): RunningExchange {
    const { method, body, receive, hedged } = request;
    const sendBytes = body?.length ?? 0;
    const timeoutMs =
      this.#options.timeoutMs * (request.slow === true ? SLOW_FACTOR : 1) + sendBytes / SLOWEST_BYTES_PER_MS;
    const send = (receiver: S3Request["receive"]) => {
      this.counts[request.class]++;
      const headers = this.#sign(request, path, query, credentials);
      const target = query === "" ? path : `${path}?${query}`;
      const direct = request.direct === true ? this.#direct : undefined;
      return (direct ?? this.#transport).send({
        ...{ method, path: target, headers, timeoutMs, receive: receiver },
        ...(body !== undefined && { body }),
      });
    };
    if (hedged !== true || receive === undefined) return send(receive);
    return new HedgedExchange(send, receive, this.#hedging, () => this.counts.hedges++);
  }

  #sign(request: S3Request, path: string, query: string, credentials: Credentials | undefined): string[] {
    const headers = request.headers?.() ?? [];
    headers.push("host", this.endpoint.host);
    if (credentials === undefined) return headers;
    const payload = this.#hashBody(request.body);
    this.#signer.sign({ method: request.method, path, query, headers, payload }, credentials, Date.now());
    return headers;
  }

  #hashBody(body: Uint8Array | undefined): string {
    if (body === undefined || body.length === 0) return EMPTY_SHA256;
    return this.endpoint.signsBodies ? createHash("sha256").update(body).digest("hex") : UNSIGNED;
  }
}

/** The failure of a reply; S3 says 200 before it copies and completes, and may fail afterwards. */
function failureOf(reply: HttpReply, request: S3Request): ReplyFailure | undefined {
  if (reply.status >= 300) return readFailure(reply);
  return request.slow === true && reply.body.includes("<Error>") ? readFailure(reply) : undefined;
}

/** Milliseconds that Retry-After asks for: it has seconds or a date. */
function readRetryAfter(headers: IncomingHttpHeaders): number {
  const value = headers["retry-after"];
  if (value === undefined) return 0;
  const seconds = Number(value);
  const waitMs = Number.isNaN(seconds) ? Date.parse(value) - Date.now() : seconds * 1000;
  return Number.isFinite(waitMs) ? Math.max(0, waitMs) : 0;
}
