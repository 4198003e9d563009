import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InodeTable, ROOT_NODE_ID } from "../../../src/vfs/inode-table.js";
import { VfsNode } from "../../../src/vfs/node.js";

class Node extends VfsNode {}

/** A table whose owner lets `retainLimit` nodes be retained, but not those in `gone`. */
function createTable(retainLimit = 0) {
  const released: VfsNode[] = [];
  const gone = new Set<VfsNode>();
  const root = new Node();
  const owner = {
    retain: (node: VfsNode) => retainLimit > 0 && !gone.has(node),
    retainLimit,
    forget: (node: VfsNode) => released.push(node),
  };
  return { table: new InodeTable(root, owner), root, released, gone };
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

  test("ids of one table are unknown to another that begins with another generation", () => {
    const owner = { retain: () => false, retainLimit: 0, forget: () => undefined };
    const table = new InodeTable(new Node(), owner, 0xffff_ffff);
    const node = new Node();
    const low = table.reference(node);
    expect(table.get(low, 0)).toBeUndefined();
    expect(table.get(low, 0xffff_ffff)).toBe(node);
    expect(table.get(ROOT_NODE_ID, 0)).toBeDefined();
    table.forget(low, 0xffff_ffff, 1);
    expect(table.reference(new Node())).toBe(low);
    expect(table.get(low, 0)).toBeDefined();
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

  test("a retained node is unknown to the guest, and comes back under its old id", () => {
    const { table, released } = createTable(10);
    const node = new Node();
    const low = table.reference(node);
    table.forget(low, 0, 1);
    expect(released).toEqual([]);
    expect(table.size).toBe(1);
    expect(node.tableIndex).toBeLessThan(0);
    expect(table.get(low, 0)).toBeUndefined();
    expect(table.forget(low, 0, 1)).toBe(false);
    expect(table.retained(low, 1)).toBeUndefined();
    expect(table.retained(low, 0)).toBe(node);
    expect(table.reference(new Node())).not.toBe(low);
    expect(table.reference(node)).toBe(low);
    expect(table.generationOf(node)).toBe(0);
    expect(table.get(low, 0)).toBe(node);
    expect(table.retained(low, 0)).toBeUndefined();
    expect(table.size).toBe(3);
  });

  test("a pin alone brings a retained node back, and its end retains it again", () => {
    const { table, released, gone } = createTable(10);
    const node = new Node();
    const low = table.reference(node);
    table.forget(low, 0, 1);
    table.pin(node);
    expect(table.get(low, 0)).toBe(node);
    table.unpin(node);
    expect(table.retained(low, 0)).toBe(node);
    table.pin(node);
    gone.add(node);
    table.unpin(node);
    expect(table.retained(low, 0)).toBeUndefined();
    expect(released).toEqual([node]);
  });

  test("retains no more nodes than its owner wants, and gives the ids of the others a new generation", () => {
    const { table, released } = createTable(100);
    const nodes = Array.from({ length: 1000 }, () => new Node());
    const ids = nodes.map((node) => table.reference(node));
    for (const id of ids) {
      table.forget(id, 0, 1);
    }
    const retained = ids.filter((id) => table.retained(id, 0) !== undefined);
    expect(retained).toEqual(ids.slice(0, 100));
    expect(released).toEqual(nodes.slice(100));
    const next = new Node();
    expect(table.reference(next)).toBeGreaterThan(ids[99] as number);
    expect(table.generationOf(next)).toBeGreaterThan(0);
    table.clear();
    expect(released).toHaveLength(1001);
  });

  test("of those that are retained the highest go first, in whatever order they are forgotten", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...Array(40).keys()], { minLength: 40 }), (order) => {
        const { table } = createTable(10);
        const nodes = order.map(() => new Node());
        const ids = nodes.map((node) => table.reference(node));
        for (const at of order) table.forget(ids[at] as number, 0, 1);
        expect(ids.filter((id) => table.retained(id, 0) !== undefined)).toEqual(ids.slice(0, 10));
      }),
    );
  });

  test("an id is never given twice, however the table grows and gets shorter", () => {
    const firstGeneration = 0xffff_fffe;
    const owner = { retain: () => false, retainLimit: 0, forget: () => undefined };
    const counts = fc.array(fc.integer({ min: 0, max: 2000 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(counts, (sizes) => {
        const table = new InodeTable(new Node(), owner, firstGeneration);
        const given = new Set<string>();
        const known: VfsNode[] = [];
        for (const size of sizes) {
          while (known.length < size) {
            const node = new Node();
            const id = `${table.reference(node)}.${table.generationOf(node)}`;
            expect(given.has(id)).toBe(false);
            given.add(id);
            known.push(node);
          }
          while (known.length > size) {
            const node = known.pop() as VfsNode;
            table.forget(node.tableIndex, table.generationOf(node), 1);
          }
          expect(table.size).toBe(1 + size);
        }
      }),
      { numRuns: 50 },
    );
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
