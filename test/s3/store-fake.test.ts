import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { makeCertificate } from "../support/s3/certificates.mjs";
import { startFakeS3 } from "../support/s3/server.mjs";
import { describeStore } from "./support/store-suite.js";

const features = {
  ...{ createOnly: true, replaceOnly: true, conditionalDelete: true, conditionalRead: true },
  ...{ conditionalCopy: true, conditionalCopyTarget: true, partCopy: true, checksums: true },
  ...{ conditionalPartCopy: true },
  ...{ versioned: false, writable: true },
};

const directory = mkdtempSync(join(tmpdir(), "store-fake-"));
const { ca, ...tls } = makeCertificate(directory);
afterAll(() => rmSync(directory, { recursive: true }));

describeStore({ name: "the fake server", start: () => startFakeS3(), features });

describeStore({
  name: "the fake server, by Node's connections alone",
  start: () => startFakeS3(),
  features,
  options: { direct: false },
});

describeStore({
  name: "the fake server behind TLS",
  start: async () => {
    const fake = await startFakeS3({ tls });
    return { endpoint: fake.endpoint, storeEndpoint: fake.tlsEndpoint, close: () => fake.close() };
  },
  features,
  options: { ca },
});
