import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { FakeProcess } from "./fake-process.js";
import { startRadosgw } from "./radosgw.js";
import { TEST_CREDENTIALS } from "./server.mjs";

/** A server with an empty bucket "test". */
export interface BucketServer {
  /** Options of a gateway that shares the bucket; what is staged lies below `directory`. */
  shareArgs(directory: string): string[];
  close(): Promise<void>;
}

/** Which server tests use that ask no more of it than S3: S3_SERVER=radosgw is Ceph's, otherwise it is the fake. */
export async function startBucketServer(): Promise<BucketServer> {
  if (process.env.S3_SERVER !== "radosgw") {
    return FakeProcess.start();
  }
  const server = await startRadosgw();
  const { endpoint } = server;
  const sdk = new S3Client({
    ...{ endpoint, region: "us-east-1", forcePathStyle: true, credentials: TEST_CREDENTIALS },
  });
  await sdk.send(new CreateBucketCommand({ Bucket: "test" }));
  sdk.destroy();
  return {
    shareArgs: (directory) => [
      ...["--backend", "s3", "--bucket", "test", "--endpoint", endpoint, "--path-style"],
      ...["--staging-dir", `${directory}/staging`, "--cache-dir", `${directory}/cache`],
    ],
    close: async () => server.close(),
  };
}
