import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MountedShare } from "../../host/mounted-share.js";
import { Client, DEFAULT_INIT_FLAGS, InitFlag } from "../../support/frontend/index.js";
import { startBucketServer } from "../../support/s3/bucket-server.js";
import { CREDENTIALS_ENV } from "../../support/s3/fake-process.js";
import { type Capability, without } from "./capabilities.js";
import type { Environment } from "./cases.js";
import { directoryEnvironment, NOT_MOUNTED, NOT_OVER_RINGS } from "./environments.js";
import { RingsSystem } from "./rings-system.js";

/** What objects cannot be or say; docs/s3.md says why of each. */
const S3_LACKS: readonly Capability[] = [
  "linkLimit",
  "anyBytes",
  "hardLinks",
  "specialFiles",
  "trustedXattrs",
  "mediumXattrs",
  "largeXattrs",
  "posixAcl",
  "tmpfile",
  "renameExchange",
  "renameWhiteout",
  "blocks",
  "freeHoles",
  "lastingOffsets",
  "hugeFiles",
  "directoryLinks",
  "atime",
  "birthTime",
  "inodeFlags",
  "inodeLimit",
];

/** As the mounts of the other backends. */
const ARGS = ["--killpriv-v2"];

function enterCredentials(): void {
  Object.assign(process.env, CREDENTIALS_ENV);
}

/** A bucket of the server, through the FUSE session and real rings. */
export async function s3RingsEnvironment(): Promise<Environment> {
  const server = await startBucketServer();
  enterCredentials();
  const flags = DEFAULT_INIT_FLAGS | InitFlag.HANDLE_KILLPRIV_V2;
  const client = await Client.mount({
    serve: (directory) => [...server.shareArgs(directory), ...ARGS],
    init: { flags },
  });
  return {
    name: "s3 over rings",
    kind: "s3",
    system: new RingsSystem(client),
    capabilities: without(...S3_LACKS, ...NOT_OVER_RINGS),
    close: async () => {
      await client.unmount();
      await server.close();
    },
  };
}

/** A bucket of the server, mounted on this host through /dev/fuse. */
export async function s3MountEnvironment(): Promise<Environment> {
  const server = await startBucketServer();
  enterCredentials();
  const scratch = mkdtempSync(join(tmpdir(), "conformance-s3-"));
  const share = await MountedShare.open([...server.shareArgs(scratch), ...ARGS]);
  return directoryEnvironment("s3 mounted", share.path, {
    kind: "s3",
    capabilities: without(...S3_LACKS, ...NOT_MOUNTED),
    close: async () => {
      const { mount, gateway, log } = await share.close();
      await server.close();
      rmSync(scratch, { recursive: true });
      if (mount !== 0 || gateway !== 0 || log.includes("ERROR")) {
        throw new Error(`mount ended with ${mount}, the server with ${gateway}:\n${log}`);
      }
    },
  });
}
