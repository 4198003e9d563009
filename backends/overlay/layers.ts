import { ATTR_WORDS, type AttrRecord } from "../../src/vfs/attributes.js";
import type { Backend } from "../../src/vfs/backend.js";
import { type Awaitable, ERANGE, type Result, type Status } from "../../src/vfs/errno.js";
import type { Caller, VfsNode } from "../../src/vfs/node.js";
import { type Steps, wait } from "./steps.js";

/** What a layer is made from. */
export interface LayerSource {
  /** How messages name the layer. */
  readonly name: string;
  readonly backend: Backend;
  /** Starts the backend and returns the node that is the layer's root. */
  open(): Awaitable<VfsNode>;
}

/** The layer that takes all changes. */
export interface UpperSource extends LayerSource {
  /**
   * The directory where things are built before they are renamed into the layer: of the same backend and file
   * system, outside the layer's root, and of this overlay alone. Called after {@link LayerSource.open}.
   */
  openWork(): Awaitable<VfsNode>;
  /** The directory beside it where copies of files with several names are kept; undefined: each name is copied apart. */
  openIndex(): Awaitable<VfsNode | undefined>;
}

/** In whose name the overlay looks into its layers and moves things between them. */
export const OVERLAY: Caller = {
  uid: 0,
  gid: 0,
  pid: 0,
  supplementaryGroup: -1,
  umask: 0,
  clearsPrivileges: false,
};

const SMALL_XATTR_BYTES = 512;
const XATTR_BYTES = 65_536;

/** Attributes that nobody else fills while a step waits. */
export function attrRecord(): AttrRecord {
  return new Uint32Array(ATTR_WORDS);
}

/** A layer of the overlay. */
export class Layer {
  readonly name: string;
  readonly backend: Backend;
  readonly root: VfsNode;

  /** Directories that may hold the other form of whiteouts. */
  readonly #withXattrWhiteouts = new WeakSet<VfsNode>();
  /** Nodes that nobody holds any more, of a backend that answers later; undefined: it does not. */
  #unheld: Set<VfsNode> | undefined;

  constructor(source: Pick<LayerSource, "name" | "backend">, root: VfsNode) {
    this.name = source.name;
    this.backend = source.backend;
    this.root = root;
    this.retain(root);
  }

  /** Keeps a node; a backend keeps it until it is told to forget it. */
  retain(node: VfsNode): void {
    node.holds++;
  }

  /** Lets go of a node that was retained or held. */
  release(node: VfsNode): void {
    if (--node.holds > 0) {
      return;
    }
    if (this.#unheld === undefined) {
      this.backend.forget(node);
    } else if (this.#unheld.add(node).size === 1) {
      setImmediate(() => this.#forgetUnheld());
    }
  }

  /** Retains the node of an operation that finds or makes one, as soon as it is there. */
  hold(found: Awaitable<Result<VfsNode>>): Awaitable<Result<VfsNode>> {
    if (found instanceof Promise) {
      this.#unheld ??= new Set();
      return found.then((node) => this.#held(node));
    }
    return this.#held(found);
  }

  /** Finds an entry of a directory; the node is held. */
  lookup(directory: VfsNode, name: string, out: AttrRecord): Awaitable<Result<VfsNode>> {
    return this.hold(this.backend.lookup(OVERLAY, directory, name, out));
  }

  #held(node: Result<VfsNode>): Result<VfsNode> {
    if (typeof node !== "number") {
      node.holds++;
    }
    return node;
  }

  /** Whoever is about to be given one of the nodes has it by now, and holds it. */
  #forgetUnheld(): void {
    const unheld = this.#unheld ?? new Set();
    this.#unheld = new Set();
    for (const node of unheld) {
      if (node.holds === 0) {
        this.backend.forget(node);
      }
    }
  }

  /** Whether empty files of a directory may be whiteouts. */
  hasXattrWhiteouts(directory: VfsNode): boolean {
    return this.#withXattrWhiteouts.has(directory);
  }

  expectXattrWhiteouts(directory: VfsNode): void {
    this.#withXattrWhiteouts.add(directory);
  }

  /** The value of an extended attribute. Errors: ENODATA, EOPNOTSUPP and others. */
  *xattr(node: VfsNode, name: string): Steps<Result<Buffer>> {
    let into = Buffer.allocUnsafe(SMALL_XATTR_BYTES);
    let length = yield* wait(this.backend.getxattr(OVERLAY, node, name, into));
    if (length === -ERANGE) {
      into = Buffer.allocUnsafe(XATTR_BYTES);
      length = yield* wait(this.backend.getxattr(OVERLAY, node, name, into));
    }
    return length < 0 ? length : into.subarray(0, length);
  }

  /** Names of all extended attributes. */
  *xattrNames(node: VfsNode): Steps<Result<string[]>> {
    let into = Buffer.allocUnsafe(SMALL_XATTR_BYTES);
    let length = yield* wait(this.backend.listxattr(OVERLAY, node, into));
    if (length === -ERANGE) {
      into = Buffer.allocUnsafe(XATTR_BYTES);
      length = yield* wait(this.backend.listxattr(OVERLAY, node, into));
    }
    return length < 0
      ? length
      : into
          .latin1Slice(0, length)
          .split("\0")
          .filter((name) => name !== "");
  }

  setXattr(node: VfsNode, name: string, value: Uint8Array): Awaitable<Status> {
    return this.backend.setxattr(OVERLAY, node, name, value, 0);
  }
}

/** A node of a layer. */
export interface LayerNode {
  readonly layer: Layer;
  readonly node: VfsNode;
}

/** Lets go of nodes that are held. */
export function releaseAll(nodes: readonly LayerNode[]): void {
  for (const { layer, node } of nodes) {
    layer.release(node);
  }
}

/** The layer that takes the changes, with its work directory. */
export class UpperLayer extends Layer {
  readonly work: VfsNode;
  readonly index: VfsNode | undefined;
  /** Whiteouts are devices; false once it has shown that they cannot be. */
  makesWhiteoutDevices: boolean;
  #count = 0;

  constructor(source: UpperSource, root: VfsNode, work: VfsNode, index: VfsNode | undefined) {
    super(source, root);
    this.work = work;
    this.index = index;
    this.makesWhiteoutDevices = source.backend.capabilities.specialFiles;
    this.retain(work);
    if (index !== undefined) {
      this.retain(index);
    }
  }

  /** A name that is free in the work directory. */
  workName(): string {
    return `#${(this.#count++).toString(16)}`;
  }
}
