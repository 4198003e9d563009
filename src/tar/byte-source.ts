/** Bytes that come in chunks, taken in the pieces that a format has. */
export class ByteSource {
  readonly #chunks: AsyncIterator<Buffer>;
  #current: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** Between 1 and `limit` bytes, valid until the next call; none at the end. */
  async some(limit: number): Promise<Buffer> {
    while (this.#current.length === 0) {
      const { done, value } = await this.#chunks.next();
      if (done === true) {
        return this.#current;
      }
      this.#current = value as Buffer;
    }
    const piece = this.#current.subarray(0, limit);
    this.#current = this.#current.subarray(piece.length);
    return piece;
  }

  /** The next `count` bytes; fewer at the end. */
  async take(count: number): Promise<Buffer> {
    if (this.#current.length >= count) {
      const piece = this.#current.subarray(0, count);
      this.#current = this.#current.subarray(count);
      return piece;
    }
    const pieces: Buffer[] = [];
    for (let missing = count; missing > 0; ) {
      const piece = await this.some(missing);
      if (piece.length === 0) {
        break;
      }
      pieces.push(piece);
      missing -= piece.length;
    }
    return Buffer.concat(pieces);
  }

  /** Gives up what feeds it. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}
