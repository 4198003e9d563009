import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Gateway, startGateway } from "../support/gateway.js";
import { type FakeS3, startFakeS3 } from "../support/s3/server.mjs";
import { CredentialService } from "./support/credential-service.js";

const START_URL = "https://example.awsapps.com/start";

let fake: FakeS3;
let service: CredentialService;
let home: string;
/** Access keys that requests came with. */
let used: string[];

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "credentials-"));
  used = [];
  fake = await startFakeS3({ buckets: ["bucket"], credentials: [] });
  fake.onRequest = (_operation, _key, { headers }) => {
    used.push(/Credential=([^/]+)/.exec(headers.authorization ?? "")?.[1] ?? "none");
  };
  service = await CredentialService.start((issued) => fake.credentials.set(issued.accessKeyId, issued));
});
afterEach(async () => {
  await service.stop();
  await fake.close();
  rmSync(home, { recursive: true });
});

/** Nothing but what a test sets says where credentials are. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const inherited = Object.keys(process.env).filter((name) => name.startsWith("AWS_"));
  return {
    ...Object.fromEntries(inherited.map((name) => [name, undefined])),
    ...{ HOME: home, AWS_REGION: "us-east-1", AWS_EC2_METADATA_DISABLED: "true" },
  };
}

/** The ways in which the SDK finds credentials, by the environment that leads to them. */
const WAYS: Record<string, () => NodeJS.ProcessEnv> = {
  "web identity": () => {
    const token = join(home, "token");
    writeFileSync(token, "identity-token");
    return {
      AWS_WEB_IDENTITY_TOKEN_FILE: token,
      AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/share",
      AWS_ENDPOINT_URL_STS: service.url,
    };
  },
  "a container's role": () => ({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${service.url}/container` }),
  "a machine's role": () => ({
    AWS_EC2_METADATA_DISABLED: undefined,
    AWS_EC2_METADATA_SERVICE_ENDPOINT: service.url,
  }),
  "a single sign-on": () => {
    mkdirSync(join(home, ".aws/sso/cache"), { recursive: true });
    const settings = `sso_start_url = ${START_URL}\nsso_region = us-east-1\nsso_account_id = 123456789012\nsso_role_name = share`;
    writeFileSync(join(home, ".aws/config"), `[profile work]\n${settings}\n`);
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    writeFileSync(
      join(home, ".aws/sso/cache", `${createHash("sha1").update(START_URL).digest("hex")}.json`),
      JSON.stringify({ accessToken: "sign-on-token", expiresAt, region: "us-east-1", startUrl: START_URL }),
    );
    return { AWS_PROFILE: "work", AWS_ENDPOINT_URL_SSO: service.url };
  },
};

function expectNoSecrets(gateway: Gateway): void {
  const shown = [
    gateway.stderr(),
    readFileSync(`/proc/${gateway.pid}/cmdline`, "latin1"),
    readFileSync(`/proc/${gateway.pid}/comm`, "latin1"),
  ];
  for (const text of shown) {
    expect(text).not.toMatch(/issued-(secret|token)|identity-token|metadata-token|sign-on-token/);
  }
}

describe("a share takes its credentials from", () => {
  it.each(Object.keys(WAYS))("%s, and renews them before they expire", async (way) => {
    const gateway = await startGateway(
      (directory) => [
        ...["--backend", "s3", "--bucket", "bucket", "--endpoint", fake.endpoint, "--path-style"],
        ...["--staging-dir", join(directory, "staging"), "--log-level", "debug"],
      ],
      { env: { ...cleanEnvironment(), ...WAYS[way]?.() }, startTimeoutMs: 60_000 },
    );
    try {
      expect(service.issued).toHaveLength(2);
      expect(used[0]).toBe("ISSUED1");
      expect(new Set(used.slice(1))).toEqual(new Set(["ISSUED2"]));
      expectNoSecrets(gateway);
      gateway.signal("SIGTERM");
      await gateway.waitForExit(60_000);
      expect(gateway.stderr()).not.toMatch(/issued-(secret|token)/);
    } finally {
      await gateway.stop();
    }
  });
});
