// @ts-check
import path from "node:path";
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { startFakeS3, TEST_CREDENTIALS } from "../support/s3/server.mjs";
import { Session } from "./session.mjs";
import { print } from "./style.mjs";

const BUCKET = "holidays";
const GREETING = "These are objects of a bucket.\n";

process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = "true";

/** An S3 server with a bucket of objects, and a guest that mounts it. */
export class BucketSession extends Session {
  /** @override */
  hint = `
You are in the guest now: /bucket is a bucket of the S3 server.
Leave with "exit" (or Ctrl-] if the guest is stuck); everything is cleaned up then.

`;
  /** @type {import('../support/s3/server.mjs').FakeS3 | undefined} */
  #server;
  /** @type {S3Client | undefined} */
  #client;

  /** A plain client, as any program has one. */
  get client() {
    if (this.#client === undefined) throw new Error("the S3 server has not been started");
    return this.#client;
  }

  /** @override */
  tell() {
    return runBucketStory(this);
  }

  /** @override */
  async startShares() {
    const server = await startFakeS3();
    this.#server = server;
    this.#client = new S3Client({
      endpoint: server.endpoint,
      region: "us-east-1",
      forcePathStyle: true,
      credentials: TEST_CREDENTIALS,
    });
    await this.#fillBucket();
    process.env.AWS_ACCESS_KEY_ID = TEST_CREDENTIALS.accessKeyId;
    process.env.AWS_SECRET_ACCESS_KEY = TEST_CREDENTIALS.secretAccessKey;
    const staging = path.join(this.directory, "staging");
    return [
      await this.startGateway("bucket", [
        ...["--backend", "s3", "--bucket", BUCKET, "--endpoint", server.endpoint, "--path-style"],
        ...["--staging-dir", staging],
      ]),
    ];
  }

  async #fillBucket() {
    await this.client.send(new CreateBucketCommand({ Bucket: BUCKET }));
    for (const [Key, Body] of [
      ["readme.txt", GREETING],
      ["2025/beach.txt", "sand\n"],
      ["2025/lake.txt", "water\n"],
    ]) {
      await this.client.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body }));
      print.command("host", `put-object ${Key}`, "");
    }
  }

  /** What the bucket has, by key. */
  async listBucket() {
    const { Contents = [] } = await this.client.send(new ListObjectsV2Command({ Bucket: BUCKET }));
    const keys = Contents.map(({ Key = "" }) => Key);
    print.command("host", `list-objects-v2 --bucket ${BUCKET}`, keys.join("\n"));
    return keys;
  }

  /** @param {string} key */
  async readObject(key) {
    const { Body } = await this.client.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
    const text = (await Body?.transformToString()) ?? "";
    print.command("host", `get-object ${key}`, text.trim());
    return text;
  }

  /** @override */
  async cleanUp() {
    await super.cleanUp();
    this.#client?.destroy();
    await this.#server?.close();
  }
}

/**
 * What the demo shows; each claim is checked.
 *
 * @param {BucketSession} session
 * @throws {Error} Saying which claim did not hold.
 */
async function runBucketStory(session) {
  print.step("The guest mounts the bucket and reads objects");
  await session.inGuest("mkdir -p /bucket");
  await session.inGuest("mount -t virtiofs bucket /bucket");
  expectEqual("what the guest read", await session.inGuest("cat /bucket/readme.txt"), GREETING.trim());
  await session.inGuest("ls -l /bucket /bucket/2025");

  print.step("It appends, edits, renames and makes directories");
  await session.inGuest("echo 'The guest was here.' >>/bucket/readme.txt");
  await session.inGuest("sed -i s/sand/stones/ /bucket/2025/beach.txt");
  await session.inGuest("mkdir /bucket/2026");
  await session.inGuest("mv /bucket/2025/lake.txt /bucket/2026/sea.txt");
  await session.inGuest("chmod 600 /bucket/2026/sea.txt");
  await session.inGuest("mv /bucket/2025 /bucket/last-year");
  await session.inGuest("sync -f /bucket");

  print.step("Each file is an ordinary object of the bucket");
  const keys = (await session.listBucket()).filter((key) => !key.endsWith("/"));
  expectEqual("the objects", keys.join(" "), "2026/sea.txt last-year/beach.txt readme.txt");
  expectEqual(
    "the object that was appended to",
    await session.readObject("readme.txt"),
    `${GREETING}The guest was here.\n`,
  );
  expectEqual("the object that was edited", await session.readObject("last-year/beach.txt"), "stones\n");
  expectEqual("the object that was renamed", await session.readObject("2026/sea.txt"), "water\n");
}

/**
 * @param {string} what
 * @param {string} actual
 * @param {string} expected
 */
function expectEqual(what, actual, expected) {
  if (actual !== expected) {
    throw new Error(`${what} is not right: expected "${expected}", got "${actual}"`);
  }
}
