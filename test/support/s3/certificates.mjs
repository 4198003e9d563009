// @ts-check
// Certificates of the fake server, made anew each time: no key is ever kept.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** @typedef {{key: string, cert: string}} Certificate In PEM, as node:tls has them. */

const LOOPBACK = "IP:127.0.0.1,DNS:localhost";

/**
 * An authority of its own and a certificate from it: ca.pem, key.pem and cert.pem in a directory.
 *
 * @param {string} directory
 * @param {string} [names] As openssl's subjectAltName has them. Default: those of loopback.
 * @returns {Certificate & {ca: string}}
 */
export function makeCertificate(directory, names = LOOPBACK) {
  const path = (/** @type {string} */ name) => join(directory, name);
  const request = (/** @type {readonly string[]} */ args) =>
    execFileSync(
      "openssl",
      [
        ...[
          "req",
          "-x509",
          "-newkey",
          "ec",
          "-pkeyopt",
          "ec_paramgen_curve:prime256v1",
          "-nodes",
          "-days",
          "2",
        ],
        ...args,
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
  request(["-keyout", path("ca-key.pem"), "-out", path("ca.pem"), "-subj", "/CN=Test authority"]);
  request([
    ...["-CA", path("ca.pem"), "-CAkey", path("ca-key.pem"), "-subj", "/CN=Test server"],
    ...["-addext", `subjectAltName=${names}`, "-addext", "basicConstraints=critical,CA:false"],
    ...["-keyout", path("key.pem"), "-out", path("cert.pem")],
  ]);
  const read = (/** @type {string} */ name) => readFileSync(path(name), "utf8");
  return { key: read("key.pem"), cert: read("cert.pem"), ca: read("ca.pem") };
}
