import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tls from "node:tls";
import { afterEach, describe, expect, it, vi } from "vitest";
import { trustedCertificates } from "../../../src/native/trusted-certificates.js";

afterEach(() => vi.unstubAllEnvs());

it("are Node's own ones", () => {
  const trusted = trustedCertificates() ?? "";
  for (const certificate of tls.rootCertificates) expect(trusted).toContain(certificate);
});

/** Later versions say themselves whom they trust, as decided at their start. */
describe.skipIf("getCACertificates" in tls)("what the environment says of trusted certificates", () => {
  it("adds some", () => {
    const directory = mkdtempSync(join(tmpdir(), "trusted-certificates-"));
    const path = join(directory, "extra.pem");
    writeFileSync(path, "an extra certificate");
    vi.stubEnv("NODE_EXTRA_CA_CERTS", path);
    expect(trustedCertificates()).toMatch(/-----END CERTIFICATE-----\nan extra certificate$/);
    rmSync(directory, { recursive: true });
    expect(trustedCertificates()).not.toContain("extra");
  });

  it.each(["--use-openssl-ca", "--no-warnings --use_openssl_ca"])("may mean others (%s)", (options) => {
    vi.stubEnv("NODE_OPTIONS", options);
    expect(trustedCertificates()).toBeUndefined();
  });
});
