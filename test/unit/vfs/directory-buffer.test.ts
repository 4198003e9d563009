import fc from "fast-check";
import { expect, test } from "vitest";
import { ATTR_WORDS, Attr } from "../../../src/vfs/attributes.js";
import { DIRENT_HEADER_BYTES, DirectoryBuffer, ENTRY_BYTES } from "../../../src/vfs/directory-buffer.js";
import { VfsNode } from "../../../src/vfs/node.js";

class Node extends VfsNode {}

function createBuffer(capacity: number, plus: boolean) {
  const referenced: VfsNode[] = [];
  const buffer = new DirectoryBuffer(1 << 16, {
    referenceEntry: (node, words, word) => {
      referenced.push(node);
      words[word] = 42;
    },
  });
  buffer.begin(plus, 0, 0, capacity);
  return { buffer, referenced };
}

test("entries have the kernel's layout, whatever their names", () => {
  const entry = fc.record({
    name: fc
      .uint8Array({ minLength: 1, maxLength: 255 })
      .map((bytes) => Buffer.from(bytes).toString("latin1")),
    offset: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    type: fc.nat(15),
  });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 20 }), fc.boolean(), (entries, plus) => {
      const { buffer } = createBuffer(1 << 16, plus);
      for (const { name, offset, type } of entries) {
        expect(buffer.add(name, 7, 1, type, offset)).toBe(true);
      }
      let at = 0;
      for (const { name, offset, type } of entries) {
        const head = at + (plus ? ENTRY_BYTES : 0);
        expect(buffer.bytes.readBigUInt64LE(head)).toBe((1n << 32n) + 7n);
        expect(buffer.bytes.readBigUInt64LE(head + 8)).toBe(BigInt(offset));
        expect(buffer.bytes.readUInt32LE(head + 16)).toBe(name.length);
        expect(buffer.bytes.readUInt32LE(head + 20)).toBe(type);
        const start = head + DIRENT_HEADER_BYTES;
        expect(buffer.bytes.toString("latin1", start, start + name.length)).toBe(name);
        at = (start + name.length + 7) & ~7;
      }
      expect(buffer.length).toBe(at);
    }),
  );
});

test("an entry that does not fit is neither added nor referenced", () => {
  const node = new Node();
  const attr = new Uint32Array(ATTR_WORDS);
  attr[Attr.MODE] = 0o100644;
  const size = ENTRY_BYTES + DIRENT_HEADER_BYTES + 8;
  const { buffer, referenced } = createBuffer(2 * size - 1, true);
  expect(buffer.add("name", 1, 0, 8, 1, node, attr)).toBe(true);
  expect(buffer.add("name", 1, 0, 8, 2, node, attr)).toBe(false);
  expect(referenced).toEqual([node]);
  expect(buffer.length).toBe(size);
  expect(buffer.full).toBe(true);
  expect(buffer.words[0]).toBe(42);
  expect(buffer.words[10 + Attr.MODE]).toBe(0o100644);
});

test("begin makes a used buffer empty and clips its capacity", () => {
  const { buffer } = createBuffer(1 << 20, false);
  expect(buffer.capacity).toBe(1 << 16);
  buffer.add("x", 1, 0, 8, 1);
  buffer.begin(false, 5, 1, 100);
  expect([buffer.length, buffer.capacity, buffer.full]).toEqual([0, 100, false]);
  expect(buffer.offset).toBe(2 ** 32 + 5);
});
