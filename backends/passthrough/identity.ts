import { Attr, S_IFDIR, S_IFMT } from "../../src/vfs/attributes.js";
import type { Identity, InodeKey, PassthroughNode } from "./node.js";
import { ReusableMap } from "./reusable-map.js";

const TWO_POW_32 = 0x1_0000_0000;
const EXACT_HIGH = 0x20_0000;

function inodeKey(low: number, high: number): InodeKey {
  return high < EXACT_HIGH ? high * TWO_POW_32 + low : `${high}:${low}`;
}

/** The identity in an attribute record. The object is the caller's to reuse: `into` is filled and returned. */
export function identityOf(attr: Uint32Array, into: Identity): Identity {
  return identityAt(
    attr,
    0,
    attr[Attr.DEV] as number,
    attr[Attr.MOUNT] as number,
    attr[Attr.BTIME] as number,
    attr[Attr.BTIME_NSEC] as number,
    into,
  );
}

/** As {@link identityOf}, for `struct fuse_attr` at word `at` and the parts that it does not carry. */
export function identityAt(
  words: Uint32Array,
  at: number,
  dev: number,
  mount: number,
  birth: number,
  birthNsec: number,
  into: Identity,
): Identity {
  into.dev = dev;
  into.mount = mount;
  into.key = inodeKey(words[at + Attr.INO] as number, words[at + Attr.INO + 1] as number);
  into.type = (words[at + Attr.MODE] as number) & S_IFMT;
  into.birth = birth;
  into.birthNsec = birthNsec;
  return into;
}

export function emptyIdentity(): Identity {
  return { dev: 0, mount: 0, key: 0, type: 0, birth: 0, birthNsec: 0 };
}

/** Whether an inode number that is free to be reused can be told from its next use. */
export function hasBirth(identity: Identity): boolean {
  return identity.birth !== 0 || identity.birthNsec !== 0;
}

/** Whether a directory is the root of another mount than its parent's, or of a subvolume. */
export function isSubmount(found: Identity, parent: Identity): boolean {
  return (found.dev !== parent.dev || found.mount !== parent.mount) && found.type === S_IFDIR;
}

export function isSame(a: Identity, b: Identity): boolean {
  return (
    a.key === b.key &&
    a.dev === b.dev &&
    a.mount === b.mount &&
    a.type === b.type &&
    a.birth === b.birth &&
    a.birthNsec === b.birthNsec
  );
}

/** Nodes by mount, device and inode number. */
export class IdentityMap {
  readonly #mounts = new Map<string, ReusableMap<InodeKey, PassthroughNode>>();
  // Nearly every share is one file system.
  #lastDevice = -1;
  #lastMount = -1;
  #lastNodes = new ReusableMap<InodeKey, PassthroughNode>();

  #nodes({ dev, mount }: Identity): ReusableMap<InodeKey, PassthroughNode> {
    if (dev !== this.#lastDevice || mount !== this.#lastMount) {
      const name = `${mount}:${dev}`;
      let nodes = this.#mounts.get(name);
      if (nodes === undefined) {
        nodes = new ReusableMap();
        this.#mounts.set(name, nodes);
      }
      this.#lastDevice = dev;
      this.#lastMount = mount;
      this.#lastNodes = nodes;
    }
    return this.#lastNodes;
  }

  get(identity: Identity): PassthroughNode | undefined {
    return this.#nodes(identity).get(identity.key);
  }

  add(node: PassthroughNode): void {
    this.#nodes(node).set(node.key, node);
  }

  /** Takes the node out unless its number belongs to another node by now. */
  remove(node: PassthroughNode): void {
    const nodes = this.#nodes(node);
    if (nodes.get(node.key) === node) {
      nodes.delete(node.key);
    }
  }

  *[Symbol.iterator](): Generator<PassthroughNode> {
    for (const nodes of this.#mounts.values()) {
      yield* nodes.values();
    }
  }
}
