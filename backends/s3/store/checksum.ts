import type { IncomingHttpHeaders } from "node:http";
import { crc32 } from "node:zlib";
import { crc32c, crc64nvme } from "../../../src/native/checksum.js";
import { headerText } from "./attributes.js";

/** The header of the checksum that this gateway sends. */
export const CHECKSUM_HEADER = "x-amz-checksum-crc32c";
export const CHECKSUM_ALGORITHM = "CRC32C";

function base64Of32(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes.toString("base64");
}

/** Of data in one piece, as the header has it. */
export function checksumOf(bytes: Uint8Array): string {
  return base64Of32(crc32c(bytes, 0));
}

/** A checksum of data that comes in pieces. */
export interface RunningChecksum {
  update(bytes: Uint8Array): void;
  matches(): boolean;
}

class Running<State> implements RunningChecksum {
  constructor(
    private state: State,
    private readonly step: (bytes: Uint8Array, before: State) => State,
    private readonly format: (state: State) => string,
    private readonly expected: string,
  ) {}
  update(bytes: Uint8Array): void {
    this.state = this.step(bytes, this.state);
  }
  matches(): boolean {
    return this.format(this.state) === this.expected;
  }
}

function base64Of64(value: bigint): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes.toString("base64");
}

/**
 * The check of a whole object's bytes that a reply allows: against its CRC of whatever kind. Undefined where it has
 * none, or one of its parts' checksums ("…-3") only.
 */
export function checkOf(headers: IncomingHttpHeaders): RunningChecksum | undefined {
  if (headerText(headers, "x-amz-checksum-type") === "COMPOSITE") return undefined;
  const find = (kind: string) => {
    const value = headerText(headers, `x-amz-checksum-${kind}`);
    return value?.includes("-") === true ? undefined : value;
  };
  const [sum32c, sum64, sum32] = [find("crc32c"), find("crc64nvme"), find("crc32")];
  if (sum32c !== undefined) return new Running(0, crc32c, base64Of32, sum32c);
  if (sum64 !== undefined) return new Running(0n, crc64nvme, base64Of64, sum64);
  if (sum32 !== undefined) return new Running(0, crc32, base64Of32, sum32);
  return undefined;
}
