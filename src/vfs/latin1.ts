declare global {
  // Node's own fast paths below buffer.toString("latin1") and buffer.write(…, "latin1").
  interface Buffer {
    latin1Slice(start: number, end: number): string;
    latin1Write(text: string, offset: number): number;
  }
}

/** Reads bytes [start, end) as a string with one char per byte: how names travel in this server. */
export function readLatin1(bytes: Buffer, start: number, end: number): string {
  return bytes.latin1Slice(start, end);
}

/** Writes a latin1 string at byte `offset`; returns the count of bytes. */
export function writeLatin1(bytes: Buffer, text: string, offset: number): number {
  return bytes.latin1Write(text, offset);
}
