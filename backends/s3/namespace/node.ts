import { S_IFDIR } from "../../../src/vfs/attributes.js";
import { VfsNode } from "../../../src/vfs/node.js";
import type { FileAttributes, Time } from "../attributes/file-attributes.js";
import type { StagedFile } from "../staging/staging.js";
import type { ObjectAttributes } from "../store/object-store.js";
import type { DirectoryListing, ListedEntry } from "./directory-listing.js";
import { LookAhead } from "./look-ahead.js";
import { isRcloneLink } from "./names.js";

/** What a listing or a HEAD says of an object. */
export interface ObjectFacts {
  readonly size: number;
  /** As the server sends it, with its quotes. */
  readonly etag: string;
  readonly lastModifiedMs: number;
  readonly versionId?: string;
  readonly storageClass?: string;
}

/** How long a listing may take. */
const RECENT_MS = 60_000;

interface RecentChange {
  readonly changedMs: number;
  readonly entry: ListedEntry | undefined;
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
  /** They are newer than what the staged file was told. */
  attributesChanged = false;
  /** When the bucket was last asked, in ms of performance.now(). */
  checkedMs = Number.NEGATIVE_INFINITY;
  /** Handles, and operations that wait. */
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
  /** The ETag of what this share published last. */
  published: string | undefined;
  /** What has not reached the bucket yet. */
  staged: StagedFile | undefined;
  /** Handles that may write: they keep what is staged. */
  writers = 0;
  /** Handles whose reads native code answers as long as this share does not change the file. */
  readonly boundReaders = new Set<{ unbind(): void }>();
  /** File type bits that the guest was told; an inode keeps them. */
  typeBefore: number | undefined;

  #closed: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  override get key(): string {
    return `${this.parent?.key ?? ""}${this.component}`;
  }

  /** A symbolic link as rclone makes them: its key says so, and its name does not. */
  get isRcloneLink(): boolean {
    return isRcloneLink(this.name, this.component);
  }

  /** The file is about to be changed: reads have to come to the backend. */
  unbindReaders(): void {
    for (const reader of this.boundReaders) {
      reader.unbind();
    }
  }

  /** Forgets what is staged once it is in the bucket and nobody may write to it. */
  dropPublished(): void {
    if (this.writers === 0 && this.staged?.dirty === false) {
      this.staged = undefined;
    }
  }

  /** Resolves when nobody has the file open any more. */
  untilClosed(): Promise<void> {
    if (this.#closed === undefined) {
      let resolve = () => {};
      const promise = new Promise<void>((settle) => {
        resolve = settle;
      });
      this.#closed = { promise, resolve };
    }
    return this.#closed.promise;
  }

  /** The last handle was closed. */
  nowClosed(): void {
    this.#closed?.resolve();
    this.#closed = undefined;
  }
}

/** A prefix. */
export class S3Directory extends S3Node {
  readonly children = new Map<string, S3Node>();
  /** What listing brought, as long as it is worth something. */
  listing: DirectoryListing | undefined;
  /** Who looks at the entries, and who reads small files. */
  readonly lookups = new LookAhead(64, 256);
  readonly readers = new LookAhead(16, 128);
  /** Entries that the guest has looked up. */
  lookedUp = 0;
  /** Lookups that no listing answered. */
  misses = 0;
  /** More than a page: look-ups list no more than the page of the name. */
  large = false;
  /** Whether the key of the prefix itself exists; undefined when not known. */
  hasMarker: boolean | undefined;
  markerEtag: string | undefined;
  /** When the attributes were asked for. */
  attributesMs = Number.NEGATIVE_INFINITY;
  /** When this share last changed what is in it. */
  touched: Time | undefined;
  /** What this share changed lately: listings that are under way do not know it. */
  readonly #recent = new Map<string, RecentChange>();
  /** For the root: the share's prefix. */
  readonly #rootKey: string;

  constructor(parent: S3Directory | undefined, name: string, component: string, ino: number, rootKey = "") {
    super(parent, name, component, ino);
    this.#rootKey = rootKey;
  }

  override get key(): string {
    return this.parent === undefined ? this.#rootKey : `${this.parent.key}${this.component}/`;
  }

  /** Notes that a name has changed now; undefined: it is gone. */
  remember(name: string, entry: ListedEntry | undefined): void {
    const now = performance.now();
    for (const [old, { changedMs }] of this.#recent) {
      if (now - changedMs < RECENT_MS) {
        break;
      }
      this.#recent.delete(old);
    }
    this.#recent.delete(name);
    this.#recent.set(name, { changedMs: now, entry });
  }

  /** What was listed, asked for at `askedMs`, with what has changed since; new names only at the end. */
  withRecent(listed: readonly ListedEntry[], askedMs: number, isLast: boolean): readonly ListedEntry[] {
    const changes = new Map([...this.#recent].filter(([, { changedMs }]) => changedMs >= askedMs));
    if (changes.size === 0) {
      return listed;
    }
    const result: ListedEntry[] = [];
    for (const entry of listed) {
      const change = changes.get(entry.name);
      const now = change === undefined ? entry : change.entry;
      if (now !== undefined) {
        result.push(now);
      }
      changes.delete(entry.name);
    }
    if (isLast) {
      result.push(...[...changes.values()].flatMap(({ entry }) => (entry === undefined ? [] : [entry])));
    }
    return result;
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
