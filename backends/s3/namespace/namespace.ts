import { S_IFLNK } from "../../../src/vfs/attributes.js";
import { type Awaitable, ENOENT, type Result, type Status } from "../../../src/vfs/errno.js";
import type { MarkerAnswer } from "../attributes/attribute-store.js";
import { type FileAttributes, timeNow, typeOf } from "../attributes/file-attributes.js";
import { readAttributes } from "../attributes/read-metadata.js";
import { errnoOf } from "../errors.js";
import type { StagedFile } from "../staging/staging.js";
import type { ListedObject, ObjectAttributes, ObjectInfo } from "../store/object-store.js";
import type { S3Volume } from "../volume.js";
import { DirectoryListing, type ListedEntry, type ListingPage } from "./directory-listing.js";
import { findKey, listPage, type PageRange } from "./lister.js";
import { hasDigest, type KeyPart, keyPartOf, linkComponent } from "./names.js";
import { S3Directory, S3File, type S3Node } from "./node.js";
import { factsOf, isSameObject, versionOf } from "./object-facts.js";

/** Look-ups of a directory that are asked one by one, before it is listed to answer them all. */
const LOOKUPS_BEFORE_LISTING = 2;
const NO_METADATA: ObjectAttributes = { metadata: {} };

/** Names and inodes: what the bucket has, with what this share changed and did not publish yet in front of it. */
export class Namespace {
  readonly volume: S3Volume;
  readonly #finding = new Map<string, Promise<Result<S3Node>>>();
  /** Keys that were not there, and when. */
  readonly #absent = new Map<string, number>();

  constructor(volume: S3Volume) {
    this.volume = volume;
  }

  /** The inode of a name. Its attributes may have to be loaded. -ENOENT, -EILSEQ, -EACCES, -EIO. */
  child(directory: S3Directory, name: string): Awaitable<Result<S3Node>> {
    const known = this.#known(directory, name);
    if (known !== undefined) {
      return known;
    }
    const id = directory.key + name;
    const finding = this.#finding.get(id);
    if (finding !== undefined) {
      return finding;
    }
    const found = this.#ask(directory, name).finally(() => this.#finding.delete(id));
    this.#finding.set(id, found);
    return found;
  }

  /** The inode of a name if nothing has to be asked for that. */
  peek(directory: S3Directory, name: string): S3Node | undefined {
    const known = this.#known(directory, name);
    return typeof known === "number" ? undefined : known;
  }

  /** Makes sure that the attributes of an inode are known and hold. -ENOENT, -EACCES, -EIO. */
  load(node: S3Node): Awaitable<Status> {
    if (node instanceof S3File) {
      return this.#loadFile(node);
    }
    return node instanceof S3Directory ? this.#loadDirectory(node) : 0;
  }

  /** Whether the attributes of an inode are at hand, from a listing or the cache; loads them then. */
  isLoaded(node: S3Node): boolean {
    if (node.attributes !== undefined) {
      return true;
    }
    return node instanceof S3Directory ? this.#isDirectoryLoaded(node) : this.#isFileLoaded(node as S3File);
  }

  #isDirectoryLoaded(directory: S3Directory): boolean {
    const { area } = this.volume;
    const isKnown = area.find(directory.key) !== undefined || this.#knownMarker(directory.key) !== undefined;
    return isKnown && this.#loadDirectory(directory) === 0;
  }

  #isFileLoaded(file: S3File): boolean {
    const { object, staged } = file;
    const { dialect } = this.volume.options;
    const isKnown =
      staged === undefined
        ? object !== undefined &&
          (dialect === "none" ||
            this.volume.attributes.peek(file.key, object.etag, object.lastModifiedMs) !== undefined)
        : staged.attributes !== undefined;
    return isKnown && this.#loadFile(file) === 0;
  }

  /**
   * Asks for the metadata of listed objects that are not known, side by side. Never rejects: an object without an answer
   * is asked for again by who needs it.
   * @returns undefined if all are known
   */
  prefetch(directory: S3Directory, entries: readonly ListedEntry[]): Promise<unknown> | undefined {
    const { attributes, options } = this.volume;
    if (options.dialect === "none") {
      return undefined;
    }
    const asked: Promise<unknown>[] = [];
    for (const entry of entries) {
      if (!this.knowsAttributes(directory, entry)) {
        const key = keyOf(directory, entry);
        asked.push(entry.object === undefined ? attributes.askMarker(key) : attributes.ask(key));
      }
    }
    return asked.length === 0 ? undefined : Promise.allSettled(asked);
  }

  /** Whether the attributes of a listed entry need not be asked for. */
  knowsAttributes(directory: S3Directory, entry: ListedEntry): boolean {
    const { attributes, area, options } = this.volume;
    const { object } = entry;
    const key = keyOf(directory, entry);
    if (area.find(key) !== undefined) {
      return true;
    }
    return object === undefined
      ? this.#knownMarker(key) !== undefined
      : options.dialect === "none" || attributes.peek(key, object.etag, object.lastModifiedMs) !== undefined;
  }

  /** Makes sure that an inode is still what its name leads to, and knows what the bucket says of it now. */
  refresh(node: S3Node): Awaitable<Status> {
    const { parent } = node;
    if (parent === undefined || node.removed || this.#isLocal(node) || this.volume.isFresh(node.checkedMs)) {
      return this.load(node);
    }
    const found = this.child(parent, node.name);
    const finish = (result: Result<S3Node>): Awaitable<Status> => {
      if (typeof result === "number") {
        return result;
      }
      return result === node ? this.load(node) : -ENOENT;
    };
    return found instanceof Promise ? found.then(finish) : finish(found);
  }

  /** The guest and the handles need an inode no more. */
  drop(node: S3Node): void {
    let current: S3Node | undefined = node;
    while (current?.parent !== undefined && !isNeeded(current)) {
      const parent: S3Directory = current.parent;
      if (parent.children.get(current.name) === current) {
        parent.children.delete(current.name);
      }
      this.volume.numbers.release(current.ino);
      current = current.removed ? undefined : parent;
    }
  }

  /** The name leads elsewhere, or nowhere, from now on. */
  detach(node: S3Node): void {
    node.removed = true;
    if (node.parent?.children.get(node.name) === node) {
      node.parent.children.delete(node.name);
    }
    this.drop(node);
  }

  /** The inode of what is known to be there, new or old. */
  adopt(directory: S3Directory, name: string, component: string, isDirectory: boolean): S3Node {
    const live = directory.children.get(name);
    if (live !== undefined) {
      if (live instanceof S3Directory === isDirectory) {
        return live;
      }
      this.detach(live);
    }
    const key = directory.key + component;
    this.#absent.delete(directory.key + name);
    const ino = this.volume.numbers.take(isDirectory ? `${key}/` : key);
    const node = isDirectory
      ? new S3Directory(directory, name, component, ino)
      : new S3File(directory, name, component, ino);
    directory.children.set(name, node);
    return node;
  }

  /** The inode of a listed entry. */
  adoptEntry(directory: S3Directory, entry: ListedEntry, askedMs: number): S3Node {
    const { name, component, object } = entry;
    const node = this.adopt(directory, name, component, object === undefined);
    this.#observe(node, object, askedMs);
    return node;
  }

  /** The inode of a staged file. */
  adoptStaged(directory: S3Directory, name: string, component: string, staged: StagedFile): S3File {
    const file = this.adopt(directory, name, component, false) as S3File;
    if (file.staged !== staged) {
      file.staged = staged;
      file.attributes = undefined;
    }
    return file;
  }

  /** Takes over what an object has beside its bytes. */
  setAttributes(node: S3Node, stored: ObjectAttributes, lastModifiedMs: number): void {
    const { defaults } = this.volume.options;
    node.stored = stored;
    const attributes = readAttributes(stored, lastModifiedMs, node instanceof S3Directory, defaults);
    const isLink = node instanceof S3File && node.isRcloneLink;
    node.attributes = isLink ? { ...attributes, mode: S_IFLNK | 0o777 } : attributes;
  }

  /** An entry came or changed by this share. */
  entryChanged(directory: S3Directory, entry: ListedEntry): void {
    directory.listing?.put(entry);
    this.#absent.delete(directory.key + entry.name);
    directory.remember(entry.name, entry);
  }

  /** An entry went by this share. */
  entryRemoved(directory: S3Directory, name: string): void {
    directory.listing?.remove(name);
    directory.remember(name, undefined);
  }

  /** The directory's contents changed now. */
  touch(directory: S3Directory): void {
    directory.touched = timeNow();
  }

  /** Lists a page and keeps what it says; `listing` is what the pages before it were added to. */
  async list(
    directory: S3Directory,
    after: string | undefined,
    listing: DirectoryListing,
  ): Promise<ListingPage> {
    return this.keep(directory, await this.fetchPage(directory, { after, until: undefined }), listing);
  }

  /** Lists a page for {@link keep}. */
  fetchPage(directory: S3Directory, range: PageRange): Promise<ListingPage> {
    return listPage(this.volume.store, directory.key, range);
  }

  /** Keeps what a page says, with what has changed here since it was asked for; `listing` has the pages before it. */
  keep(directory: S3Directory, page: ListingPage, listing: DirectoryListing): ListingPage {
    const entries = this.#withoutRemoved(directory, page.entries);
    const known = { ...page, entries: directory.withRecent(entries, page.askedMs, page.next === undefined) };
    listing.append(known);
    directory.listing = listing;
    if (page.after === undefined) {
      directory.large = page.next !== undefined;
    }
    return known;
  }

  #withoutRemoved(directory: S3Directory, entries: readonly ListedEntry[]): readonly ListedEntry[] {
    const { area } = this.volume;
    const { key } = directory;
    return entries.filter(({ component, object }) =>
      object === undefined ? !area.isGone(`${key}${component}/`) : !area.isRemoved(key + component),
    );
  }

  /** Changes of this share that are not published are what counts, whatever the bucket says. */
  #isLocal(node: S3Node): boolean {
    if (node instanceof S3File) {
      node.staged ??= this.volume.area.find(node.key);
      return node.staged !== undefined;
    }
    return this.volume.area.hasBelow(node.key);
  }

  /** The answer where nothing has to be asked. */
  #known(directory: S3Directory, name: string): Result<S3Node> | undefined {
    const live = directory.children.get(name);
    if (live !== undefined && (this.volume.isFresh(live.checkedMs) || this.#isLocal(live))) {
      return live;
    }
    const part = keyPartOf(name);
    if (typeof part === "number") {
      return part;
    }
    const local = this.#local(directory, name, part);
    if (local !== undefined) {
      return local;
    }
    const { listing } = directory;
    const listed = listing?.find(name);
    if (listed !== undefined && this.volume.isFresh(listed.askedMs)) {
      return this.adoptEntry(directory, listed.entry, listed.askedMs);
    }
    const absentMs = Math.max(
      this.#absent.get(directory.key + name) ?? Number.NEGATIVE_INFINITY,
      listing?.complete === true && listed === undefined ? listing.askedMs : Number.NEGATIVE_INFINITY,
      this.#absentFromPage(directory, name, part),
    );
    if (performance.now() - absentMs >= this.volume.freshness.absentMs) {
      return undefined;
    }
    this.#lost(directory, name, absentMs);
    return -ENOENT;
  }

  /** When a page of the listing said that the name is not there. */
  #absentFromPage({ key, listing }: S3Directory, name: string, part: KeyPart): number {
    const isPlain = part.digest === undefined && !part.shadowed;
    return isPlain && listing !== undefined
      ? listing.absentAt(name, key + part.component)
      : Number.NEGATIVE_INFINITY;
  }

  #local(directory: S3Directory, name: string, part: KeyPart): S3Node | undefined {
    if (part.digest !== undefined || part.shadowed) {
      return undefined;
    }
    const { area } = this.volume;
    const key = directory.key + part.component;
    const staged = area.find(key);
    if (staged !== undefined) {
      return this.adoptStaged(directory, name, part.component, staged);
    }
    const link = linkComponent(part.component);
    const stagedLink = area.find(directory.key + link);
    if (stagedLink !== undefined) {
      return this.adoptStaged(directory, name, link, stagedLink);
    }
    return area.hasBelow(`${key}/`) ? this.adopt(directory, name, part.component, true) : undefined;
  }

  async #ask(directory: S3Directory, name: string): Promise<Result<S3Node>> {
    const part = keyPartOf(name);
    if (typeof part === "number") {
      return part;
    }
    try {
      const answer =
        part.digest !== undefined || this.#listsFor(directory)
          ? await this.#askByListing(directory, name, part)
          : await this.#askByPage(directory, name, part);
      return answer ?? (await this.#askByKey(directory, name, part));
    } catch (error) {
      return errnoOf(error, this.volume.options.logger);
    }
  }

  #listsFor(directory: S3Directory): boolean {
    const { presentMs } = this.volume.freshness;
    return presentMs > 0 && !directory.large && ++directory.misses > LOOKUPS_BEFORE_LISTING;
  }

  /** Lists the page of a large directory where the name belongs. Undefined: not worth it, or that does not tell. */
  async #askByPage(directory: S3Directory, name: string, part: KeyPart): Promise<Result<S3Node> | undefined> {
    const { listing } = directory;
    const after =
      this.volume.freshness.presentMs > 0 ? listing?.missed(directory.key + part.component) : undefined;
    if (listing === undefined || after === undefined) {
      return undefined;
    }
    const page = await this.list(directory, after === "" ? undefined : after, listing);
    const entry = page.entries.find((candidate) => candidate.name === name);
    const local = this.#afterAsking(directory, name);
    if (local !== undefined || entry !== undefined) {
      return local ?? this.adoptEntry(directory, entry as ListedEntry, page.askedMs);
    }
    const isAbsent = this.#absentFromPage(directory, name, part) >= page.askedMs;
    if (isAbsent) {
      this.#lost(directory, name, page.askedMs);
    }
    return isAbsent ? -ENOENT : undefined;
  }

  /** Lists the directory, which answers look-ups to come as well. Undefined: it is too large for that. */
  async #askByListing(
    directory: S3Directory,
    name: string,
    part: KeyPart,
  ): Promise<Result<S3Node> | undefined> {
    const listing = new DirectoryListing();
    let after: string | undefined;
    do {
      const page: ListingPage = await this.list(directory, after, listing);
      const entry = page.entries.find(
        (candidate) =>
          candidate.name === name &&
          (part.digest === undefined || hasDigest(candidate.component, part.digest)),
      );
      if (entry !== undefined) {
        return this.#afterAsking(directory, name) ?? this.adoptEntry(directory, entry, page.askedMs);
      }
      after = page.next;
    } while (part.digest !== undefined && after !== undefined);
    directory.misses = 0;
    return after === undefined ? (this.#afterAsking(directory, name) ?? -ENOENT) : undefined;
  }

  /** What came into being locally while the bucket was asked counts more than its answer. */
  #afterAsking(directory: S3Directory, name: string): S3Node | undefined {
    const live = directory.children.get(name);
    return live !== undefined && this.#isLocal(live) ? live : undefined;
  }

  async #askByKey(directory: S3Directory, name: string, part: KeyPart): Promise<Result<S3Node>> {
    const { area, attributes, options } = this.volume;
    const key = directory.key + part.component;
    const askedMs = performance.now();
    const wantsHead = options.dialect !== "none" && !area.isRemoved(key) && !attributes.has(key);
    const [found, info] = await Promise.all([
      findKey(this.volume.store, key),
      wantsHead ? attributes.ask(key) : undefined,
    ]);
    const local = this.#afterAsking(directory, name);
    if (local !== undefined) {
      return local;
    }
    const isDirectory = found.directory && !area.isGone(`${key}/`);
    const there = info ?? found.object;
    const object = there === undefined || area.isRemoved(there.key) ? undefined : there;
    const wanted = part.shadowed ? isDirectory && object !== undefined : isDirectory || object !== undefined;
    if (!wanted) {
      this.#lost(directory, name, askedMs);
      return -ENOENT;
    }
    const isFile = object !== undefined && (!isDirectory || part.shadowed);
    const component = isFile ? object.key.slice(directory.key.length) : part.component;
    const node = this.adopt(directory, name, component, isDirectory && !part.shadowed);
    this.#observe(node, object, askedMs);
    return node;
  }

  /** The bucket has nothing under a name. */
  #lost(directory: S3Directory, name: string, askedMs: number): void {
    const live = directory.children.get(name);
    if (live !== undefined && live.checkedMs < askedMs) {
      this.detach(live);
    }
    if (this.volume.freshness.absentMs > 0) {
      if (this.#absent.size > 10_000) {
        this.#absent.clear();
      }
      this.#absent.set(directory.key + name, askedMs);
    }
  }

  /** The bucket said this of an inode at `askedMs`; it may have changed here since. */
  #observe(node: S3Node, object: ListedObject | undefined, askedMs: number): void {
    if (askedMs <= node.checkedMs) {
      return;
    }
    node.checkedMs = askedMs;
    if (node instanceof S3File && object !== undefined) {
      if (!isSameObject(node.object, object)) {
        node.attributes = undefined;
      }
      node.object = { ...factsOf(object), ...(node.object?.etag === object.etag && versionOf(node.object)) };
    }
  }

  #loadFile(file: S3File): Awaitable<Status> {
    if (file.attributes !== undefined) {
      return 0;
    }
    const { object, staged } = file;
    const { options, attributes } = this.volume;
    this.#lookAhead(file);
    if (staged?.attributes !== undefined) {
      return this.#accept(file, staged.attributes, staged.modifiedMs);
    }
    const source = staged?.source;
    if (source !== undefined) {
      return attributes.ask(source.key).then(
        (info) =>
          this.#accept(
            file,
            info?.attributes ?? NO_METADATA,
            info?.lastModifiedMs ?? staged?.modifiedMs ?? 0,
          ),
        (error: unknown) => errnoOf(error, options.logger),
      );
    }
    if (object === undefined) {
      return -ENOENT;
    }
    const stored =
      options.dialect === "none"
        ? NO_METADATA
        : attributes.peek(file.key, object.etag, object.lastModifiedMs);
    if (stored !== undefined) {
      return this.#accept(file, stored, object.lastModifiedMs);
    }
    return attributes.ask(file.key).then(
      (info) => this.#headAnswered(file, info),
      (error: unknown) => errnoOf(error, options.logger),
    );
  }

  #headAnswered(file: S3File, info: ObjectInfo | undefined): Status {
    if (file.staged !== undefined && file.attributes !== undefined) {
      return 0;
    }
    if (info === undefined) {
      this.detach(file);
      return -ENOENT;
    }
    if (file.object?.etag !== info.etag) {
      file.object = factsOf(info);
    } else if (info.versionId !== undefined) {
      file.object = { ...file.object, versionId: info.versionId };
    }
    return this.#accept(file, info.attributes, info.lastModifiedMs);
  }

  /** A file cannot become a link, or the reverse, while the guest knows it: it is another inode then. */
  #accept(file: S3File, stored: ObjectAttributes, lastModifiedMs: number): Status {
    const before = file.typeBefore;
    this.setAttributes(file, stored, lastModifiedMs);
    const type = typeOf((file.attributes as FileAttributes).mode);
    if (before !== undefined && before !== type) {
      this.detach(file);
      return -ENOENT;
    }
    file.typeBefore = type;
    return 0;
  }

  /** Who asks for one entry's metadata after the other will ask for the next ones'. */
  #lookAhead({ parent, name }: S3Node): void {
    const entries = parent?.listing?.ahead(name, parent.lookups) ?? [];
    if (parent !== undefined && entries.length > 0) {
      void this.prefetch(parent, entries);
    }
  }

  /** What the bucket said of a directory's marker, if that holds. */
  #knownMarker(key: string): MarkerAnswer | undefined {
    const answer = this.volume.attributes.peekMarker(key);
    return answer !== undefined && this.volume.isFresh(answer.askedMs) ? answer : undefined;
  }

  #loadDirectory(directory: S3Directory): Awaitable<Status> {
    if (directory.attributes !== undefined && this.volume.isFresh(directory.attributesMs)) {
      return 0;
    }
    const { area, attributes, options } = this.volume;
    const { key } = directory;
    this.#lookAhead(directory);
    const staged = area.find(key);
    if (staged !== undefined) {
      this.setAttributes(directory, staged.attributes ?? NO_METADATA, staged.modifiedMs);
      directory.hasMarker = true;
      directory.attributesMs = performance.now();
      return 0;
    }
    if (key === "") {
      directory.attributesMs = Number.POSITIVE_INFINITY;
      this.setAttributes(directory, NO_METADATA, this.volume.startedMs);
      return 0;
    }
    const known = this.#knownMarker(key);
    if (known !== undefined) {
      return this.#acceptMarker(directory, known);
    }
    return attributes.askMarker(key).then(
      (answer) => this.#acceptMarker(directory, answer),
      (error: unknown) => errnoOf(error, options.logger),
    );
  }

  #acceptMarker(directory: S3Directory, { info, askedMs }: MarkerAnswer): Status {
    const { area, startedMs } = this.volume;
    directory.hasMarker = info !== undefined && !area.isRemoved(directory.key);
    directory.markerEtag = info?.etag;
    directory.attributesMs = askedMs;
    this.setAttributes(directory, info?.attributes ?? NO_METADATA, info?.lastModifiedMs ?? startedMs);
    return 0;
  }
}

function keyOf(directory: S3Directory, { component, object }: ListedEntry): string {
  return directory.key + component + (object === undefined ? "/" : "");
}

/** Whether somebody has an inode in use. */
function isNeeded(node: S3Node): boolean {
  const hasChildren = node instanceof S3Directory && node.children.size > 0;
  return node.tableIndex >= 0 || node.openCount > 0 || hasChildren;
}
