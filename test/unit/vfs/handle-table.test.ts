import { expect, test } from "vitest";
import { HandleTable } from "../../../src/vfs/handle-table.js";
import { VfsHandle, VfsNode } from "../../../src/vfs/node.js";

class Node extends VfsNode {}
class Handle extends VfsHandle {}

const node = new Node();

test("a handle is found by its number and kind only", () => {
  const table = new HandleTable();
  const handle = new Handle(node);
  const index = table.add(handle, "file");
  const generation = table.generationAt(index);
  expect(table.get(index, generation, "file")).toBe(handle);
  expect(table.get(index, generation, "directory")).toBeUndefined();
  expect(table.get(index, generation + 1, "file")).toBeUndefined();
  expect(table.get(index + 1, generation, "file")).toBeUndefined();
});

test("a released number stays invalid when its place is taken again", () => {
  const table = new HandleTable();
  const first = new Handle(node);
  const index = table.add(first, "file");
  const generation = table.generationAt(index);
  table.remove(first);
  table.remove(first);
  expect(table.size).toBe(0);
  const second = new Handle(node);
  expect(table.add(second, "directory")).toBe(index);
  expect(table.get(index, generation, "file")).toBeUndefined();
  expect(table.get(index, table.generationAt(index), "directory")).toBe(second);
});

test("entries lists what is open", () => {
  const table = new HandleTable();
  const handles = [new Handle(node), new Handle(node), new Handle(node)];
  for (const handle of handles) {
    table.add(handle, "file");
  }
  table.remove(handles[1] as Handle);
  expect([...table.entries()].map(([handle]) => handle)).toEqual([handles[0], handles[2]]);
});
