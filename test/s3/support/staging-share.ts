import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type {
  StagedFile,
  StagingArea,
  StagingEvents,
  StagingOptions,
} from "../../../backends/s3/staging/staging.js";
import { openStagingArea } from "../../../backends/s3/staging/staging-area.js";
import type { ObjectStore, StoreFeatures } from "../../../backends/s3/store/object-store.js";
import { openS3Store } from "../../../backends/s3/store/open-store.js";
import { type FakeS3, startFakeS3, TEST_CREDENTIALS } from "../../support/s3/server.mjs";

const BUCKET = "test";

/** A fake server, a store on it, and staging areas one after the other in one directory. */
export class StagingShare {
  readonly server: FakeS3;
  readonly store: ObjectStore;
  readonly features: StoreFeatures;
  readonly directory = mkdtempSync(join(tmpdir(), "staging-"));
  readonly #areas: StagingArea[] = [];

  private constructor(server: FakeS3, store: ObjectStore, features: StoreFeatures) {
    this.server = server;
    this.store = store;
    this.features = features;
  }

  static async start(features: Partial<FakeS3["features"]> = {}, deadlineMs?: number): Promise<StagingShare> {
    const server = await startFakeS3({ buckets: [BUCKET], features });
    const options = {
      bucket: BUCKET,
      endpoint: server.endpoint,
      pathStyle: true,
      credentials: TEST_CREDENTIALS,
      // A loaded machine is slow, but nothing is asked twice for it.
      timeoutMs: 60_000,
    };
    // Nor does a short deadline count for what only prepares the test.
    const prober = await openS3Store(options);
    const honoured = await prober.probe("scratch/");
    const store = deadlineMs === undefined ? prober : await openS3Store({ ...options, deadlineMs });
    if (store !== prober) await prober.close();
    server.counts.reset();
    return new StagingShare(server, store, honoured);
  }

  /** Opens the directory; areas that were opened before must be closed. */
  open(options: Partial<StagingOptions> = {}, events: StagingEvents = {}): StagingArea {
    const area = openStagingArea(
      {
        store: this.store,
        features: this.features,
        directory: this.directory,
        fsync: "remote",
        onConflict: "error",
        lostAndFound: "lost+found/",
        scratch: ".scratch/",
        writeBackDelayMs: 10,
        ...options,
      },
      events,
    );
    this.#areas.push(area);
    return area;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#areas.map((area) => area.close().catch(() => undefined)));
    await this.store.close();
    await this.server.close();
    rmSync(this.directory, { recursive: true });
  }

  /** What the bucket has under a key. */
  object(key: string): Buffer | undefined {
    const version = this.server.bucket(BUCKET).find(Buffer.from(key, "utf8").toString("latin1"));
    return version === undefined || version.deleteMarker === true
      ? undefined
      : Buffer.concat([...version.data.read()]);
  }

  /** All keys in the bucket. */
  async keys(): Promise<string[]> {
    return (await this.store.list({ prefix: "" })).objects.map(({ key }) => key);
  }

  /** Uploads that were begun and have not ended. */
  get openUploads(): number {
    return this.server.bucket(BUCKET).uploads.size;
  }

  get requests(): Readonly<Record<string, number>> {
    return this.server.counts.operations;
  }

  /** Puts an object as somebody else would. @returns its ETag */
  async putForeign(
    key: string,
    data: string | Uint8Array,
  ): Promise<{ key: string; etag: string; size: number }> {
    const body = Buffer.from(data);
    const { etag } = await this.store.put(key, body, { metadata: {} });
    this.server.counts.reset();
    return { key, etag, size: body.length };
  }
}

export const ATTRIBUTES = { metadata: { mode: "33188", mtime: "1700000000.5" } };

/** Reads all of a staged file. */
export async function contents(file: StagedFile): Promise<Buffer> {
  const into = Buffer.alloc(file.size);
  const count = await file.read(0, into);
  if (count !== file.size) throw new Error(`read ${count} of ${file.size}`);
  return into;
}

/** Resolves as soon as the condition holds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 60_000; !(await condition()); ) {
    if (Date.now() > end) throw new Error("it does not happen");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
