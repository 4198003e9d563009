import { expect, it } from "vitest";
import { DirectoryListing } from "../../../backends/s3/namespace/directory-listing.js";

const PAGE = 1000;

it("remembers no more of a large directory than some pages, however long it is", () => {
  const listing = new DirectoryListing();
  let after: string | undefined;
  for (let page = 0; page < 1000; page++) {
    const entries = Array.from({ length: PAGE }, (_, index) => {
      const name = `d/${String(page * PAGE + index).padStart(8, "0")}`;
      return { name, component: name, object: { key: name, size: 1, etag: '"e"', lastModifiedMs: 0 } };
    });
    const next = page === 999 ? undefined : entries.at(-1)?.name;
    listing.append({ entries, after, next, askedMs: page });
    expect(listing.size).toBeLessThanOrEqual(12 * PAGE);
    after = next;
  }
  expect(listing.complete).toBe(false);
  expect(listing.find("d/00999999")?.askedMs).toBe(999);
  expect(listing.find("d/00000001")).toBeUndefined();
});
