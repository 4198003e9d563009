import { describe, expect, it } from "vitest";
import { PartBuffers } from "../../../backends/s3/store/part-buffers.js";

const MIB = 2 ** 20;

/** Where its memory is. */
function place(buffers: PartBuffers, length: number): Promise<ArrayBufferLike> {
  return buffers.run(length, async (bytes) => {
    expect(bytes).toHaveLength(length);
    return bytes.buffer;
  });
}

describe("buffers for parts", () => {
  it("are used again for what is about as long", async () => {
    const buffers = new PartBuffers();
    const first = await place(buffers, MIB + 5);
    expect(await place(buffers, 2 * MIB)).toBe(first);
    expect(await place(buffers, MIB)).not.toBe(first);
  });

  it("belong to one part at a time, and come back after a failure", async () => {
    const buffers = new PartBuffers();
    let other: ArrayBufferLike | undefined;
    let mine: ArrayBufferLike | undefined;
    const failing = buffers.run(MIB, async (bytes) => {
      mine = bytes.buffer;
      other = await place(buffers, MIB);
      throw new Error("lost");
    });
    await expect(failing).rejects.toThrow("lost");
    expect(mine).not.toBe(other);
    const again = await place(buffers, MIB);
    expect([mine, other]).toContain(again);
  });

  it("of which there are many are not kept", async () => {
    const buffers = new PartBuffers();
    const first = await place(buffers, 33 * MIB);
    expect(await place(buffers, 33 * MIB)).not.toBe(first);
  });
});
