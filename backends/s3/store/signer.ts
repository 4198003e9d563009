import { createHmac, hash } from "node:crypto";

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** What is signed. Headers are pairs in one array, names in lower case; signing adds its own. */
export interface SignedRequest {
  readonly method: string;
  /** Percent-encoded. */
  readonly path: string;
  /** Encoded and sorted, without the question mark. */
  readonly query: string;
  readonly headers: string[];
  /** SHA-256 of the body in hex, or a keyword such as UNSIGNED-PAYLOAD. */
  readonly payload: string;
}

const ALGORITHM = "AWS4-HMAC-SHA256";

// Header values are bytes as latin1, as they go over the wire.
function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac("sha256", key).update(text, "latin1").digest();
}

function sha256(text: string): string {
  return hash("sha256", Buffer.from(text, "latin1"), "hex");
}

/** "20260102T030405Z" */
function formatDate(nowMs: number): string {
  return new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, "");
}

/** Signature version 4 for one region. The key of a day is derived once. */
export class Signer {
  #date = "";
  #dateSecond = -1;
  #key: Buffer = Buffer.alloc(0);
  #keyDay = "";
  #keySecret = "";

  constructor(
    readonly region: string,
    readonly service = "s3",
  ) {}

  /** Adds the date, the payload's hash, the session token and the signature over all headers. */
  sign(request: SignedRequest, credentials: Credentials, nowMs: number): void {
    const { headers } = request;
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#dateSecond) {
      this.#dateSecond = second;
      this.#date = formatDate(nowMs);
    }
    const date = this.#date;
    headers.push("x-amz-date", date, "x-amz-content-sha256", request.payload);
    if (credentials.sessionToken !== undefined) {
      headers.push("x-amz-security-token", credentials.sessionToken);
    }
    const scope = `${date.slice(0, 8)}/${this.region}/${this.service}/aws4_request`;
    const { canonical, names } = canonicalize(request);
    const text = `${ALGORITHM}\n${date}\n${scope}\n${sha256(canonical)}`;
    const signature = hmac(this.#deriveKey(credentials, date.slice(0, 8)), text).toString("hex");
    const credential = `${credentials.accessKeyId}/${scope}`;
    headers.push(
      "authorization",
      `${ALGORITHM} Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`,
    );
  }

  #deriveKey({ secretAccessKey }: Credentials, day: string): Buffer {
    if (day !== this.#keyDay || secretAccessKey !== this.#keySecret) {
      const dayKey = hmac(`AWS4${secretAccessKey}`, day);
      this.#key = hmac(hmac(hmac(dayKey, this.region), this.service), "aws4_request");
      this.#keyDay = day;
      this.#keySecret = secretAccessKey;
    }
    return this.#key;
  }
}

function canonicalize(request: SignedRequest): { canonical: string; names: string } {
  const { method, path, query, headers, payload } = request;
  const pairs: [string, string][] = [];
  for (let at = 0; at < headers.length; at += 2) pairs.push([headers[at] ?? "", headers[at + 1] ?? ""]);
  pairs.sort(([a], [b]) => (a < b ? -1 : 1));
  const names = pairs.map(([name]) => name).join(";");
  const lines = pairs.map(([name, value]) => `${name}:${value.trim().replace(/ +/g, " ")}\n`).join("");
  return { canonical: `${method}\n${path}\n${query}\n${lines}\n${names}\n${payload}`, names };
}
