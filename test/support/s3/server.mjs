// @ts-check
// An S3 server for tests: strict where AWS is strict, and wrong in all the ways that a test asks for.
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { TLSSocket } from "node:tls";
import { administer } from "./admin.mjs";
import { decodeBody } from "./body.mjs";
import { Bucket, toText } from "./bucket.mjs";
import { S3Error } from "./error.mjs";
import { Faults } from "./faults.mjs";
import { findOperation, HANDLERS, listBuckets } from "./routes.mjs";
import { verifySignature } from "./signature.mjs";
import { readBody, Throttle, writeBody } from "./throttle.mjs";
import { element } from "./xml.mjs";

/** @typedef {import("./operations.mjs").Answer} Answer */
/** @typedef {import("./signature.mjs").Credentials} Credentials */

/** What the server honours; what is false is ignored, except partCopy, which is refused. */
export const ALL_FEATURES = {
  /** If-None-Match on PUT and Complete. */
  createOnly: true,
  /** If-Match on PUT and Complete. */
  replaceOnly: true,
  conditionalDelete: true,
  conditionalRead: true,
  /** x-amz-copy-source-if-match and the like. */
  conditionalCopy: true,
  /** If-Match and If-None-Match on CopyObject. */
  conditionalCopyTarget: true,
  partCopy: true,
  checksums: true,
  /** Objects that come without a checksum get CRC64NVME. */
  defaultChecksum: false,
  /** A completion of a completed upload is answered as the first one. */
  repeatedCompletion: true,
};

const DEFAULT_LIMITS = {
  minPartBytes: 5 * 2 ** 20,
  /** Larger bodies are taken for what their checksum says, and larger parts and copies have any ETag: for benchmarks. */
  verifiedBytes: Number.POSITIVE_INFINITY,
};

/** @typedef {typeof ALL_FEATURES} Features */
/** @typedef {typeof DEFAULT_LIMITS} Limits */

/**
 * @typedef {object} FakeS3Options
 * @property {number} [port] Default: any.
 * @property {string} [region] Default: us-east-1.
 * @property {readonly string[]} [buckets] Made at the start.
 * @property {readonly Credentials[]} [credentials] Default: {@link TEST_CREDENTIALS}.
 * @property {Partial<Features>} [features]
 * @property {Partial<Limits>} [limits]
 * @property {number} [latencyMs] From the last byte of a request to the first of its answer.
 * @property {number} [bytesPerSecond] Of each connection, in each direction.
 * @property {number} [seed] Of the faults' probabilities.
 * @property {import("./certificates.mjs").Certificate} [tls] Listens at {@link FakeS3.tlsEndpoint}, too.
 * @property {boolean} [admin] Takes commands below /_fake/, as main.mjs says.
 */

/** @type {Credentials} */
export const TEST_CREDENTIALS = { accessKeyId: "testaccess", secretAccessKey: "testsecret" };

const SERVER_OPTIONS = { keepAliveTimeout: 60_000, requestTimeout: 0, noDelay: true };

/** @typedef {{bucket: string, key: string, path: string, query: Map<string, string>}} Target */

/** @param {string} text Percent-encoded. @returns {string} Bytes as latin1. */
function decodeUri(text) {
  if (/%(?![0-9a-fA-F]{2})/.test(text))
    throw new S3Error(400, "InvalidURI", "Couldn't parse the specified URI.");
  return text.replace(/%(..)/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** @param {import("node:http").IncomingMessage} request @returns {Target} */
function parseTarget({ url = "/", headers }) {
  const [rawPath = "/", rawQuery = ""] = url.split(/\?(.*)/s);
  const path = decodeUri(rawPath);
  const pairs = rawQuery.split("&").filter((pair) => pair !== "");
  const query = new Map(
    pairs.map((pair) => {
      const [name = "", value = ""] = pair.split(/=(.*)/s);
      return [decodeUri(name), decodeUri(value.replaceAll("+", " "))];
    }),
  );
  const host = (headers.host ?? "").replace(/:\d+$/, "");
  const label = /^([a-z0-9.-]+)\.localhost$/.exec(host)?.[1];
  if (label !== undefined) return { bucket: label, key: path.slice(1), path, query };
  const [, bucket = "", key = ""] = path.split(/^\/([^/]*)\/?(.*)$/s);
  return { bucket, key, path, query };
}

/** @typedef {import("node:http").Server | import("node:https").Server} Server */

/** @param {Server} server @param {number} port */
function listening(server, port) {
  return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(undefined)));
}

/** @param {Server} server */
function portOf(server) {
  const address = server.address();
  return address !== null && typeof address === "object" ? address.port : 0;
}

/** @param {Server} server */
function closing(server) {
  return new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
}

/** Ends a connection as one does that breaks: TLS is not told about it. @param {import("node:net").Socket} socket */
function reset(socket) {
  if (socket instanceof TLSSocket) socket.destroy();
  else socket.resetAndDestroy();
}

/** Counts requests by operation, and bytes. */
class Counts {
  /** @type {Record<string, number>} */
  operations = {};
  bytesIn = 0;
  bytesOut = 0;
  connections = 0;
  /** Of {@link connections}, those of TLS that went on with an earlier session. */
  resumedSessions = 0;
  openConnections = 0;
  mostConnections = 0;
  mostRequests = 0;
  #running = 0;

  /** @param {string} operation */
  begin(operation) {
    this.operations[operation] = (this.operations[operation] ?? 0) + 1;
    this.mostRequests = Math.max(this.mostRequests, ++this.#running);
  }
  end() {
    this.#running--;
  }
  /** Forgets everything but the connections that are open. */
  reset() {
    this.operations = {};
    this.bytesIn = this.bytesOut = this.connections = this.resumedSessions = 0;
    this.mostConnections = this.openConnections;
    this.mostRequests = this.#running;
  }
}

export class FakeS3 {
  /** @type {Map<string, Bucket>} */
  buckets = new Map();
  counts = new Counts();
  /** @type {Features} */
  features;
  /** @type {Limits} */
  limits;
  /** @type {Map<string, Credentials>} */
  credentials;
  /** Of the server's clock, against this machine's. */
  clockSkewMs = 0;
  latencyMs;
  bytesPerSecond;
  region;
  /** Called before an answer is decided on; a test can hold it. @type {((operation: string, key: string, request: import("node:http").IncomingMessage) => Promise<void> | void) | undefined} */
  onRequest;
  #server = createServer(SERVER_OPTIONS);
  /** @type {import("node:https").Server | undefined} */
  #tlsServer;
  /** @type {WeakMap<import("node:net").Socket, Throttle>} */
  #throttles = new WeakMap();
  #requestNumber = 0;
  #admin;

  /** @param {FakeS3Options} options */
  constructor(options) {
    this.region = options.region ?? "us-east-1";
    this.#admin = options.admin ?? false;
    this.features = { ...ALL_FEATURES, ...options.features };
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.latencyMs = options.latencyMs ?? 0;
    this.bytesPerSecond = options.bytesPerSecond ?? Number.POSITIVE_INFINITY;
    this.faults = new Faults(options.seed ?? 1);
    const credentials = options.credentials ?? [TEST_CREDENTIALS];
    this.credentials = new Map(credentials.map((each) => [each.accessKeyId, each]));
    for (const name of options.buckets ?? []) this.createBucket(name);
    this.#server.on("request", (request, response) => void this.#serve(request, response));
    this.#server.on("connection", (socket) => this.#accept(socket));
    if (options.tls !== undefined) {
      this.#tlsServer = createTlsServer({ ...SERVER_OPTIONS, ...options.tls });
      this.#tlsServer.on("request", (request, response) => void this.#serve(request, response));
      this.#tlsServer.on("secureConnection", (socket) => this.#accept(socket));
    }
  }

  /** @param {import("node:net").Socket} socket */
  #accept(socket) {
    const { counts } = this;
    counts.connections++;
    if (socket instanceof TLSSocket && socket.isSessionReused()) counts.resumedSessions++;
    counts.mostConnections = Math.max(counts.mostConnections, ++counts.openConnections);
    this.#throttles.set(socket, new Throttle());
    socket.once("close", () => counts.openConnections--);
  }

  /** @param {string} name */
  createBucket(name) {
    const bucket = new Bucket(name);
    this.buckets.set(name, bucket);
    return bucket;
  }

  /** @param {string} name @returns {Bucket} */
  bucket(name) {
    const bucket = this.buckets.get(name);
    if (bucket === undefined) throw new Error(`no bucket ${name}`);
    return bucket;
  }

  /** @param {number} port */
  async listen(port) {
    await listening(this.#server, port);
    if (this.#tlsServer !== undefined) await listening(this.#tlsServer, 0);
  }

  get port() {
    return portOf(this.#server);
  }

  /** For path-style requests; virtual hosts are BUCKET.localhost. */
  get endpoint() {
    return `http://127.0.0.1:${this.port}`;
  }

  get tlsEndpoint() {
    if (this.#tlsServer === undefined) throw new Error("started without a certificate");
    return `https://127.0.0.1:${portOf(this.#tlsServer)}`;
  }

  async close() {
    await closing(this.#server);
    if (this.#tlsServer !== undefined) await closing(this.#tlsServer);
  }

  /**
   * @param {import("node:http").IncomingMessage} request
   * @param {import("node:http").ServerResponse} response
   */
  async #serve(request, response) {
    try {
      await this.#serveOperation(request, response);
    } catch (error) {
      if (!request.complete) {
        request.socket.destroy(); // the other side is gone, or may send more that nobody reads
      } else {
        this.#fail(request, response, error);
      }
    }
  }

  /**
   * @param {import("node:http").IncomingMessage} request
   * @param {import("node:http").ServerResponse} response
   */
  async #serveOperation(request, response) {
    const throttle = this.#throttles.get(request.socket) ?? new Throttle();
    const raw = await readBody(request, throttle, this.bytesPerSecond);
    const command = this.#admin ? /^\/_fake\/([a-z-]+)$/.exec(request.url ?? "")?.[1] : undefined;
    if (command !== undefined) {
      response.end(administer(this, command, raw));
      return;
    }
    const target = parseTarget(request);
    const isCopy = request.headers["x-amz-copy-source"] !== undefined;
    const operation = findOperation(request.method ?? "", target, isCopy) ?? "Unknown";
    this.counts.begin(operation);
    this.counts.bytesIn += raw.reduce((sum, chunk) => sum + chunk.length, 0);
    try {
      await this.onRequest?.(operation, toText(target.key), request);
      if (this.latencyMs > 0) await new Promise((resolve) => setTimeout(resolve, this.latencyMs));
      await this.#answer(request, response, { target, raw, operation, throttle });
    } finally {
      this.counts.end();
    }
  }

  /**
   * @param {import("node:http").IncomingMessage} request
   * @param {import("node:http").ServerResponse} response
   * @param {{target: Target, raw: Buffer[], operation: string, throttle: Throttle}} received
   */
  async #answer(request, response, { target, raw, operation, throttle }) {
    const fault = this.faults.pick(operation, toText(target.key));
    switch (fault?.kind) {
      case "hang":
        return;
      case "reset":
        reset(request.socket);
        return;
      case "delay":
        await new Promise((resolve) => setTimeout(resolve, fault.delayMs ?? 1000));
        break;
      case "error":
        for (const [name, value] of Object.entries(fault.headers ?? {})) response.setHeader(name, value);
        throw new S3Error(fault.status ?? 503, fault.code ?? "SlowDown", "Please reduce your request rate.");
      case "error-in-200":
        response.end(
          errorDocument(new S3Error(200, fault.code ?? "InternalError", "We encountered an internal error.")),
        );
        return;
    }
    const answer = this.#execute(request, target, raw, operation);
    if (fault?.kind === "lost") {
      reset(request.socket);
    } else if (fault?.kind === "lost-error") {
      throw new S3Error(
        fault.status ?? 500,
        fault.code ?? "InternalError",
        "We encountered an internal error.",
      );
    } else {
      await this.#send(response, answer, { kind: fault?.kind, throttle, isHead: request.method === "HEAD" });
    }
  }

  /**
   * @param {import("node:http").IncomingMessage} request
   * @param {Target} target
   * @param {Buffer[]} raw
   * @param {string} operation
   * @returns {Answer}
   */
  #execute(request, target, raw, operation) {
    const now = Date.now() + this.clockSkewMs;
    const { region } = this;
    const find = (/** @type {string} */ id) => this.credentials.get(id);
    const signed = verifySignature(request, target, { region, now, find });
    const isPublic = this.buckets.get(target.bucket)?.public === true;
    const allowed =
      signed === undefined ? isPublic : (signed.credentials.allows?.(operation, toText(target.key)) ?? true);
    if (!allowed) throw new S3Error(403, "AccessDenied", "Access Denied");
    const body = decodeBody(request, raw, signed, this);
    return this.#run(request, target, body, operation);
  }

  /**
   * @param {import("node:http").IncomingMessage} request
   * @param {Target} target
   * @param {import("./body.mjs").Body} body
   * @param {string} operation
   * @returns {Answer}
   */
  #run(request, target, body, operation) {
    if (operation === "ListBuckets") return listBuckets(this.buckets.keys());
    const bucket = this.buckets.get(target.bucket);
    if (operation === "CreateBucket") {
      if (bucket !== undefined) throw new S3Error(409, "BucketAlreadyOwnedByYou", "You already own it.");
      this.createBucket(target.bucket);
      return {};
    }
    if (bucket === undefined) {
      throw new S3Error(404, "NoSuchBucket", "The specified bucket does not exist", {
        BucketName: target.bucket,
      });
    }
    if (operation === "DeleteBucket") {
      if (bucket.size > 0)
        throw new S3Error(409, "BucketNotEmpty", "The bucket you tried to delete is not empty");
      this.buckets.delete(target.bucket);
      return { status: 204 };
    }
    const handler = HANDLERS[operation];
    if (handler === undefined) throw new S3Error(501, "NotImplemented", "This request is not implemented.");
    const { features, limits, buckets } = this;
    const { key, query } = target;
    const answer = handler({ features, limits, buckets, bucket, key, query, headers: request.headers, body });
    if (operation === "HeadBucket") answer.headers = { "x-amz-bucket-region": this.region };
    return answer;
  }

  /**
   * @param {import("node:http").ServerResponse} response
   * @param {Answer} answer
   * @param {{kind: import("./faults.mjs").FaultKind | undefined, throttle: Throttle, isHead: boolean}} how
   */
  async #send(response, { status = 200, headers = {}, body, length }, { kind, throttle, isHead }) {
    const chunks = typeof body === "string" ? [Buffer.from(body)] : (body ?? []);
    const size = typeof body === "string" ? Buffer.byteLength(body) : (length ?? 0);
    this.#setCommonHeaders(response);
    if (typeof body === "string") response.setHeader("content-type", "application/xml");
    if (status !== 204 && status !== 304) response.setHeader("content-length", size);
    response.writeHead(status, headers);
    if (isHead || status === 304) {
      response.end();
      return;
    }
    this.counts.bytesOut += size;
    const sent = kind === "cut" || kind === "stall" ? firstHalf(chunks, size) : chunks;
    const last = kind === "corrupt" ? corrupted(sent) : sent;
    const complete = await writeBody(response, last, throttle, this.bytesPerSecond);
    if (kind === "cut") response.socket?.destroy();
    else if (kind !== "stall" && complete) response.end();
  }

  /** @param {import("node:http").ServerResponse} response */
  #setCommonHeaders(response) {
    response.setHeader("server", "FakeS3");
    response.setHeader("x-amz-request-id", String(++this.#requestNumber).padStart(16, "0"));
    response.setHeader("date", new Date(Date.now() + this.clockSkewMs).toUTCString());
  }

  /**
   * @param {import("node:http").IncomingMessage} request
   * @param {import("node:http").ServerResponse} response
   * @param {unknown} error
   */
  #fail(request, response, error) {
    const known = error instanceof S3Error ? error : new S3Error(500, "InternalError", String(error));
    if (!(error instanceof S3Error))
      process.stderr.write(`fake S3: ${error instanceof Error ? error.stack : error}\n`);
    if (response.headersSent) {
      request.socket.destroy();
      return;
    }
    this.#setCommonHeaders(response);
    response.setHeader("x-amz-bucket-region", this.region);
    response.statusCode = known.status;
    if (request.method === "HEAD") {
      response.end();
      return;
    }
    response.setHeader("content-type", "application/xml");
    response.end(errorDocument(known));
  }
}

/** @param {S3Error} error */
function errorDocument({ code, message, details }) {
  const more = Object.entries(details).map(([name, value]) => element(name, value));
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error>${element("Code", code)}${element("Message", message)}${more.join("")}<RequestId>1</RequestId></Error>`;
}

/** @param {Iterable<Buffer>} chunks @param {number} size */
function* firstHalf(chunks, size) {
  let left = Math.floor(size / 2);
  for (const chunk of chunks) {
    yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) return;
  }
}

/** @param {Iterable<Buffer>} chunks */
function* corrupted(chunks) {
  let first = true;
  for (const chunk of chunks) {
    const copy = Buffer.from(chunk);
    if (first && copy.length > 0) copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 0x10;
    first = false;
    yield copy;
  }
}

/**
 * Starts a server on loopback.
 *
 * @param {FakeS3Options} [options]
 * @returns {Promise<FakeS3>}
 */
export async function startFakeS3(options = {}) {
  const server = new FakeS3(options);
  await server.listen(options.port ?? 0);
  return server;
}
