import { createHash } from "node:crypto";
import { isStoreError, StatusError } from "../errors.js";
import type { ObjectAttributes, ObjectStore, UploadedPart } from "../store/object-store.js";
import type { Aborts } from "./aborts.js";
import type { StoredPart } from "./file-state.js";
import type { Journal } from "./journal.js";
import type { LocalFile } from "./local-file.js";
import { growingPart, type PlannedPart } from "./part-plan.js";
import type { SourceObject } from "./staging.js";
import type { UploadSlots } from "./upload-slots.js";

/** Smaller files are uploaded when they are complete, which needs no second request for their final attributes. */
const STREAM_FROM_BYTES = 64 * 2 ** 20;
/** Parts of one file under way while it is written. */
const STREAMED_AT_A_TIME = 8;
/** A file whose parts keep changing after they were sent is not written from its beginning to its end. */
const MAX_STREAMED_IN_VAIN = 4;

/** What uploads of all files share. */
export interface UploadContext {
  readonly store: ObjectStore;
  readonly journal: Journal;
  readonly slots: UploadSlots;
  readonly aborts: Aborts;
}

/** The ETag that an object made of these parts gets where ETags are MD5, or undefined. */
export function multipartEtag(parts: readonly UploadedPart[]): string | undefined {
  const hash = createHash("md5");
  for (const { etag } of parts) {
    const [, digest] = /^"([0-9a-f]{32})"$/.exec(etag) ?? [];
    if (digest === undefined) {
      return undefined;
    }
    hash.update(Buffer.from(digest, "hex"));
  }
  return `"${hash.digest("hex")}-${parts.length}"`;
}

/** The multipart upload of one file: begun, continued after a restart, fed while the file grows, or dropped. */
export class PartUpload {
  readonly #context: UploadContext;
  readonly #file: LocalFile;
  /** Parts that are on their way while the file is written. */
  readonly #streaming = new Map<number, Promise<void>>();
  #creating: Promise<string> | undefined;
  /** What the journal says was compared with what the bucket has. */
  #verified = false;
  #nextStreamed = 1;
  #inVain = 0;
  #paused = false;

  constructor(context: UploadContext, file: LocalFile) {
    this.#context = context;
    this.#file = file;
  }

  /** The id of the upload to `key`, a new one unless there is one. */
  ensure(key: string, attributes: ObjectAttributes): Promise<string> {
    this.#creating ??= this.#resumeOrCreate(key, attributes).finally(() => {
      this.#creating = undefined;
    });
    return this.#creating;
  }

  /** Sends what is complete of a file that is being written from its beginning to its end. */
  stream(): void {
    const file = this.#file;
    const { sourceLimit, attributes, key } = file.state;
    if (
      this.#paused ||
      sourceLimit > 0 ||
      file.size < STREAM_FROM_BYTES ||
      this.#inVain > MAX_STREAMED_IN_VAIN
    ) {
      return;
    }
    while (this.#streaming.size < STREAMED_AT_A_TIME) {
      const partNumber = this.#nextStreamed;
      const { offset, length } = growingPart(partNumber);
      // One part behind the end: what is written out of order by a few requests is complete there.
      if (offset + 2 * length > file.size || !file.hasOwn(offset, offset + length)) {
        return;
      }
      this.#nextStreamed++;
      const part: PlannedPart = { partNumber, offset, length, copy: false };
      const sent = this.ensure(file.state.upload?.key ?? key, attributes ?? { metadata: {} })
        .then((uploadId) => this.#sendBytes(uploadId, part, () => {}))
        // The publication sends it again, and tells of the error if that does not help.
        .catch(() => undefined)
        .then(() => {
          this.#streaming.delete(partNumber);
          this.stream();
        });
      this.#streaming.set(partNumber, sent);
    }
  }

  /** No more parts are sent ahead until {@link resumeStreaming}; resolves when none is on its way. */
  async pauseStreaming(): Promise<void> {
    this.#paused = true;
    await Promise.all(this.#streaming.values());
  }

  resumeStreaming(): void {
    this.#paused = false;
    if (this.#file.state.upload === undefined) {
      this.#nextStreamed = 1;
    }
  }

  /** Sends what is planned and not there yet; the file must be in a snapshot. @returns the parts in their order */
  async send(
    uploadId: string,
    plan: readonly PlannedPart[],
    source: SourceObject | undefined,
  ): Promise<StoredPart[]> {
    const there = new Map((this.#file.state.upload?.parts ?? []).map((part) => [part.partNumber, part]));
    return Promise.all(
      plan.map((part) => {
        const sent = there.get(part.partNumber);
        const isSent = sent?.offset === part.offset && sent.length === part.length;
        const end = part.offset + part.length;
        if (isSent || part.copy) {
          this.#file.guard.markRead(part.offset, end);
        }
        if (isSent) {
          return sent;
        }
        return part.copy && source !== undefined
          ? this.#copyBytes(uploadId, part, source)
          : this.#sendBytes(uploadId, part, () => this.#file.guard.markRead(part.offset, end));
      }),
    );
  }

  /** Gives the upload up, if there is one. */
  drop(): void {
    const { id, upload } = this.#file.state;
    this.#nextStreamed = 1;
    if (upload !== undefined) {
      const { key, uploadId, sinceMs } = upload;
      this.#context.journal.append(
        { file: id, set: { upload: null } },
        { abort: key, sinceMs, ...(uploadId !== undefined && { uploadId }) },
      );
      this.#context.aborts.start();
    }
  }

  async #resumeOrCreate(key: string, attributes: ObjectAttributes): Promise<string> {
    const { upload } = this.#file.state;
    if (upload?.uploadId !== undefined && upload.key === key) {
      if (this.#verified || (await this.#verify(key, upload.uploadId))) {
        this.#verified = true;
        return upload.uploadId;
      }
    } else if (upload !== undefined) {
      this.drop();
    }
    this.#verified = true;
    return this.#create(key, attributes);
  }

  /** Parts that the journal has and the bucket has not are sent again. @returns whether the upload exists */
  async #verify(key: string, uploadId: string): Promise<boolean> {
    const { id, upload } = this.#file.state;
    try {
      const there = new Map(
        (await this.#context.store.listParts(key, uploadId)).map((part) => [part.partNumber, part]),
      );
      const stale = (upload?.parts ?? [])
        .filter(({ partNumber, etag, length }) => {
          const found = there.get(partNumber);
          return found?.etag !== etag || found.size !== length;
        })
        .map(({ partNumber }) => partNumber);
      this.#context.journal.append({ file: id, stale });
      return true;
    } catch (err) {
      if (!isStoreError(err, "no-upload")) {
        throw err;
      }
      this.#context.journal.append({ file: id, set: { upload: null } });
      return false;
    }
  }

  /** The intent comes first: if the answer is lost, the key is known and the upload can be found. */
  async #create(key: string, attributes: ObjectAttributes): Promise<string> {
    const { journal, aborts } = this.#context;
    const { id } = this.#file.state;
    const begun = { key, sinceMs: Date.now(), attributes, parts: [] };
    journal.append({ file: id, set: { upload: begun } });
    let uploadId: string;
    try {
      uploadId = await aborts.createUpload(key, attributes);
    } catch (err) {
      journal.append({ file: id, set: { upload: null } }, { abort: key, sinceMs: begun.sinceMs });
      aborts.start();
      throw err;
    }
    journal.append({ file: id, set: { upload: { ...begun, uploadId } } });
    return uploadId;
  }

  #keep(part: StoredPart, isStale: boolean): StoredPart {
    if (!isStale) {
      this.#context.journal.append({ file: this.#file.state.id, part });
    }
    return part;
  }

  #sendBytes(uploadId: string, part: PlannedPart, onRead: () => void): Promise<StoredPart> {
    const { store, slots } = this.#context;
    const file = this.#file;
    const { partNumber, offset, length } = part;
    return slots.run(length, async (buffer) => {
      const range = file.guard.track(offset, offset + length);
      try {
        const count = await file.read(offset, buffer);
        if (count !== length) {
          throw new StatusError(count);
        }
        onRead();
        const key = file.state.upload?.key ?? file.key;
        const sent = await store.uploadPart(key, uploadId, partNumber, buffer);
        this.#inVain += range.stale ? 1 : 0;
        return this.#keep({ ...sent, partNumber, offset, length }, range.stale);
      } finally {
        file.guard.untrack(range);
      }
    });
  }

  #copyBytes(uploadId: string, part: PlannedPart, source: SourceObject): Promise<StoredPart> {
    const { store, slots } = this.#context;
    const file = this.#file;
    const { partNumber, offset, length } = part;
    const from = {
      key: source.key,
      ifMatch: source.etag,
      ...(source.versionId !== undefined && { versionId: source.versionId }),
    };
    return slots.run(0, async () => {
      const range = file.guard.track(offset, offset + length);
      try {
        const key = file.state.upload?.key ?? file.key;
        const copied = await store.copyPart(key, uploadId, partNumber, from, offset, length);
        return this.#keep({ ...copied, partNumber, offset, length }, range.stale);
      } finally {
        file.guard.untrack(range);
      }
    });
  }
}
