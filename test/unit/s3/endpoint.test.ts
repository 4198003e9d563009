import { expect, it } from "vitest";
import { customEndpoint } from "../../../backends/s3/store/endpoint.js";

it.each([
  ["https://s3.example.com", "bucket", false, "https://bucket.s3.example.com", "/", false],
  ["https://s3.example.com", "bucket", true, "https://s3.example.com", "/bucket/", false],
  ["https://s3.example.com:8443/gw", "bucket", true, "https://s3.example.com:8443", "/gw/bucket/", false],
  // No certificate and no host name has such a label.
  ["https://s3.example.com", "with.dots", false, "https://s3.example.com", "/with.dots/", false],
  ["https://s3.example.com", "UPPER", false, "https://s3.example.com", "/UPPER/", false],
  ["http://192.0.2.1:9000", "bucket", false, "http://192.0.2.1:9000", "/bucket/", true],
  ["http://s3.example.com", "bucket", false, "http://bucket.s3.example.com", "/", true],
  ["http://127.0.0.1:9000", "bucket", false, "http://127.0.0.1:9000", "/bucket/", false],
  ["http://[::1]:9000/", "bucket", false, "http://[::1]:9000", "/bucket/", false],
  ["http://localhost:9000", "bucket", false, "http://localhost:9000", "/bucket/", false],
] as const)(
  "%s with %s (path style: %s) is %s%s",
  (url, bucket, pathStyle, origin, basePath, signsBodies) => {
    expect(customEndpoint(url, bucket, "us-east-1", pathStyle)).toEqual({
      ...{ origin, basePath, signsBodies, region: "us-east-1" },
      host: new URL(origin).host,
    });
  },
);
