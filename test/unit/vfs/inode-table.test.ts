import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InodeTable, ROOT_NODE_ID } from "../../../src/vfs/inode-table.js";
import { VfsNode } from "../../../src/vfs/node.js";

class Node extends VfsNode {}

function createTable() {
  const released: VfsNode[] = [];
  const root = new Node();
  const table = new InodeTable(root, (node) => released.push(node));
  return { table, root, released };
}

describe("InodeTable", () => {
  test("gives the root node id 1 and never lets it go", () => {
    const { table, root, released } = createTable();
    expect(root.tableIndex).toBe(ROOT_NODE_ID);
    expect(table.forget(1, 0, 1e9)).toBe(true);
    expect(table.get(1, 0)).toBe(root);
    expect(released).toEqual([]);
  });

  test("releases a node when as many lookups were forgotten as were given", () => {
    const { table, released } = createTable();
    const node = new Node();
    const low = table.reference(node);
    expect(table.reference(node)).toBe(low);
    table.forget(low, 0, 1);
    expect(released).toEqual([]);
    table.forget(low, 0, 1);
    expect(released).toEqual([node]);
    expect(node.tableIndex).toBe(-1);
    expect(table.get(low, 0)).toBeUndefined();
  });

  test("an id of a forgotten node never names the node that takes its place", () => {
    const { table } = createTable();
    const first = new Node();
    const low = table.reference(first);
    table.forget(low, 0, 1);
    const second = new Node();
    expect(table.reference(second)).toBe(low);
    expect(table.get(low, 0)).toBeUndefined();
    expect(table.get(low, 1)).toBe(second);
    expect(table.forget(low, 0, 1)).toBe(false);
  });

  test("a pin keeps a node that the guest forgot", () => {
    const { table, released } = createTable();
    const node = new Node();
    const low = table.reference(node);
    table.pin(node);
    table.forget(low, 0, 5);
    expect(released).toEqual([]);
    table.unpin(node);
    expect(released).toEqual([node]);
  });

  test("clear releases everything but the root, and later references fail", () => {
    const { table, released } = createTable();
    const nodes = [new Node(), new Node()];
    for (const node of nodes) {
      table.reference(node);
    }
    table.clear();
    expect(released).toEqual(nodes);
    expect(table.reference(new Node())).toBe(-1);
    expect(table.get(1, 0)).toBeUndefined();
  });

  test.each([
    [0, 0],
    [1, 1],
    [2, 0],
    [0xffff_ffff, 0xffff_ffff],
  ])("knows no node %i.%i that it did not give", (low, high) => {
    const { table } = createTable();
    expect(table.get(low, high)).toBeUndefined();
    expect(table.forget(low, high, 1)).toBe(false);
  });

  test("agrees with plain counting under random operations", () => {
    const step = fc.record({
      node: fc.nat(5),
      kind: fc.constantFrom("reference", "forget"),
      count: fc.integer({ min: 1, max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { table } = createTable();
        const nodes = Array.from({ length: 6 }, () => new Node());
        const counts = nodes.map(() => 0);
        for (const { node: index, kind, count } of steps) {
          const node = nodes[index] as Node;
          if (kind === "reference") {
            table.reference(node);
            counts[index] = (counts[index] as number) + 1;
          } else if (node.tableIndex >= 0) {
            table.forget(node.tableIndex, table.generationOf(node), count);
            counts[index] = Math.max(0, (counts[index] as number) - count);
          }
          nodes.forEach((each, i) => {
            expect(each.tableIndex >= 0).toBe((counts[i] as number) > 0);
          });
          expect(table.size).toBe(1 + counts.filter((left) => left > 0).length);
        }
      }),
    );
  });
});
