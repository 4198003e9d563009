import { addon } from "./addon.js";

interface HttpConnectionBinding {
  create(): object;
  /** The head of the reply as latin1, or an errno. */
  exchange(
    connection: object,
    address: string,
    port: number,
    request: string,
    timeoutMs: number,
  ): Promise<string | number>;
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

/**
 * A TCP connection to an HTTP server. Threads of its own wait for it and move bodies into files. One call at a time;
 * `timeoutMs` is for each step that waits, such as the next piece of a body. Errors are errno numbers.
 */
export class HttpConnection {
  readonly #native = binding.create();

  /**
   * Sends a request (as latin1) and waits for the head of its reply. It connects first unless there is a connection
   * that the other side has not ended. @returns the head without its empty line, as latin1, or an errno
   */
  exchange(address: string, port: number, request: string, timeoutMs: number): Promise<string | number> {
    return binding.exchange(this.#native, address, port, request, timeoutMs);
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

  /** Ends whatever waits with ECANCELED; its promise settles when nothing is touched any more. */
  close(): void {
    binding.close(this.#native);
  }
}
