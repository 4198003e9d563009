import { addon } from "./addon.js";
import { trustedCertificates } from "./trusted-certificates.js";

interface HttpConnectionBinding {
  /** Undefined where the addon was built without TLS. */
  createTls(trusted: string, host: string, verifies: boolean): object | undefined;
  create(tls: object | undefined): object;
  /** The head of the reply as latin1, or an errno. */
  exchange(
    connection: object,
    address: string,
    port: number,
    request: string,
    body: Uint8Array | undefined,
    timeoutMs: number,
  ): Promise<string | number>;
  wasSent(connection: object): boolean;
  tlsFailure(connection: object): string;
  /** 0, an errno of the connection, or -errno of the file. */
  receiveToFile(
    connection: object,
    fd: number,
    position: number,
    length: number,
    blockBytes: number,
    progress: Uint32Array,
    count: number,
    timeoutMs: number,
  ): Promise<number>;
  receive(connection: object, into: Uint8Array, timeoutMs: number): Promise<number>;
  receiveChunked(connection: object, most: number, timeoutMs: number): Promise<string | number>;
  close(connection: object): void;
}

const binding = (addon as { httpConnection: HttpConnectionBinding }).httpConnection;

/**
 * A range of a file that is filled from its beginning on. Leave `fd` open and `progress` alone while it is being
 * filled.
 */
export interface FileRange {
  readonly fd: number;
  /** Of its first byte in the file. */
  readonly position: number;
  /** Below 2^32. */
  readonly length: number;
  readonly blockBytes: number;
  /** Bytes that are there, then the CRC-32C of what is there of each block. */
  readonly progress: Uint32Array;
}

/** A range where nothing is yet. */
export function emptyRange(fd: number, position: number, length: number, blockBytes: number): FileRange {
  const progress = new Uint32Array(1 + Math.ceil(length / blockBytes));
  return { fd, position, length, blockBytes, progress };
}

export interface TlsOptions {
  /** Name or address that the server has to prove to be. */
  readonly host: string;
  /** Certificates of the authorities that are trusted, as PEM. Default: those that Node trusts. */
  readonly ca: string | undefined;
  /** False takes every certificate. */
  readonly verifies: boolean;
}

/** What the TLS connections to one server have in common: whom they trust, and the session that they go on with. */
export class TlsClient {
  readonly native: object;

  private constructor(native: object) {
    this.native = native;
  }

  /**
   * Undefined where native code cannot do what Node does: the addon was built without OpenSSL's headers, Node has another
   * library, or does not say whom it trusts.
   */
  static create({ host, ca, verifies }: TlsOptions): TlsClient | undefined {
    if (process.versions.openssl?.startsWith("3.") !== true) return undefined;
    const trusted = ca ?? trustedCertificates();
    const native = trusted === undefined ? undefined : binding.createTls(trusted, host, verifies);
    return native === undefined ? undefined : new TlsClient(native);
  }
}

/**
 * A connection to an HTTP server. Threads of its own wait for it, send bodies and move others into files. One call at a time;
 * `timeoutMs` is for each step that waits, such as the next piece of a body. Errors are errno numbers.
 */
export class HttpConnection {
  readonly #native: object;

  /** Without `tls` there is none. */
  constructor(tls?: TlsClient) {
    this.#native = binding.create(tls?.native);
  }

  /**
   * Sends a request (as latin1) with its body and waits for the head of its reply. It connects first unless there is a
   * connection that the other side has not ended. Leave `body` alone meanwhile; less of it is sent to a server that answers
   * before it has all. @returns the head without its empty line, as latin1, or an errno
   */
  exchange(
    address: string,
    port: number,
    request: string,
    timeoutMs: number,
    body?: Uint8Array,
  ): Promise<string | number> {
    return binding.exchange(this.#native, address, port, request, body, timeoutMs);
  }

  /** Whether the last exchange came as far as sending anything. */
  get wasSent(): boolean {
    return binding.wasSent(this.#native);
  }

  /**
   * What was wrong with TLS, in one line, where an exchange ended with EPROTO before the request was sent; else empty.
   * Another attempt would end so, too.
   */
  get tlsFailure(): string {
    return binding.tlsFailure(this.#native);
  }

  /**
   * Receives `count` bytes of the body into a range, behind what is there; what came before an error is there, too.
   * @returns 0, an errno of the connection, or -errno of the file
   */
  receiveToFile(range: FileRange, count: number, timeoutMs: number): Promise<number> {
    const { fd, position, length, blockBytes, progress } = range;
    return binding.receiveToFile(this.#native, fd, position, length, blockBytes, progress, count, timeoutMs);
  }

  /** Receives so many bytes of the body as `into` has. @returns 0 or an errno */
  receive(into: Uint8Array, timeoutMs: number): Promise<number> {
    return binding.receive(this.#native, into, timeoutMs);
  }

  /** Receives a body in chunks, of no more than `most` bytes. @returns the body as latin1, or an errno */
  receiveChunked(most: number, timeoutMs: number): Promise<string | number> {
    return binding.receiveChunked(this.#native, most, timeoutMs);
  }

  /** Ends whatever waits with ECANCELED; its promise settles when nothing is touched any more. */
  close(): void {
    binding.close(this.#native);
  }
}
