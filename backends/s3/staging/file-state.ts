import type { ObjectAttributes, UploadedPart } from "../store/object-store.js";
import { type Extent, ExtentSet } from "./extent-set.js";
import type { SourceObject } from "./staging.js";

/** A part that is in the bucket, of the bytes that the file has there now. */
export interface StoredPart extends UploadedPart {
  readonly offset: number;
  readonly length: number;
}

/** A multipart upload of ours. Without an id it was about to be created: whether it exists is not known. */
export interface UploadState {
  readonly key: string;
  readonly uploadId?: string;
  /** When it was about to be created. */
  readonly sinceMs: number;
  /** What it was created with. */
  readonly attributes: ObjectAttributes;
  readonly parts: readonly StoredPart[];
}

/**
 * What was sent to a key without an answer yet: an object there that looks like this is ours. The size always has to
 * be equal, and then either the ETag or all of the metadata.
 */
export interface Intent {
  readonly key: string;
  readonly size: number;
  readonly etag?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** An object to delete when the file is published: where it was before a rename. */
export interface Leftover {
  readonly key: string;
  readonly etag?: string;
}

/** The ETag of an object, with its quotes, or one of these. */
export type Expectation = string;
export const NOTHING: Expectation = "nothing";
export const ANYTHING: Expectation = "anything";

/** Everything of a staged file that a restart needs, beside its data. Only {@link applyRecord} changes it. */
export interface FileState {
  readonly id: number;
  key: string;
  /** What is under the key in the bucket and may be replaced. */
  expect: Expectation;
  source: SourceObject | undefined;
  /** From here on nothing comes from the source. */
  sourceLimit: number;
  /** Meaningless without a source: the local file has the size then. */
  size: number;
  /** Data that differs from the source. Not kept without a source: it is all of the file. */
  changed: ExtentSet;
  attributes: ObjectAttributes | undefined;
  /** The attributes differ from those of the source. */
  attributesChanged: boolean;
  leftovers: readonly Leftover[];
  intents: readonly Intent[];
  upload: UploadState | undefined;
  /** Lost to another writer: `key` is below lost+found. */
  conflicted: boolean;
  /** Unlinked or replaced: only open handles know it. */
  removed: boolean;
}

/** What can be set at once. JSON has no undefined: null stands for it. */
export type StatePatch = {
  [Field in Exclude<keyof FileState, "id" | "changed">]?:
    | Exclude<FileState[Field], undefined>
    | (undefined extends FileState[Field] ? null : never);
} & { changed?: readonly Extent[] };

/** A step of the journal. Several of them are written together or not at all. */
export type JournalRecord =
  /** A file begins. */
  | { readonly file: number; readonly state: StatePatch }
  | { readonly file: number; readonly set: StatePatch }
  /** Data of the range was changed. */
  | { readonly file: number; readonly change: Extent }
  /** The file was cut, or lengthened, to a size. */
  | { readonly file: number; readonly cut: number }
  | { readonly file: number; readonly part: StoredPart }
  /** Parts whose bytes were changed after they had been sent. */
  | { readonly file: number; readonly stale: readonly number[] }
  /** The file is no more. */
  | { readonly file: number; readonly gone: true }
  /** A key to delete in the bucket. */
  | { readonly remove: string; readonly etag?: string }
  | { readonly removed: string }
  /** An upload to abort; without an id all of the key since that time. */
  | { readonly abort: string; readonly uploadId?: string; readonly sinceMs: number }
  | { readonly aborted: string; readonly sinceMs: number };

/** An upload that has to go. */
export interface Abort {
  readonly key: string;
  readonly uploadId: string | undefined;
  readonly sinceMs: number;
}

/** What the journal says. */
export interface JournalImage {
  readonly files: Map<number, FileState>;
  /** Keys to delete, with the ETag of what is there where that is known. */
  readonly removals: Map<string, string | undefined>;
  readonly aborts: Map<string, Abort>;
}

export function emptyImage(): JournalImage {
  return { files: new Map(), removals: new Map(), aborts: new Map() };
}

function abortName(key: string, sinceMs: number): string {
  return `${sinceMs} ${key}`;
}

function freshState(id: number): FileState {
  return {
    id,
    key: "",
    expect: NOTHING,
    source: undefined,
    sourceLimit: 0,
    size: 0,
    changed: new ExtentSet(),
    attributes: undefined,
    attributesChanged: false,
    leftovers: [],
    intents: [],
    upload: undefined,
    conflicted: false,
    removed: false,
  };
}

function patchState(state: FileState, patch: StatePatch): void {
  const fields = state as unknown as Record<string, unknown>;
  for (const name in patch) {
    if (name !== "changed") {
      fields[name] = patch[name as keyof StatePatch] ?? undefined;
    }
  }
  if (patch.changed !== undefined) {
    state.changed = new ExtentSet(patch.changed);
  }
}

function cutState(state: FileState, size: number): void {
  state.changed.remove(size, Number.POSITIVE_INFINITY);
  state.sourceLimit = Math.min(state.sourceLimit, size);
  state.size = size;
}

function withParts(state: FileState, parts: readonly StoredPart[]): void {
  if (state.upload !== undefined) {
    state.upload = { ...state.upload, parts };
  }
}

function applyToFile(state: FileState, record: Extract<JournalRecord, { file: number }>): void {
  const parts = state.upload?.parts ?? [];
  if ("set" in record) {
    patchState(state, record.set);
  } else if ("change" in record) {
    const [start, end] = record.change;
    state.changed.add(start, end);
    state.size = Math.max(state.size, end);
  } else if ("cut" in record) {
    cutState(state, record.cut);
  } else if ("part" in record) {
    const { part } = record;
    withParts(state, [...parts.filter(({ partNumber }) => partNumber !== part.partNumber), part]);
  } else if ("stale" in record) {
    withParts(
      state,
      parts.filter(({ partNumber }) => !record.stale.includes(partNumber)),
    );
  }
}

/** Takes one step. A step of a file that does not exist changes nothing. */
export function applyRecord(image: JournalImage, record: JournalRecord): void {
  if ("remove" in record) {
    image.removals.set(record.remove, record.etag);
  } else if ("removed" in record) {
    image.removals.delete(record.removed);
  } else if ("abort" in record) {
    const { abort: key, uploadId, sinceMs } = record;
    image.aborts.set(abortName(key, sinceMs), { key, uploadId, sinceMs });
  } else if ("aborted" in record) {
    image.aborts.delete(abortName(record.aborted, record.sinceMs));
  } else if ("state" in record) {
    const state = freshState(record.file);
    patchState(state, record.state);
    image.files.set(record.file, state);
  } else if ("gone" in record) {
    image.files.delete(record.file);
  } else {
    const state = image.files.get(record.file);
    if (state !== undefined) {
      applyToFile(state, record);
    }
  }
}

/** The object that the bucket has under the file's own key, as far as is known. */
export function objectUnder({ key, source, expect }: FileState): { readonly etag?: string } | undefined {
  if (source?.key === key) {
    return { etag: source.etag };
  }
  if (expect === NOTHING) {
    return undefined;
  }
  return expect.startsWith('"') ? { etag: expect } : {};
}

/**
 * Steps that make a file go: what it left behind elsewhere is removed without it. What was sent and not answered is
 * the `heir`'s, if there is one.
 */
export function replacing(file: FileState | undefined, heir: boolean): JournalRecord[] {
  if (file === undefined) {
    return [];
  }
  const { id, leftovers } = file;
  return [
    { file: id, set: { removed: true, ...(heir && { intents: [] }) } },
    ...leftovers.map(({ key, etag }) => ({ remove: key, ...(etag !== undefined && { etag }) })),
  ];
}

/** The shortest steps that lead from nothing to the image. */
export function* snapshotRecords(image: JournalImage): Generator<JournalRecord> {
  for (const { id, changed, ...fields } of image.files.values()) {
    const { source, attributes, upload, ...others } = fields;
    const state: StatePatch = { ...others, changed: source === undefined ? [] : [...changed] };
    yield {
      file: id,
      state: { ...state, source: source ?? null, attributes: attributes ?? null, upload: upload ?? null },
    };
  }
  for (const [remove, etag] of image.removals) {
    yield { remove, ...(etag !== undefined && { etag }) };
  }
  for (const { key, uploadId, sinceMs } of image.aborts.values()) {
    yield { abort: key, sinceMs, ...(uploadId !== undefined && { uploadId }) };
  }
}
