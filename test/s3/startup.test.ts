import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { NO_ATTRIBUTES } from "../../backends/s3/store/object-store.js";
import { openS3Store, type S3StoreOptions } from "../../backends/s3/store/open-store.js";
import { GatewayError } from "../../src/vfs/gateway-error.js";
import { type FakeS3, startFakeS3 } from "../support/s3/server.mjs";
import { bytes, CREDENTIALS, openStore } from "./support/connect.js";

let fake: FakeS3;

beforeEach(async () => {
  fake = await startFakeS3({ buckets: ["bucket"] });
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await fake.close();
});

/** What a person reads when a share cannot start. */
async function failure(endpoint: string, options: Partial<S3StoreOptions> = {}): Promise<string> {
  const store = await openStore(endpoint, options);
  const error: unknown = await store.probe("scratch/").then(
    () => undefined,
    (reason: unknown) => reason,
  );
  await store.close();
  expect(error).toBeInstanceOf(GatewayError);
  const { message, code } = error as GatewayError;
  expect(code).toBe("environment");
  expect(message).not.toContain("\n");
  expect(message).not.toContain(CREDENTIALS.secretAccessKey);
  return message;
}

describe("one line says what is wrong with", () => {
  it("the bucket", async () => {
    expect(await failure(fake.endpoint, { bucket: "bukket" })).toBe(
      `S3: the bucket bukket does not exist at ${fake.endpoint} (NoSuchBucket, HTTP 404)`,
    );
  });

  it("the region", async () => {
    fake.region = "eu-central-1";
    expect(await failure(fake.endpoint)).toBe(
      "S3: the bucket bucket is in region eu-central-1, not us-east-1: use --region eu-central-1 (AuthorizationHeaderMalformed, HTTP 400)",
    );
    expect(await failure(fake.endpoint, { region: "us-east-2" })).toMatch(/not us-east-2/);
  });

  it("the region, where another endpoint has the bucket", async () => {
    fake.faults.add({ kind: "error", status: 301, code: "PermanentRedirect" });
    expect(await failure(fake.endpoint, { region: "us-east-1" })).toMatch(/the region us-east-1 is wrong/);
  });

  it("the clock", async () => {
    fake.clockSkewMs = 3_600_000;
    expect(await failure(fake.endpoint)).toMatch(
      /^S3: this machine's clock is 3(600|599) s behind the server's \(RequestTimeTooSkewed, HTTP 403\)$/,
    );
    fake.clockSkewMs = -3_600_000;
    expect(await failure(fake.endpoint)).toMatch(/clock is 360[01] s ahead of the server's/);
  });

  it("the credentials", async () => {
    const { accessKeyId } = CREDENTIALS;
    const bad = { accessKeyId, secretAccessKey: "not-the-secret" };
    expect(await failure(fake.endpoint, { credentials: bad })).toMatch(/the secret key does not belong/);
    const unknown = { ...bad, accessKeyId: "nobody" };
    expect(await failure(fake.endpoint, { credentials: unknown })).toMatch(/does not know the access key/);
    const token = { ...CREDENTIALS, sessionToken: "stale-session-token" };
    expect(await failure(fake.endpoint, { credentials: token })).toMatch(/the session token is not valid/);
    expect(await failure(fake.endpoint, { anonymous: true })).toMatch(
      /do not allow to list the bucket bucket/,
    );
  });

  it("the endpoint", async () => {
    const gone = await startFakeS3();
    const { endpoint } = gone;
    await gone.close();
    expect(await failure(endpoint)).toBe(`S3: nothing listens at the endpoint ${endpoint} (ECONNREFUSED)`);
    expect(await failure("http://no-such-host.invalid")).toMatch(/its name does not resolve/);
    const web = createServer((_, response) => response.end("<html><body>It works!<br></body></html>"));
    await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
    const { port } = web.address() as AddressInfo;
    expect(await failure(`http://127.0.0.1:${port}`)).toMatch(/does not (answer as an|serve) S3/);
    web.close();
    await expect(openStore("ftp://host")).rejects.toThrow("--endpoint: expected http or https");
    await expect(openStore("localhost:80/x y")).rejects.toThrow(/--endpoint: expected/);
    await expect(openStore("https://user:word@host")).rejects.toThrow("credentials do not belong");
  });
});

describe("the probe", () => {
  it.each([
    ["createOnly", { createOnly: false }],
    ["replaceOnly", { replaceOnly: false }],
    ["conditionalDelete", { conditionalDelete: false }],
    ["conditionalRead", { conditionalRead: false }],
    ["conditionalCopyTarget", { conditionalCopyTarget: false }],
    ["partCopy", { partCopy: false, conditionalPartCopy: false }],
    ["checksums", { checksums: false }],
  ] as const)("sees a server that does not know %s", async (feature, expected) => {
    fake.features[feature] = false;
    const store = await openStore(fake.endpoint);
    const all = {
      ...{ createOnly: true, replaceOnly: true, conditionalDelete: true, conditionalRead: true },
      ...{ conditionalCopy: true, conditionalCopyTarget: true, partCopy: true, checksums: true },
      ...{ conditionalPartCopy: true, versioned: false, writable: true },
    };
    expect(await store.probe("scratch/")).toEqual({ ...all, ...expected });
    expect((await store.list({ prefix: "" })).objects).toEqual([]);
    await store.close();
  });

  it("finds out that it may only read", async () => {
    const reader = { accessKeyId: "reader", secretAccessKey: "reader-secret" };
    fake.credentials.set("reader", { ...reader, allows: (operation) => /^(Get|Head|List)/.test(operation) });
    const store = await openStore(fake.endpoint, { credentials: reader });
    expect(await store.probe("scratch/")).toMatchObject({ writable: false, createOnly: false });
    await store.close();
  });

  it("reads a public bucket without credentials", async () => {
    fake.bucket("bucket").public = true;
    const store = await openStore(fake.endpoint, { anonymous: true });
    expect(await store.probe(undefined)).toMatchObject({ writable: false });
    await store.close();
  });
});

/** What a container's credential service answers. */
function serveCredentials(tokens: string[]): Promise<{ server: Server; url: string }> {
  const server = createServer((_, response) => {
    const [Token] = tokens;
    if (tokens.length > 1) tokens.shift();
    const Expiration = new Date(Date.now() + 3_600_000).toISOString();
    const { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey } = CREDENTIALS;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ AccessKeyId, SecretAccessKey, Token, Expiration }));
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      resolve({ server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` });
    });
  });
}

describe("the SDK's credential chain", () => {
  beforeEach(() => {
    for (const name of Object.keys(process.env)) if (name.startsWith("AWS_")) vi.stubEnv(name, undefined);
    vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true");
    vi.stubEnv("AWS_CONFIG_FILE", "/nonexistent");
    vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent");
  });
  const open = () => openS3Store({ bucket: "bucket", endpoint: fake.endpoint });

  it("takes the environment's", async () => {
    vi.stubEnv("AWS_ACCESS_KEY_ID", CREDENTIALS.accessKeyId);
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", CREDENTIALS.secretAccessKey);
    const store = await open();
    expect(await store.probe("scratch/")).toMatchObject({ writable: true });
    await store.close();
  });

  it("takes a container's, and asks once for new ones when they have expired", async () => {
    const { server, url } = await serveCredentials(["one", "two"]);
    vi.stubEnv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
    fake.credentials.set(CREDENTIALS.accessKeyId, { ...CREDENTIALS, sessionToken: "one" });
    const store = await open();
    await store.put("file", bytes(1), NO_ATTRIBUTES);
    fake.credentials.set(CREDENTIALS.accessKeyId, { ...CREDENTIALS, sessionToken: "two" });
    await store.put("file", bytes(2), NO_ATTRIBUTES);
    expect(store.counts.retries).toBe(1);
    fake.credentials.set(CREDENTIALS.accessKeyId, { ...CREDENTIALS, expired: true });
    await expect(store.head("file")).rejects.toMatchObject({ code: "access" });
    await store.close();
    server.close();
  });

  it("says so when there are none", async () => {
    const store = await open();
    await expect(store.probe(undefined)).rejects.toThrow(/^S3: no AWS credentials: /);
    await store.close();
  });
});

it("shows no secret in an error, whatever goes wrong", async () => {
  const secrets = {
    accessKeyId: "testaccess",
    secretAccessKey: "5ecret-of-mine",
    sessionToken: "t0ken-of-mine",
  };
  const store = await openStore(fake.endpoint, { credentials: secrets, deadlineMs: 500, timeoutMs: 200 });
  const faults = ["error", "reset", "hang", "cut", undefined] as const;
  for (const kind of faults) {
    fake.faults.clear();
    if (kind !== undefined) fake.faults.add({ kind, times: Number.POSITIVE_INFINITY });
    const attempts = await Promise.allSettled([
      store.probe("scratch/"),
      store.head("x"),
      store.list({ prefix: "" }),
      store.put("x", bytes(10), NO_ATTRIBUTES, { ifNoneMatch: "*" }),
      store.createUpload("x", NO_ATTRIBUTES),
    ]);
    for (const attempt of attempts) {
      const reason = attempt.status === "rejected" ? (attempt.reason as Error) : new Error("it worked");
      const text = `${reason.stack} ${JSON.stringify(reason)} ${String(reason.cause)}`;
      expect(text).not.toMatch(/of-mine|AWS4-HMAC|Signature=/);
      expect(attempt.status).toBe("rejected");
    }
  }
  await store.close();
});
