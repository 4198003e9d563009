import { checked, errnoName, native } from "./native.js";
import { encodeHeader, encodeU64, FLAG_NEED_REPLY, FLAG_REPLY, HEADER_BYTES, VERSION } from "./vhost-user.js";

/** A message as it came from the server. */
export interface Message {
  readonly request: number;
  readonly flags: number;
  readonly payload: Buffer;
}

/** The server closed the connection where a message was expected. */
export class ConnectionClosed extends Error {
  override readonly name = "ConnectionClosed";
}

const NO_PAYLOAD = Buffer.alloc(0);

/** One vhost-user connection: whole messages, or raw bytes for tests of malformed ones. */
export class Channel {
  readonly fd: number;
  readonly timeoutMs: number;
  #open = true;

  constructor(socketPath: string, timeoutMs: number) {
    this.fd = checked(native.connectUnix(socketPath), `connect ${socketPath}`);
    this.timeoutMs = timeoutMs;
  }

  /** Sends one message; `flags` is added to the version. */
  send(request: number, payload: Buffer = NO_PAYLOAD, fds: readonly number[] = [], flags = 0): void {
    this.sendRaw(Buffer.concat([encodeHeader(request, VERSION | flags, payload.length), payload]), fds);
  }

  /** Sends bytes as they are, for example half a header. */
  sendRaw(bytes: Buffer, fds: readonly number[] = []): void {
    const sent = native.send(this.fd, bytes, fds);
    if (errnoName(sent) === "EPIPE" && sent < 0) throw new ConnectionClosed("send: EPIPE");
    if (checked(sent, "send") !== bytes.length) throw new Error(`sent ${sent} bytes only`);
  }

  /** Receives the next message, whatever it is. */
  receive(timeoutMs = this.timeoutMs): Message {
    const header = this.#read(HEADER_BYTES, timeoutMs);
    const payload = this.#read(header.readUInt32LE(8), timeoutMs);
    return { request: header.readUInt32LE(0), flags: header.readUInt32LE(4), payload };
  }

  /** Sends a message that has a reply of its own and returns the reply's payload. */
  query(request: number, payload: Buffer = NO_PAYLOAD, fds: readonly number[] = []): Buffer {
    this.send(request, payload, fds);
    return this.#reply(request);
  }

  queryU64(request: number, payload: Buffer = NO_PAYLOAD): bigint {
    return this.query(request, payload).readBigUInt64LE();
  }

  /** Sends a message with need_reply and returns the acknowledgement: 0 for success. */
  acknowledge(request: number, payload: Buffer = NO_PAYLOAD, fds: readonly number[] = []): bigint {
    this.send(request, payload, fds, FLAG_NEED_REPLY);
    const reply = this.#reply(request);
    if (reply.length !== 8) throw new Error(`acknowledgement of ${reply.length} bytes`);
    return reply.readBigUInt64LE();
  }

  sendU64(request: number, value: bigint): void {
    this.send(request, encodeU64(value));
  }

  /** Whether the server has closed the connection, waiting up to `timeoutMs` for that. */
  waitClosed(timeoutMs = this.timeoutMs): boolean {
    const scratch = Buffer.alloc(4096);
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const left = Math.max(0, deadline - Date.now());
      const got = this.#receiveSome(scratch, 0, scratch.length, left);
      if (got === 0) return true;
      if (got < 0) return false;
    }
  }

  close(): void {
    if (this.#open) native.closeDescriptor(this.fd);
    this.#open = false;
  }

  #reply(request: number): Buffer {
    const { request: answered, flags, payload } = this.receive();
    if (answered !== request || (flags & FLAG_REPLY) === 0 || (flags & 3) !== VERSION) {
      throw new Error(`message ${answered} with flags ${flags} is no reply to ${request}`);
    }
    return payload;
  }

  #read(sizeBytes: number, timeoutMs: number): Buffer {
    if (sizeBytes > 65536) throw new Error(`message of ${sizeBytes} bytes`);
    const bytes = Buffer.alloc(sizeBytes);
    for (let have = 0; have < sizeBytes; ) {
      const got = this.#receiveSome(bytes, have, sizeBytes, timeoutMs);
      if (got === 0) throw new ConnectionClosed("the server closed the connection");
      have += checked(got, "receive");
    }
    return bytes;
  }

  /** Bytes received, 0 when the connection is gone, or a negative errno. */
  #receiveSome(into: Buffer, start: number, end: number, timeoutMs: number): number {
    const descriptors: number[] = [];
    const got = native.receive(this.fd, into, start, end, timeoutMs, descriptors);
    for (const fd of descriptors) native.closeDescriptor(fd);
    return got < 0 && errnoName(got) === "ECONNRESET" ? 0 : got;
  }
}
