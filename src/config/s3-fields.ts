import * as z from "zod/mini";
import { flag, oneOf, path, size } from "./fields.js";

export const FSYNC_MODES = ["remote", "local", "off"] as const;
export const CONSISTENCY_MODES = ["close-to-open", "strict", "cached", "immutable"] as const;
export const ATTRIBUTE_DIALECTS = ["s3fs", "aws", "none"] as const;
export const CONFLICT_POLICIES = ["error", "overwrite", "s3-wins"] as const;

const GIB = 2 ** 30;
const MIB = 2 ** 20;

const bucketError = "the name of a bucket, 3 to 63 letters, digits, dots and hyphens";
const bucket = z
  .string({ error: bucketError })
  .check(z.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/, { error: bucketError }));

const prefixError = "a prefix of keys without / at its beginning, such as vm1/";
const prefix = z.pipe(
  z.string({ error: prefixError }).check(z.regex(/^([^/\0][^\0]*)?$/, { error: prefixError })),
  z.transform((text) => (text === "" || text.endsWith("/") ? text : `${text}/`)),
);

const endpointError = "a URL such as https://s3.example.com";
const endpoint = z
  .string({ error: endpointError })
  .check(z.regex(/^https?:\/\/[^\s/]+\/?$/, { error: endpointError }));

const regionError = "a region such as eu-central-1";
const region = z.string({ error: regionError }).check(z.regex(/^[a-z0-9-]{1,64}$/, { error: regionError }));

/** How a bucket is reached and read. */
export const s3ReadingFields = {
  region: z.optional(region.check(z.describe("Region of the bucket; found out unless given"))),
  endpoint: z.optional(endpoint.check(z.describe("URL of another server than AWS"))),
  pathStyle: z._default(flag, false).check(z.describe("The bucket is in the path of URLs, not in the host")),
  anonymous: z._default(flag, false).check(z.describe("Requests are not signed")),
  cacheDir: z.optional(
    path.check(
      z.describe("Directory for blocks of objects, kept for the next start; temporary unless given"),
    ),
  ),
  cacheSize: z.optional(
    size.check(z.describe("Most bytes of the cache. Default 10GiB, 1GiB without a cache directory")),
  ),
  memoryLimit: z
    ._default(size, 256 * MIB)
    .check(z.describe("Memory for data that is being fetched and uploaded")),
  attributes: z
    ._default(oneOf(ATTRIBUTE_DIALECTS), "s3fs")
    .check(z.describe("How owner, mode and times are stored with objects; all dialects are read")),
};

/** What a share has whose files are objects of a bucket. */
export const s3Fields = {
  bucket: bucket.check(z.describe("Bucket to share")),
  prefix: z
    ._default(prefix, "")
    .check(z.describe("Only keys with this prefix, which names in the share do not have")),
  ...s3ReadingFields,
  stagingDir: z.optional(
    path.check(
      z.describe(
        "Directory for changes that are not in the bucket yet; below /var/lib/virtiofs-gateway unless given",
      ),
    ),
  ),
  fsync: z
    ._default(oneOf(FSYNC_MODES), "remote")
    .check(
      z.describe("Where data is when fsync returns: remote in the bucket, local in the staging directory"),
    ),
  consistency: z
    ._default(oneOf(CONSISTENCY_MODES), "close-to-open")
    .check(z.describe("How long what the bucket said holds: strict 0, close-to-open 1 s, cached 1 min")),
  onConflict: z
    ._default(oneOf(CONFLICT_POLICIES), "error")
    .check(z.describe("What becomes of a local change when somebody else has changed the object")),
};

/** Bytes of the cache where no size is given. */
export function defaultCacheSize(hasDirectory: boolean): number {
  return hasDirectory ? 10 * GIB : GIB;
}

/** The bucket and prefix that a text such as BUCKET/PREFIX names. @returns undefined when it names none */
export function parseBucketPath(text: string): { bucket: string; prefix: string } | undefined {
  const slash = text.indexOf("/");
  const [name, keys] = slash < 0 ? [text, ""] : [text.slice(0, slash), text.slice(slash + 1)];
  const [parsedBucket, parsedPrefix] = [bucket.safeParse(name), prefix.safeParse(keys)];
  return parsedBucket.success && parsedPrefix.success
    ? { bucket: parsedBucket.data, prefix: parsedPrefix.data }
    : undefined;
}
