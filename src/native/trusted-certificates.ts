import { readFileSync } from "node:fs";
import * as tls from "node:tls";

/** Node trusts whom OpenSSL's or the system's store has. */
const OTHER_STORE = /(?:^|\s)--use[-_](?:openssl|system)[-_]ca\b/;
const OTHER_STORE_BY_DEFAULT = "NODE_OPENSSL_CERT_STORE";

/** As Node does it: a file that cannot be read adds nothing. */
function readExtraCertificates(): string {
  const path = process.env.NODE_EXTRA_CA_CERTS;
  if (path === undefined || path === "") return "";
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

/**
 * The authorities that Node trusts, as PEM: its own ones and those of NODE_EXTRA_CA_CERTS. Undefined where it was told to
 * trust others and is too old to say whom.
 */
export function trustedCertificates(): string | undefined {
  // Of Node 22.15 and later.
  const { getCACertificates } = tls as { getCACertificates?: (type: "default") => readonly string[] };
  if (getCACertificates !== undefined) return getCACertificates("default").join("\n");
  const options = [...process.execArgv, process.env.NODE_OPTIONS ?? ""].join(" ");
  const { defines = [] } = process.config.target_defaults as { defines?: readonly string[] };
  if (OTHER_STORE.test(options) || defines.includes(OTHER_STORE_BY_DEFAULT)) return undefined;
  return [...tls.rootCertificates, readExtraCertificates()].join("\n");
}
