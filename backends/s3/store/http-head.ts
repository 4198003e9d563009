import type { IncomingHttpHeaders } from "node:http";

/** What a reply begins with. */
export interface ReplyHead {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The connection can be used again. */
  readonly keepsAlive: boolean;
}

const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: |$)/;
/** A token of RFC 9110. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const BREAKS = /[\r\n\0]/;

/** The head of a request, as latin1; `bodyBytes` where there is a body. Throws where a header would break out of its line. */
export function formatRequest(
  method: string,
  path: string,
  headers: readonly string[],
  bodyBytes?: number,
): string {
  let head = `${method} ${path} HTTP/1.1\r\n`;
  for (let at = 0; at < headers.length; at += 2) {
    const [name, value] = [headers[at] as string, headers[at + 1] as string];
    if (BREAKS.test(value)) throw new Error(`the value of ${name} has a line break`);
    head += `${name}: ${value}\r\n`;
  }
  return bodyBytes === undefined ? `${head}\r\n` : `${head}content-length: ${bodyBytes}\r\n\r\n`;
}

/** Takes the head of a reply apart, without the empty line at its end. Values stay latin1. Throws where it is none of HTTP/1. */
export function parseReplyHead(text: string): ReplyHead {
  const lines = text.split("\r\n");
  const [, minor, status] = STATUS_LINE.exec(lines[0] ?? "") ?? [];
  if (status === undefined) throw new Error("the reply is not HTTP/1.1");
  // Names are the server's: none of them reaches a prototype.
  const headers: IncomingHttpHeaders = Object.create(null);
  for (let index = 1; index < lines.length; index++) {
    const line = lines[index] as string;
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon)).toLowerCase();
    if (!NAME.test(name) || BREAKS.test(line)) throw new Error("the reply has a header that is none");
    const value = line.slice(colon + 1).trim();
    const before = headers[name];
    headers[name] = before === undefined ? value : [before, value].flat();
  }
  const connection = headers.connection?.toString().toLowerCase();
  const keepsAlive = connection === undefined ? minor === "1" : connection.includes("keep-alive");
  return { status: Number(status), headers, keepsAlive };
}

/**
 * Bytes of the body that comes behind a head, or "chunked"; undefined where only the connection's end will tell. Throws
 * on nonsense.
 */
export function bodyLength(method: string, { status, headers }: ReplyHead): number | "chunked" | undefined {
  if (method === "HEAD" || status === 204 || status === 304) return 0;
  const length = headers["content-length"];
  const coding = headers["transfer-encoding"];
  if (coding !== undefined) return coding.toLowerCase() === "chunked" ? "chunked" : undefined;
  if (length === undefined) return undefined;
  if (!/^\d{1,15}$/.test(length)) throw new Error(`the reply says that it has ${length} bytes`);
  return Number(length);
}
