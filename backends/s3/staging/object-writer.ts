import { hash } from "node:crypto";
import { EIO } from "../../../src/vfs/errno.js";
import { isStoreError, StatusError } from "../errors.js";
import { findObject } from "../store/find-object.js";
import type {
  Condition,
  ObjectAttributes,
  ObjectInfo,
  ObjectStore,
  PutResult,
  StoreFeatures,
} from "../store/object-store.js";
import { ANYTHING, type Expectation, type Intent, NOTHING } from "./file-state.js";
import type { Journal } from "./journal.js";
import type { LocalFile, Snapshot } from "./local-file.js";
import { FIRST_PART_BYTES, MAX_COPY_BYTES, planCopy, planEdit, planUpload } from "./part-plan.js";
import { multipartEtag, type PartUpload } from "./part-upload.js";
import type { UploadSlots } from "./upload-slots.js";

/** Bodies up to this size are told from others by their MD5, larger ones by their metadata. */
const MAX_HASHED_BYTES = 2 ** 20;

export interface ObjectWriterOptions {
  readonly store: ObjectStore;
  readonly features: StoreFeatures;
  readonly journal: Journal;
  readonly slots: UploadSlots;
}

/** Somebody else's object is where ours should go. */
export class ConflictError extends Error {
  override readonly name = "ConflictError";
}

function sameMetadata(one: Intent["metadata"], other: Intent["metadata"]): boolean {
  const entries = Object.entries(one ?? {});
  return (
    entries.length > 0 &&
    entries.length === Object.keys(other ?? {}).length &&
    entries.every(([name, value]) => other?.[name] === value)
  );
}

function isIntended(info: ObjectInfo, intent: Intent): boolean {
  const { key, size, etag, metadata } = intent;
  return (
    info.key === key &&
    info.size === size &&
    (info.etag === etag || sameMetadata(metadata, info.attributes.metadata))
  );
}

/** Whole bodies, copies and parts are each sent in their own way. */
type Send = (condition: Condition | undefined) => Promise<PutResult>;

/** Writes one snapshot of a file as one object, in the cheapest way there is. */
export class ObjectWriter {
  readonly #options: ObjectWriterOptions;

  constructor(options: ObjectWriterOptions) {
    this.#options = options;
  }

  /**
   * @returns the ETag of the object under `target`
   * @throws ConflictError when there is another object than `expect` says, a StoreError, or a StatusError of the local disk
   */
  async write(
    file: LocalFile,
    upload: PartUpload,
    target: string,
    expect: Expectation,
  ): Promise<{ snapshot: Snapshot; result: PutResult }> {
    const { size, dataChanged } = file;
    if (dataChanged && (size > FIRST_PART_BYTES || (file.state.upload?.parts.length ?? 0) > 0)) {
      return this.#writeParts(file, upload, target, expect);
    }
    // Of a file that was larger when it was begun.
    upload.drop();
    const snapshot = await file.beginSnapshot();
    if (!snapshot.dataChanged && snapshot.source !== undefined) {
      return this.#copy(file, upload, snapshot, target, expect);
    }
    return snapshot.size > FIRST_PART_BYTES
      ? this.#writeParts(file, upload, target, expect)
      : this.#put(file, snapshot, target, expect);
  }

  /**
   * Whether what is under the key instead of the source is what was sent there before, as happens when the answer got
   * lost with the gateway: then the file is based on that.
   */
  async recognise(file: LocalFile, key: string): Promise<boolean> {
    const { id, intents, source } = file.state;
    const there = intents.length > 0 ? await findObject(this.#options.store, key) : undefined;
    if (there === undefined || !intents.some((intent) => isIntended(there, intent))) {
      return false;
    }
    const arrived = { key, etag: there.etag, size: there.size };
    this.#options.journal.append({
      file: id,
      set: { intents: [], expect: there.etag, ...(source?.key === key && { source: arrived }) },
    });
    return true;
  }

  /** What was sent to another key, before a rename, and has arrived although nobody said so, is left over. */
  async findStrays(file: LocalFile, target: string): Promise<void> {
    const { id, intents } = file.state;
    const strays = intents.filter(({ key }) => key !== target);
    for (const intent of strays) {
      const there = await this.findStray(intent);
      const leftovers = file.state.leftovers.filter(({ key }) => key !== intent.key);
      this.#options.journal.append({
        file: id,
        set: {
          intents: file.state.intents.filter((other) => other !== intent),
          ...(there !== undefined && { leftovers: [...leftovers, { key: there.key, etag: there.etag }] }),
        },
      });
    }
  }

  /** What was sent, if it has arrived. */
  async findStray(intent: Intent): Promise<ObjectInfo | undefined> {
    const there = await findObject(this.#options.store, intent.key);
    return there !== undefined && isIntended(there, intent) ? there : undefined;
  }

  #put(file: LocalFile, snapshot: Snapshot, target: string, expect: Expectation) {
    const { store, slots } = this.#options;
    return slots.run(snapshot.size, async (body) => {
      const attributes = await this.#attributesOf(snapshot);
      const count = await file.read(0, body);
      if (count !== snapshot.size) {
        throw new StatusError(count);
      }
      file.guard.markRead(0, snapshot.size);
      const digest = body.length <= MAX_HASHED_BYTES ? hash("md5", body, "hex") : undefined;
      const intent: Intent = {
        key: target,
        size: snapshot.size,
        metadata: attributes.metadata,
        ...(digest !== undefined && { etag: `"${digest}"` }),
      };
      const result = await this.#send(file, intent, expect, (condition) =>
        store.put(target, body, attributes, condition),
      );
      return { snapshot, result };
    });
  }

  async #copy(
    file: LocalFile,
    upload: PartUpload,
    snapshot: Snapshot,
    target: string,
    expect: Expectation,
  ): Promise<{ snapshot: Snapshot; result: PutResult }> {
    const { store, slots } = this.#options;
    const { source, attributes } = snapshot;
    if (source === undefined || source.size > MAX_COPY_BYTES) {
      return this.#writeParts(file, upload, target, expect);
    }
    file.guard.markRead(0, snapshot.size);
    const { key, etag, versionId, size } = source;
    const from = { key, ifMatch: etag, ...(versionId !== undefined && { versionId }) };
    // The copy of what came in parts has another ETag: it is known by its metadata.
    const known = attributes ?? (etag.includes("-") ? (await store.head(key)).attributes : undefined);
    const intent: Intent = { key: target, size, etag, ...(known && { metadata: known.metadata }) };
    const result = await slots.run(0, () =>
      this.#send(file, intent, expect, (condition) => store.copy(from, target, attributes, condition), true),
    );
    return { snapshot, result };
  }

  async #writeParts(
    file: LocalFile,
    upload: PartUpload,
    target: string,
    expect: Expectation,
  ): Promise<{ snapshot: Snapshot; result: PutResult }> {
    const { store, features } = this.#options;
    await upload.pauseStreaming();
    const begun = file.state.upload?.attributes ?? (await this.#attributesOf(file.state));
    const uploadId = await upload.ensure(target, begun);
    const snapshot = { ...(await file.beginSnapshot()), attributes: begun };
    const { size, source, sourceLimit, changed, dataChanged } = snapshot;
    const plan =
      source === undefined || sourceLimit === 0 || !features.partCopy
        ? planUpload(size)
        : dataChanged
          ? planEdit(size, sourceLimit, changed)
          : planCopy(size);
    const parts = await upload.send(uploadId, plan, source);
    const etag = multipartEtag(parts);
    const intent: Intent = {
      key: target,
      size,
      metadata: begun.metadata,
      ...(etag !== undefined && { etag }),
    };
    let isCompleted = false;
    const result = await this.#send(file, intent, expect, async (condition) => {
      const completed = await store.completeUpload(target, uploadId, parts, condition);
      isCompleted = true;
      return completed;
    });
    if (!isCompleted) {
      // What arrived without an answer is another upload of the same bytes, if not this one.
      upload.drop();
    }
    return { snapshot, result };
  }

  async #attributesOf(of: Pick<Snapshot, "attributes" | "source">): Promise<ObjectAttributes> {
    if (of.attributes !== undefined) {
      return of.attributes;
    }
    return of.source === undefined
      ? { metadata: {} }
      : (await this.#options.store.head(of.source.key)).attributes;
  }

  /** The journal has what is about to be sent, so that its arrival is recognised when the answer gets lost. */
  async #send(
    file: LocalFile,
    intent: Intent,
    expect: Expectation,
    send: Send,
    isCopy = false,
  ): Promise<PutResult> {
    const { journal } = this.#options;
    const { id, intents, removed } = file.state;
    if (removed) {
      // Whoever has the name now does not know of what would be sent.
      throw new RemovedError();
    }
    if (journal.isClosed) {
      throw new StatusError(-EIO);
    }
    journal.append({ file: id, set: { intents: [...intents, intent] } });
    try {
      return await send(await this.#condition(intent.key, expect, isCopy));
    } catch (err) {
      if (!isStoreError(err, "precondition", "not-found", "no-upload") && !(err instanceof ConflictError)) {
        throw err;
      }
      const there = await findObject(this.#options.store, intent.key);
      if (there !== undefined && isIntended(there, intent)) {
        return there;
      }
      return this.#resolve(file, intent, there, err);
    }
  }

  /** What was sent before has arrived although nobody said so: then that is what is to be replaced. */
  #resolve(file: LocalFile, intent: Intent, there: ObjectInfo | undefined, err: unknown): never {
    const { id, intents, source } = file.state;
    const others = intents.filter((other) => other !== intent);
    const ours = there === undefined ? undefined : others.find((other) => isIntended(there, other));
    const set = { intents: others.filter((other) => other !== ours) };
    if (there === undefined || ours === undefined) {
      this.#options.journal.append({ file: id, set });
      throw isStoreError(err, "no-upload") ? err : new ConflictError();
    }
    const arrived = { key: there.key, etag: there.etag, size: there.size };
    this.#options.journal.append({
      file: id,
      set: { ...set, expect: there.etag, ...(source?.key === there.key && { source: arrived }) },
    });
    throw new ArrivedError();
  }

  /** What the endpoint checks by itself; where it does not, one look before comes close. */
  async #condition(key: string, expect: Expectation, isCopy: boolean): Promise<Condition | undefined> {
    const { createOnly, replaceOnly, conditionalCopyTarget } = this.#options.features;
    if (expect === ANYTHING) {
      return undefined;
    }
    const isHonoured = expect === NOTHING ? createOnly : replaceOnly;
    if (isHonoured && (conditionalCopyTarget || !isCopy)) {
      return expect === NOTHING ? { ifNoneMatch: "*" } : { ifMatch: expect };
    }
    if (((await findObject(this.#options.store, key))?.etag ?? NOTHING) !== expect) {
      throw new ConflictError();
    }
    return undefined;
  }
}

/** The file was removed while it was being prepared. */
export class RemovedError extends Error {
  override readonly name = "RemovedError";
}

/** An earlier version of the file turned out to be there: the writing has to begin anew. */
export class ArrivedError extends Error {
  override readonly name = "ArrivedError";
}
