import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { AttributeFile } from "../../../backends/s3/attributes/attribute-file.js";

const BYTES = 64 * 1024;
const STORED = { metadata: { mode: "33188" }, contentType: "text/plain" };

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "attribute-file-"));
  path = join(directory, "attributes");
});
afterEach(() => rmSync(directory, { recursive: true }));

function use<T>(run: (file: AttributeFile) => T, bucket = "bucket"): T {
  const file = new AttributeFile(path, BYTES, bucket);
  try {
    return run(file);
  } finally {
    file.close();
  }
}

test("what was written is there when the file is opened again, for that key and ETag only", () => {
  use((file) => file.write("key", "etag", STORED));
  use((file) => {
    expect(file.read("key", "etag")).toEqual(STORED);
    expect(file.read("key", "other")).toBeUndefined();
    expect(file.read("other", "etag")).toBeUndefined();
  });
});

test("buckets that share a file do not see each other's", () => {
  use((file) => file.write("key", "etag", STORED));
  use((file) => expect(file.read("key", "etag")).toBeUndefined(), "another");
});

test("a slot whose bytes have changed counts as empty, and can be written again", () => {
  use((file) => file.write("key", "etag", STORED));
  const bytes = readFileSync(path);
  bytes[bytes.indexOf("33188")] = 0x34;
  writeFileSync(path, bytes);
  use((file) => {
    expect(file.read("key", "etag")).toBeUndefined();
    file.write("key", "etag", STORED);
    expect(file.read("key", "etag")).toEqual(STORED);
  });
});
