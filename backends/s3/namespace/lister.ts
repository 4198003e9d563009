import type { ListedObject, ListPage, ObjectStore } from "../store/object-store.js";
import { FOLDER_SUFFIX, type ListedEntry, type ListingPage } from "./directory-listing.js";
import { linkBase, linkComponent, nameOf } from "./names.js";

/** Behind every key with the prefix that it is appended to. */
const LAST = "\u{10FFFF}";

function later(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) {
    return a ?? b;
  }
  return Buffer.compare(Buffer.from(a), Buffer.from(b)) > 0 ? a : b;
}

/** In the order of a listing. */
export function isBehind(one: string, other: string): boolean {
  return later(one, other) === one && one !== other;
}

/** Whether anything at all is below a prefix, and whether that is its marker. */
export async function probePrefix(
  store: ObjectStore,
  prefix: string,
): Promise<{ exists: boolean; hasMarker: boolean }> {
  const page = await store.list({ prefix, maxKeys: 1 });
  return { exists: page.objects.length > 0, hasMarker: page.objects[0]?.key === prefix };
}

/** Where a page ends and what may follow it. */
interface PageEnd {
  readonly lastKey: string | undefined;
  readonly more: boolean;
}

function endOf(page: ListPage): PageEnd {
  const lastKey = later(page.objects.at(-1)?.key, page.commonPrefixes.at(-1));
  return { lastKey, more: page.continuationToken !== undefined };
}

/** Whether the directory beside an object of a page, if there is one, is behind the page's end. */
function mayFollow(key: string, { lastKey, more }: PageEnd): boolean {
  // Between an object and its directory come only keys that begin with the object's.
  return more && lastKey?.startsWith(key) === true && isBehind(`${key}/`, lastKey);
}

/**
 * A page without its last object where only the next one tells whether there is a directory beside it: the object is
 * left to that page, with what is behind it, which costs no request. A page keeps what would leave it empty.
 */
function holdBackLast(page: ListPage): ListPage {
  const last = page.objects.at(-1);
  if (last === undefined || !mayFollow(last.key, endOf(page))) {
    return page;
  }
  const objects = page.objects.slice(0, -1);
  const commonPrefixes = page.commonPrefixes.filter((prefix) => !isBehind(prefix, last.key));
  return objects.length + commonPrefixes.length > 0 ? { ...page, objects, commonPrefixes } : page;
}

/** A page without what is behind `until`. What ends before has nothing behind it. */
function cutBehind(page: ListPage, until: string | undefined): ListPage {
  const { lastKey, more } = endOf(page);
  if (until === undefined || !more || lastKey === undefined || !isBehind(lastKey, until)) {
    return page;
  }
  // Both are in order, and mostly one key is behind.
  const lastObject = page.objects.findLastIndex(({ key }) => !isBehind(key, until));
  const lastPrefix = page.commonPrefixes.findLastIndex((prefix) => !isBehind(prefix, until));
  return {
    ...page,
    objects: page.objects.slice(0, lastObject + 1),
    commonPrefixes: page.commonPrefixes.slice(0, lastPrefix + 1),
  };
}

/**
 * Whether there is a directory beside the object of this component. The page says so unless the directory would be
 * behind its end.
 */
async function hasDirectory(
  store: ObjectStore,
  key: string,
  prefixes: ReadonlySet<string>,
  end: PageEnd,
): Promise<boolean> {
  const directory = `${key}/`;
  if (prefixes.has(directory)) {
    return true;
  }
  return mayFollow(key, end) && (await probePrefix(store, directory)).exists;
}

/** A page while its entries are made out. */
interface Reading {
  readonly store: ObjectStore;
  readonly directoryKey: string;
  readonly prefixes: ReadonlySet<string>;
  readonly keys: ReadonlySet<string>;
  readonly after: string | undefined;
  readonly end: PageEnd;
}

/** Whether there is something else with the name of a link of rclone. The page says so unless that would be in another one. */
async function isNameTaken(base: string, { store, prefixes, keys, after, end }: Reading): Promise<boolean> {
  const directory = `${base}/`;
  if (keys.has(base) || prefixes.has(directory)) {
    return true;
  }
  const isBefore = after !== undefined && later(after, base) === after;
  const isBehind = end.more && end.lastKey !== undefined && later(directory, end.lastKey) === directory;
  if (!isBefore && !isBehind) {
    return false;
  }
  const { object, directory: hasDirectory } = await findKey(store, base);
  return object?.key === base || hasDirectory;
}

async function entryOf(object: ListedObject, reading: Reading): Promise<ListedEntry | undefined> {
  const { store, directoryKey, prefixes, end } = reading;
  const { key } = object;
  if (key === directoryKey) {
    return undefined;
  }
  if (key.endsWith(FOLDER_SUFFIX) && key.length > directoryKey.length + FOLDER_SUFFIX.length) {
    const prefix = key.slice(0, -FOLDER_SUFFIX.length);
    const component = prefix.slice(directoryKey.length);
    const listed = prefixes.has(`${prefix}/`) || (await probePrefix(store, `${prefix}/`)).exists;
    return listed ? undefined : { name: nameOf(component), component, object: undefined };
  }
  const component = key.slice(directoryKey.length);
  const base = linkBase(component);
  if (base !== undefined && !(await isNameTaken(directoryKey + base, reading))) {
    return { name: nameOf(base), component, object };
  }
  const shadowed = await hasDirectory(store, key, prefixes, end);
  return { name: nameOf(component, shadowed), component, object };
}

/** Which part of a listing: what is behind `after` and not behind `until`, where another page is known to begin. */
export interface PageRange {
  readonly after: string | undefined;
  readonly until: string | undefined;
}

/** Lists a page of the directory `directoryKey`, in the order of keys, with names as the guest sees them. */
export async function listPage(
  store: ObjectStore,
  directoryKey: string,
  { after, until }: PageRange,
): Promise<ListingPage> {
  const askedMs = performance.now();
  const listed = await store.list({
    prefix: directoryKey,
    delimiter: "/",
    ...(after !== undefined && { startAfter: after }),
  });
  const end = endOf(listed);
  const cut = cutBehind(listed, until);
  const page = cut === listed ? holdBackLast(listed) : cut;
  // What was asked for and is left to the next page tells of this one's names all the same.
  const prefixes = new Set(listed.commonPrefixes);
  const entries: ListedEntry[] = [];
  for (const prefix of page.commonPrefixes) {
    const component = prefix.slice(directoryKey.length, -1);
    entries.push({ name: nameOf(component), component, object: undefined });
  }
  const keys = new Set(listed.objects.map(({ key }) => key));
  const reading = { store, directoryKey, prefixes, keys, after, end };
  const asked = page.objects.map((object) => entryOf(object, reading));
  for (const entry of await Promise.all(asked)) {
    if (entry !== undefined) {
      entries.push(entry);
    }
  }
  return { entries, after, next: cut === listed ? cookieBehind(page) : until, askedMs };
}

/** Where the next page goes on: behind everything below a directory, not only behind its own key. */
function cookieBehind(page: ListPage): string | undefined {
  const { lastKey, more } = endOf(page);
  if (!more || lastKey === undefined) {
    return undefined;
  }
  return page.commonPrefixes.at(-1) === lastKey ? lastKey + LAST : lastKey;
}

/** What a bucket has under one name. */
export interface Found {
  readonly object: ListedObject | undefined;
  readonly directory: boolean;
}

/** How many keys that merely begin like the one asked for are looked at. */
const NEIGHBOURS = 100;

/**
 * Finds, mostly with one request, what there is under `key`: an object (or the link of rclone with that name), a
 * directory, both or nothing.
 */
export async function findKey(store: ObjectStore, key: string): Promise<Found> {
  const page = await store.list({ prefix: key, delimiter: "/", maxKeys: NEIGHBOURS });
  const object =
    page.objects.find((candidate) => candidate.key === key) ??
    page.objects.find((candidate) => candidate.key === linkComponent(key));
  const directory = `${key}/`;
  if (
    page.commonPrefixes.includes(directory) ||
    page.objects.some((candidate) => candidate.key === key + FOLDER_SUFFIX)
  ) {
    return { object, directory: true };
  }
  const { lastKey, more } = endOf(page);
  const isBehind = more && lastKey !== undefined && later(directory, lastKey) === directory;
  return { object, directory: isBehind && (await probePrefix(store, directory)).exists };
}
