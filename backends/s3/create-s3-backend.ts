import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Backend } from "../../src/vfs/backend.js";
import type { S3BackendOptions } from "./options.js";
import { S3Backend } from "./s3-backend.js";
import { openS3Store } from "./store/open-store.js";

const STATE_DIRECTORY = "/var/lib/virtiofs-gateway";
const DEFAULT_FILE_MODE = 0o644;
const DEFAULT_DIRECTORY_MODE = 0o755;

/** An S3 share as a configuration describes it. Sizes are bytes. */
export interface S3ShareOptions extends Omit<S3BackendOptions, "store" | "endpoint" | "defaults"> {
  /** Default: found out. */
  readonly region: string | undefined;
  /** URL of a server; default: AWS. */
  readonly endpoint: string | undefined;
  readonly pathStyle: boolean;
  readonly anonymous: boolean;
}

function defaultStagingDirectory({ endpoint, bucket, prefix }: S3ShareOptions): string {
  const digest = createHash("sha256")
    .update(`${endpoint ?? ""}\0${bucket}\0${prefix}`)
    .digest("hex");
  return join(STATE_DIRECTORY, "s3", `${bucket}-${digest.slice(0, 16)}`);
}

/**
 * Makes the backend of an S3 share; its staging directory is one for this bucket and prefix below the state directory of the
 * program unless given, and temporary where nothing is written; nothing is asked of the bucket before it starts.
 * @throws GatewayError when region or endpoint cannot be
 */
export async function createS3Backend(options: S3ShareOptions): Promise<Backend> {
  const { bucket, region, endpoint, pathStyle, anonymous, readonly } = options;
  const store = await openS3Store({
    bucket,
    pathStyle,
    anonymous,
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
  });
  return new S3Backend({
    ...options,
    store,
    endpoint: endpoint ?? "AWS",
    stagingDirectory: readonly ? undefined : (options.stagingDirectory ?? defaultStagingDirectory(options)),
    defaults: {
      fileMode: DEFAULT_FILE_MODE,
      directoryMode: DEFAULT_DIRECTORY_MODE,
      uid: process.getuid?.() ?? 0,
      gid: process.getgid?.() ?? 0,
    },
  });
}
