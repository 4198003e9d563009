import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { readListPage } from "../../../backends/s3/store/replies.js";

const PAGES = 200;
const MIB = 2 ** 20;

/** A page of a listing, some 300 KB long. */
function page(number: number): Buffer {
  const contents = Array.from({ length: 1000 }, (_, index) => {
    const key = `directory/with-a-name/${number}-${String(index).padStart(8, "0")}`;
    return `<Contents><Key>${key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>"0123456789abcdef0123456789abcdef"</ETag><Size>1</Size><StorageClass>STANDARD</StorageClass>${" ".repeat(60)}</Contents>`;
  });
  return Buffer.from(
    `<ListBucketResult><IsTruncated>false</IsTruncated>${contents.join("")}</ListBucketResult>`,
  );
}

it("what is remembered of a listing does not keep the document in memory", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const used = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = used();
  const kept = Array.from({ length: PAGES }, (_, number) => {
    const { key, etag } = readListPage(page(number)).objects.at(-1) ?? {};
    return { key, etag };
  });
  // All documents together have 60 MiB.
  expect(used() - before).toBeLessThan(15 * MIB);
  expect(kept.at(-1)?.key).toBe(`directory/with-a-name/${PAGES - 1}-00000999`);
});
