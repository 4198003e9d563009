import type { PassthroughNode } from "./node.js";
import { ReusableMap } from "./reusable-map.js";

/**
 * Remembers where a node was seen; another node seen there before is not there any more.
 * @returns the directory that the node has left without entries, if it did
 */
export function locate(
  node: PassthroughNode,
  parent: PassthroughNode,
  name: string,
): PassthroughNode | undefined {
  if (node.parent === parent && node.name === name) {
    return undefined;
  }
  // In this order a directory that loses and gains its only entry never looks empty.
  parent.entries ??= new ReusableMap();
  const before = parent.entries.get(name);
  parent.entries.set(name, node);
  if (before !== undefined) {
    before.parent = undefined;
  }
  const left = unlocate(node);
  node.parent = parent;
  node.name = name;
  return left;
}

/** Forgets where a node was seen. @returns the directory that this left without entries, if it did */
export function unlocate(node: PassthroughNode): PassthroughNode | undefined {
  const { parent, name } = node;
  if (parent === undefined) {
    return undefined;
  }
  node.parent = undefined;
  node.name = "";
  if (parent.entries?.get(name) === node) {
    parent.entries.delete(name);
  }
  if (parent.entries?.size !== 0) {
    return undefined;
  }
  parent.entries = undefined;
  return parent;
}

/** An entry moved from one name to another; with `exchange` the other one moved back. */
export function relocate(
  [parent, name]: readonly [PassthroughNode, string],
  [newParent, newName]: readonly [PassthroughNode, string],
  exchange: boolean,
  move: (node: PassthroughNode, parent: PassthroughNode, name: string) => void,
): void {
  const moved = parent.entries?.get(name);
  const other = exchange ? newParent.entries?.get(newName) : undefined;
  if (moved !== undefined) {
    move(moved, newParent, newName);
  }
  if (other !== undefined) {
    move(other, parent, name);
  }
}
