import { ENODATA, EOPNOTSUPP, type Result } from "../../src/vfs/errno.js";
import type { VfsNode } from "../../src/vfs/node.js";
import type { Layer } from "./layers.js";
import type { Steps } from "./steps.js";

/** The value of one of the overlay's marks; undefined where there is none. */
export function* mark(layer: Layer, node: VfsNode, name: string): Steps<Result<Buffer> | undefined> {
  const value = yield* layer.xattr(node, name);
  return value === -ENODATA || value === -EOPNOTSUPP ? undefined : value;
}
