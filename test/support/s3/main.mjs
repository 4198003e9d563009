// @ts-check
// The fake S3 server as a process of its own.
//
//   node test/support/s3/main.mjs [--port N] [--bucket B]... [--latency-ms N] [--bytes-per-second N]
//                                 [--min-part-bytes N] [--verified-bytes N] [--tls DIRECTORY]
//
// It prints one line, its endpoint, when it listens. With --tls it prints another one with that of TLS, and the
// certificate of its authority is ca.pem in the directory. Over HTTP, outside of S3:
//   GET /_fake/counts          what was asked so far, as JSON
//   POST /_fake/reset-counts
//   POST /_fake/faults         adds the fault in the body
//   POST /_fake/clear-faults
//   POST /_fake/settings       {latencyMs, bytesPerSecond, features, versioning: {bucket: status}}
//   POST /_fake/synthetic      {bucket, prefix, count, size}: objects prefix + 00000000 and so on
import { parseArgs } from "node:util";
import { makeCertificate } from "./certificates.mjs";
import { startFakeS3 } from "./server.mjs";

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    bucket: { type: "string", multiple: true, default: ["test"] },
    "latency-ms": { type: "string", default: "0" },
    "bytes-per-second": { type: "string", default: "Infinity" },
    "min-part-bytes": { type: "string" },
    "verified-bytes": { type: "string" },
    tls: { type: "string" },
  },
});

const minPartBytes = values["min-part-bytes"];
const verifiedBytes = values["verified-bytes"];
const server = await startFakeS3({
  port: Number(values.port),
  buckets: values.bucket,
  latencyMs: Number(values["latency-ms"]),
  bytesPerSecond: Number(values["bytes-per-second"]),
  limits: {
    ...(minPartBytes !== undefined && { minPartBytes: Number(minPartBytes) }),
    ...(verifiedBytes !== undefined && { verifiedBytes: Number(verifiedBytes) }),
  },
  ...(values.tls !== undefined && { tls: makeCertificate(values.tls) }),
  admin: true,
});
const endpoints = [server.endpoint, ...(values.tls === undefined ? [] : [server.tlsEndpoint])];
process.stdout.write(`${endpoints.join("\n")}\n`);
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) {
  process.once(signal, () => void server.close());
}
