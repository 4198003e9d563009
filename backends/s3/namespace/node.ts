import { S_IFDIR } from "../../../src/vfs/attributes.js";
import { VfsNode } from "../../../src/vfs/node.js";
import type { FileAttributes } from "../attributes/file-attributes.js";
import type { StagedFile } from "../staging/staging.js";
import type { ObjectAttributes } from "../store/object-store.js";
import type { DirectoryListing } from "./directory-listing.js";

/** What a listing or a HEAD says of an object. */
export interface ObjectFacts {
  readonly size: number;
  /** As the server sends it, with its quotes. */
  readonly etag: string;
  readonly lastModifiedMs: number;
  readonly versionId?: string;
  readonly storageClass?: string;
}

/** What every inode has. An inode exists while the guest knows it, it is open, or below it something does. */
export abstract class S3Node extends VfsNode {
  /** Undefined for the root. */
  parent: S3Directory | undefined;
  /** In `parent`, as the guest sees it. */
  name: string;
  /** What the key has in the place of the name. */
  component: string;
  readonly ino: number;
  /** Undefined until they were asked for. */
  attributes: FileAttributes | undefined;
  /** What the object has beside its bytes; kept so that a rewrite loses nothing. */
  stored: ObjectAttributes | undefined;
  /** When the bucket was last asked, in ms of performance.now(). */
  checkedMs = Number.NEGATIVE_INFINITY;
  /** Handles. */
  openCount = 0;
  /** The name is gone: removed, replaced, or something else by now. */
  removed = false;

  constructor(parent: S3Directory | undefined, name: string, component: string, ino: number) {
    super();
    this.parent = parent;
    this.name = name;
    this.component = component;
    this.ino = ino;
  }

  /** Where the object is, or belongs. */
  abstract get key(): string;
}

/** An object: a regular file or a symbolic link. */
export class S3File extends S3Node {
  /** What the bucket has; undefined for what was never there. */
  object: ObjectFacts | undefined;
  /** What has not reached the bucket yet. */
  staged: StagedFile | undefined;
  /** Handles that may write. */
  writers = 0;

  override get key(): string {
    return `${this.parent?.key ?? ""}${this.component}`;
  }
}

/** A prefix. */
export class S3Directory extends S3Node {
  readonly children = new Map<string, S3Node>();
  /** What listing brought, as long as it is worth something. */
  listing: DirectoryListing | undefined;
  /** Lookups that no listing answered. */
  misses = 0;
  /** Whether the key of the prefix itself exists; undefined when not known. */
  hasMarker: boolean | undefined;
  /** For the root: the share's prefix. */
  readonly #rootKey: string;

  constructor(
    parent: S3Directory | undefined,
    name: string,
    component: string,
    ino: number,
    rootKey = "",
  ) {
    super(parent, name, component, ino);
    this.#rootKey = rootKey;
  }

  override get key(): string {
    return this.parent === undefined ? this.#rootKey : `${this.parent.key}${this.component}/`;
  }
}

export function typeBits(node: S3Node): number {
  return node instanceof S3Directory ? S_IFDIR : (node.attributes?.mode ?? 0) & 0o170000;
}

/** Whether `node` is `ancestor` or below it. */
export function isWithin(node: S3Node, ancestor: S3Node): boolean {
  for (let current: S3Node | undefined = node; current !== undefined; current = current.parent) {
    if (current === ancestor) {
      return true;
    }
  }
  return false;
}
