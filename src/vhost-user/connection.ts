import { getSystemErrorName as errnoName } from "node:util";
import { closeDescriptor, receive, send, watch } from "../native/socket.js";
import { EAGAIN, EINTR } from "../vfs/errno.js";
import { GatewayError } from "../vfs/gateway-error.js";
import { decodeHeader, HEADER_BYTES, type Message, requestName } from "./messages.js";

/** Most descriptors one message may carry: a memory table of eight regions. */
const MAX_DESCRIPTORS = 8;

/** Handles a message; a promise holds the next message back until it settles. */
export type MessageHandler = (message: Message) => void | Promise<void>;

/**
 * The stream of messages on a vhost-user socket: assembles each from whatever pieces arrive and hands it,
 * with its descriptors, to the handler, one at a time.
 */
export class Connection {
  readonly #fd: number;
  readonly #scratch = new Int32Array(1 + MAX_DESCRIPTORS);
  #stopWatching: (() => void) | undefined;
  #handler: MessageHandler = () => {};
  #settle: { resolve: () => void; reject: (error: Error) => void } | undefined;
  #buffer = Buffer.alloc(HEADER_BYTES);
  #filled = 0;
  #header: { request: number; needReply: boolean; size: number } | undefined;
  #descriptors: number[] = [];
  #handling = false;

  /** @param fd a connected socket; the connection takes it over */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Handles messages until the front-end closes the connection.
   * @throws GatewayError "protocol" when what arrives is no message, or breaks off inside one
   */
  run(handler: MessageHandler): Promise<void> {
    this.#handler = handler;
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      const stop = watch(this.#fd, () => this.#onReadable());
      if (typeof stop === "number") {
        this.#end(new GatewayError("environment", `cannot wait for the front-end: ${errnoName(-stop)}`));
      } else {
        this.#stopWatching = stop;
      }
    });
  }

  /** Sends a message. */
  send(bytes: Buffer): void {
    const sent = send(this.#fd, bytes);
    if (sent < 0) {
      this.#end(new GatewayError("protocol", `the front-end does not take replies: ${errnoName(sent)}`));
    }
  }

  /** Ends {@link run} with an error. */
  fail(error: GatewayError): void {
    this.#end(error);
  }

  #onReadable(): void {
    try {
      while (!this.#handling && this.#settle !== undefined && this.#receiveMore()) {
        this.#takeMessage();
      }
    } catch (error) {
      this.#end(error as Error);
    }
  }

  /** Receives into the current piece. True when it is complete. */
  #receiveMore(): boolean {
    const piece = this.#buffer.subarray(this.#filled);
    if (piece.length === 0) {
      return true;
    }
    const count = receive(this.#fd, piece, this.#scratch);
    if (count === -EAGAIN || count === -EINTR) {
      return false;
    }
    if (count <= 0) {
      this.#end(this.#brokenOff(count));
      return false;
    }
    this.#takeDescriptors();
    this.#filled += count;
    return this.#filled === this.#buffer.length;
  }

  #takeDescriptors(): void {
    const count = this.#scratch[0] as number;
    this.#descriptors.push(...this.#scratch.subarray(1, 1 + Math.max(count, 0)));
    if (count < 0 || this.#descriptors.length > MAX_DESCRIPTORS) {
      throw new GatewayError(
        "protocol",
        `expected at most ${MAX_DESCRIPTORS} descriptors in a message, got more`,
      );
    }
  }

  /** The piece is complete: a header calls for its payload, a payload makes a message. */
  #takeMessage(): void {
    if (this.#header === undefined) {
      const header = decodeHeader(this.#buffer);
      if (typeof header === "string") {
        throw new GatewayError("protocol", `front-end: ${header}`);
      }
      this.#header = header;
      this.#buffer = Buffer.alloc(header.size);
      this.#filled = 0;
      if (header.size > 0) {
        return;
      }
    }
    const { request, needReply } = this.#header;
    const message = { request, needReply, payload: this.#buffer, descriptors: this.#descriptors };
    this.#header = undefined;
    this.#buffer = Buffer.alloc(HEADER_BYTES);
    this.#filled = 0;
    this.#descriptors = [];
    this.#handle(message);
  }

  #handle(message: Message): void {
    const handled = this.#handler(message);
    if (!(handled instanceof Promise)) {
      return;
    }
    this.#handling = true;
    // What arrives meanwhile stays in the socket.
    handled.then(
      () => {
        this.#handling = false;
        this.#onReadable();
      },
      (error: Error) => this.#end(error),
    );
  }

  #brokenOff(count: number): GatewayError | undefined {
    const inside = this.#header !== undefined || this.#filled > 0;
    if (!inside) {
      // A front-end that is killed resets the connection: that is a disconnect, too.
      return undefined;
    }
    const where = this.#header === undefined ? "a header" : requestName(this.#header.request);
    const reason = count === 0 ? "closed the connection" : errnoName(count);
    return new GatewayError(
      "protocol",
      `front-end: ${reason} in the middle of ${where}: got ${this.#filled} of ${this.#buffer.length} bytes`,
    );
  }

  #end(error: Error | undefined): void {
    const settle = this.#settle;
    if (settle === undefined) {
      return;
    }
    this.#settle = undefined;
    this.#stopWatching?.();
    for (const fd of this.#descriptors) {
      closeDescriptor(fd);
    }
    closeDescriptor(this.#fd);
    if (error === undefined) {
      settle.resolve();
    } else {
      settle.reject(error);
    }
  }
}
